//! Which processes are alive: each worker holds an operating-system lock on a file, and the lock dies with its process.

use std::{
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use durable::{Random, Result};
use rusqlite::params;

use crate::{
    clock::SystemRandom,
    store::{Store, ms},
};

/// A worker's place among the living. Dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Liveness {
    path: PathBuf,
    _lock: File,
}

impl Liveness {
    /// Takes a place: what this process claims from now on is claimed under its name.
    pub(crate) fn enter(store: &Store) -> Result<Self> {
        let folder = folder(store);
        fs::create_dir_all(&folder)?;
        let name = format!("{:016x}", SystemRandom.bits());
        // Locked before it has its name: nobody finds it unlocked.
        let unnamed = folder.join(format!("{name}.new"));
        let lock = File::create(&unnamed)?;
        lock.lock()?;
        let path = folder.join(format!("{name}.lock"));
        fs::rename(unnamed, &path)?;
        store.set_owner(name);
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for Liveness {
    fn drop(&mut self) {
        // Left behind, it is found unlocked and removed.
        let _ = fs::remove_file(&self.path);
    }
}

/// Frees what dead processes held: their messages are due now, and their leases end now.
pub(crate) async fn reap(store: &Store, now: jiff::Timestamp) -> Result<()> {
    for entry in fs::read_dir(folder(store))?.flatten() {
        let path = entry.path();
        let Some(owner) = dead(&path, store.owner().as_deref()) else { continue };
        store
            .write(move |db| {
                db.execute(
                    "update messages set visible_at = ?, owner = null where owner = ?",
                    params![ms(now), owner],
                )?;
                db.execute("update runs set lease_until = null, owner = null where owner = ?", [owner])
            })
            .await?;
        // Removed only now: whoever dies before this line leaves it to the next.
        fs::remove_file(path)?;
        store.messages().notify_one();
    }
    Ok(())
}

impl Store {
    /// Whether a worker is alive on this store, in this process or another.
    pub fn has_worker(&self) -> Result<bool> {
        let entries = match fs::read_dir(folder(self)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            entries => entries?,
        };
        // Shared: two that look at once must not take each other for a worker.
        let is_held = |path: PathBuf| {
            path.extension().is_some_and(|extension| extension == "lock")
                && File::open(path)
                    .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
        };
        Ok(entries.flatten().any(|entry| is_held(entry.path())))
    }
}

/// The name of the process that a lock file belongs to, if it is dead.
fn dead(path: &Path, own: Option<&str>) -> Option<String> {
    let name = path.file_stem()?.to_str()?.to_owned();
    if path.extension()? != "lock" || own == Some(name.as_str()) {
        return None;
    }
    File::open(path).ok()?.try_lock().is_ok().then_some(name)
}

fn folder(store: &Store) -> PathBuf {
    store.home().join("workers")
}
