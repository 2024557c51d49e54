//! A folder for each command that was begun: what a worker that was restarted finds of it.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use durable::{Error, Random, Result, claim::digest};
use durable_local::SystemRandom;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    process::{Process, kill_marked},
    queue::Delivery,
};

/// The largest result that is read, in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The folders of all commands.
#[derive(Debug, Clone)]
pub(crate) struct Rooms(PathBuf);

/// The folder of a command.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    /// Names the job.
    pub(crate) name: String,
    folder: PathBuf,
}

impl Rooms {
    pub(crate) fn open(state: &Path) -> Result<Self> {
        for folder in ["jobs", "results", "logs"] {
            fs::create_dir_all(state.join(folder))?;
        }
        Ok(Self(state.to_owned()))
    }

    /// What tells this folder from any other, for ever.
    pub(crate) fn identity(&self) -> Result<String> {
        let path = self.0.join("identity");
        if let Some(known) = read(&path) {
            return Ok(known);
        }
        let made = format!("{:016x}", SystemRandom.bits());
        write(&path, &made).map(|()| made)
    }

    /// The rooms of commands that were begun and not answered.
    pub(crate) fn begun(&self) -> Result<Vec<Room>> {
        let names = fs::read_dir(self.0.join("jobs"))?.flatten().map(|entry| entry.file_name());
        Ok(names.filter_map(|name| Some(self.room(name.to_str()?))).collect())
    }

    pub(crate) fn room(&self, name: &str) -> Room {
        Room { name: name.to_owned(), folder: self.0.join("jobs").join(name) }
    }

    /// The result of what ran under an idempotency key.
    pub(crate) fn result(&self, key: &str) -> Option<serde_json::Value> {
        read(&self.0.join("results").join(digest(key)))
    }

    pub(crate) fn keep_result(&self, key: &str, result: &serde_json::Value) -> Result<()> {
        write(&self.0.join("results").join(digest(key)), result)
    }

    /// Ends what was begun in a room that is somebody else's job now, and removes it.
    pub(crate) fn abandon(&self, room: &Room) {
        if let Some(process) = room.process() {
            process.kill();
            kill_marked(&room.mark());
        }
        self.leave(room);
    }

    /// As [`abandon`](Self::abandon), but what was begun is asked to end first, and has this long to.
    pub(crate) async fn wind_down(&self, room: &Room, grace: Duration) {
        if let Some(process) = room.process() {
            process.wind_down(grace, || ()).await;
        }
        self.abandon(room);
    }

    /// Removes a room. What its command said is kept.
    pub(crate) fn leave(&self, room: &Room) {
        let log = self.0.join("logs").join(format!("{}.log", room.name));
        let _ = fs::rename(room.path("log"), log);
        let _ = fs::remove_dir_all(&room.folder);
    }
}

impl Room {
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// By what its processes are known, and nobody else's: another worker may have, or have had, the same job.
    pub(crate) fn mark(&self) -> String {
        digest(&self.folder.to_string_lossy())
    }

    /// Makes the room, empty. Whoever is told of it later begins with the job.
    pub(crate) fn enter(&self, delivery: &Delivery) -> Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => fs::create_dir_all(&self.folder)?,
        }
        write(&self.path("job.json"), delivery)
    }

    pub(crate) fn delivery(&self) -> Option<Delivery> {
        read(&self.path("job.json"))
    }

    pub(crate) fn process(&self) -> Option<Process> {
        read(&self.path("process.json"))
    }

    pub(crate) fn keep_process(&self, process: &Process) -> Result<()> {
        write(&self.path("process.json"), process)
    }

    /// The exit code of the command, once it has ended.
    pub(crate) fn status(&self) -> Option<i32> {
        fs::read_to_string(self.path("status")).ok()?.trim().parse().ok()
    }

    /// What the command answered: in the file it was given for that, or else on its standard output.
    pub(crate) fn answer(&self) -> Result<Vec<u8>> {
        let path = [self.path("result"), self.path("output")].into_iter().find(|path| path.exists());
        let Some(path) = path else { return Ok(Vec::new()) };
        if fs::metadata(&path)?.len() > LARGEST {
            return Err(Error::fatal(format!("the result has more than {LARGEST} bytes")));
        }
        Ok(fs::read(path)?)
    }

    /// What was logged since `from`, up to the last whole line, and where that ends.
    pub(crate) fn log_since(&self, from: u64) -> (String, u64) {
        let read = || {
            let mut file = File::open(self.path("log"))?;
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.take(256 * 1024).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        let bytes = read().unwrap_or_default();
        // A line that never ends is cut where the buffer is.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
        let whole = if whole == 0 && bytes.len() == 256 * 1024 { bytes.len() } else { whole };
        (String::from_utf8_lossy(&bytes[..whole]).into_owned(), from + whole as u64)
    }

    /// The last thing that was logged.
    pub(crate) fn last_line(&self) -> Option<String> {
        let path = self.path("log");
        let length = fs::metadata(&path).ok()?.len();
        let mut file = File::open(path).ok()?;
        file.seek(SeekFrom::Start(length.saturating_sub(4096))).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
        Some(line.trim().chars().take(300).collect())
    }
}

/// Written whole, or not at all.
fn write<T: Serialize>(path: &Path, content: &T) -> Result<()> {
    let unfinished = path.with_extension("new");
    let file = File::create(&unfinished)?;
    serde_json::to_writer(&file, content)?;
    file.sync_all()?;
    Ok(fs::rename(unfinished, path)?)
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
