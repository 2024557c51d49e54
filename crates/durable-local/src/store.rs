//! The file, and the ways to it.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use durable::{Blobs, Definition, Desk, Error, Observer, Ports, Result};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params, types::Type};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Notify;

use crate::{
    clock::{SystemClock, SystemRandom},
    schema,
    writer::{Writer, storage},
};

/// The engine's ports over one SQLite file, `durable.db` in its home directory.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    home: PathBuf,
    writer: Writer,
    /// Readers never wait for a commit; one at a time is enough for what is read here.
    reader: Mutex<Connection>,
    /// For what people look at, so that a long list keeps no worker waiting.
    viewer: Mutex<Connection>,
    /// Which workflows an event starts.
    listeners: HashMap<String, Vec<String>>,
    definitions: HashMap<String, Definition>,
    /// Told when a message was written by this process.
    messages: Notify,
    /// The name under which this process holds leases and messages; see `liveness`.
    owner: Mutex<Option<String>>,
}

impl Store {
    /// Opens the store in a directory, which is made when there is none. Events start the workflows defined here.
    pub fn open<'a>(home: &Path, workflows: impl IntoIterator<Item = &'a Definition>) -> Result<Self> {
        let explain = |error: &dyn std::fmt::Display| {
            Error::fatal(format!("cannot open the store in {}: {error}", home.display()))
        };
        fs::create_dir_all(home).map_err(|error| explain(&error))?;
        let connect = || {
            let mut connection = Connection::open(home.join("durable.db"))?;
            schema::prepare(&mut connection)?;
            Ok(connection)
        };
        let (writing, reading, viewing) = connect()
            .and_then(|writing| Ok((writing, connect()?, connect()?)))
            .map_err(|error: rusqlite::Error| explain(&error))?;
        let mut listeners: HashMap<String, Vec<String>> = HashMap::new();
        let mut definitions = HashMap::new();
        for workflow in workflows {
            definitions.insert(workflow.name.clone(), workflow.clone());
            for event in &workflow.events {
                listeners.entry(event.clone()).or_default().push(workflow.name.clone());
            }
        }
        let inner = Inner {
            home: home.to_owned(),
            writer: Writer::start(writing)?,
            reader: Mutex::new(reading),
            viewer: Mutex::new(viewing),
            listeners,
            definitions,
            messages: Notify::new(),
            owner: Mutex::new(None),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The engine's ports.
    pub fn ports(&self, observer: Option<Arc<dyn Observer>>) -> Ports {
        let store = Arc::new(self.clone());
        Ports {
            journal: store.clone(),
            gate: store.clone(),
            wakeups: store.clone(),
            bus: store.clone(),
            blobs: store.clone(),
            pauses: store,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            observer,
        }
    }

    /// What people see and steer, with these workflows: those that run, for all that a definition says.
    pub fn desk(&self, ports: Ports, definitions: Arc<[Definition]>) -> Desk {
        let store = Arc::new(self.clone());
        Desk {
            ports,
            history: store.clone(),
            keys: store.clone(),
            dead_letters: store.clone(),
            vitals: store,
            definitions,
        }
    }

    /// How many transactions this process has committed.
    pub fn commits(&self) -> u64 {
        self.inner.writer.commits()
    }

    pub(crate) fn home(&self) -> &Path {
        &self.inner.home
    }

    pub(crate) fn listeners(&self, event: &str) -> &[String] {
        self.inner.listeners.get(event).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn definition(&self, workflow: &str) -> Option<&Definition> {
        self.inner.definitions.get(workflow)
    }

    pub(crate) fn workflows(&self) -> impl Iterator<Item = &str> {
        self.inner.definitions.keys().map(String::as_str)
    }

    pub(crate) fn messages(&self) -> &Notify {
        &self.inner.messages
    }

    pub(crate) fn owner(&self) -> Option<String> {
        self.inner.owner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_owner(&self, owner: String) {
        *self.inner.owner.lock().unwrap_or_else(PoisonError::into_inner) = Some(owner);
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        intent: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.inner.writer.run(intent).await
    }

    /// Reads on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || query(&store.reader())).await?.map_err(storage)
    }

    /// As [`read`](Self::read), for what people look at.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || query(&store.viewer())).await?.map_err(storage)
    }

    pub(crate) fn viewer(&self) -> MutexGuard<'_, Connection> {
        self.inner.viewer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For what is read so often and so quickly that a thread of its own would cost more.
    pub(crate) fn reader(&self) -> MutexGuard<'_, Connection> {
        self.inner.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl Blobs for Store {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let key = key.to_owned();
        self.write(move |db| {
            db.prepare_cached("insert into blobs values (?, ?) on conflict do nothing")?
                .execute(params![key, bytes])?;
            Ok(())
        })
        .await
    }

    async fn get(&self, key: &str) -> Result<Vec<u8>> {
        let wanted = key.to_owned();
        let read = move |db: &Connection| {
            db.query_row("select data from blobs where key = ?", [wanted], |row| row.get(0)).optional()
        };
        self.read(read).await?.ok_or_else(|| Error::fatal(format!("there is no blob {key}")))
    }
}

/// A time as it is stored.
pub(crate) fn ms(time: Timestamp) -> i64 {
    time.as_millisecond()
}

/// A time as it was stored.
pub(crate) fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

/// A value as it is stored.
pub(crate) fn json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// A value as it was stored.
pub(crate) fn parsed<T: DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
}
