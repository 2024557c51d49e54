//! What the services did, and the log that remembers it.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use durable::{Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::convex::{StoredRow, SyncRecord};

/// A coding session that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is the request's field of that name")]
pub struct Session {
    /// The idempotency key it was asked for under.
    pub key: String,
    pub agent: String,
    pub session_type: String,
    pub feature_id: Option<u32>,
    pub started_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// Whether it crashes instead of succeeding.
    pub crashes: bool,
}

/// A message that went out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct Message {
    pub id: String,
    /// The chat: a person's address, or a group's.
    pub to: String,
    /// Who is mentioned in a group.
    pub mentioned: Option<String>,
    pub text: String,
    pub at: Timestamp,
}

/// Something that lasts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub(super) enum Effect {
    Session(Session),
    Message { service: String, message: Message },
    Upserted { table: String, fields: Option<Vec<String>>, rows: Vec<StoredRow>, at: Timestamp },
    Removed { table: String, neon_ids: Vec<String>, at: Timestamp },
    SyncRecorded { table: String, records: Vec<SyncRecord> },
    Notified { text: String, at: Timestamp },
}

/// All effects in order, in memory and in a file if there is one.
#[derive(Debug)]
pub(super) struct Log {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    effects: Vec<Effect>,
    file: Option<File>,
}

impl Log {
    /// Reads what an earlier sandbox left. A last line that was cut off when it died is dropped.
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self { state: Mutex::new(State { effects: Vec::new(), file: None }) });
        };
        let explain = |error: &dyn std::fmt::Display| {
            Error::fatal(format!("cannot open the sandbox's log {}: {error}", path.display()))
        };
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path)
            .map_err(|error| explain(&error))?;
        let mut effects = Vec::new();
        let mut whole = true;
        for line in BufReader::new(&file).lines() {
            let line = line.map_err(|error| explain(&error))?;
            whole = serde_json::from_str(&line).map(|effect| effects.push(effect)).is_ok();
        }
        if !whole {
            writeln!(file).map_err(|error| explain(&error))?;
        }
        Ok(Self { state: Mutex::new(State { effects, file: Some(file) }) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what `decide` makes of all that was done so far, in one go.
    pub(super) fn act<T>(&self, decide: impl FnOnce(&[Effect]) -> (Option<Effect>, T)) -> T {
        let mut state = self.state();
        let (effect, answer) = decide(&state.effects);
        if let Some(effect) = effect {
            if let (Some(file), Ok(line)) = (&mut state.file, serde_json::to_string(&effect)) {
                // One write, so that a line is whole or cut off, never mixed. Nobody depends on the sandbox's disk.
                let _ = file.write_all(format!("{line}\n").as_bytes());
            }
            state.effects.push(effect);
        }
        answer
    }

    /// What was done, as far as `pick` picks it.
    pub(super) fn pick<T>(&self, pick: impl FnMut(&Effect) -> Option<T>) -> Vec<T> {
        self.state().effects.iter().filter_map(pick).collect()
    }
}
