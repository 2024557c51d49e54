//! One thread that writes: it commits all that is waiting in one transaction, so that many runs share one fsync.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use durable::{Error, Result};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

/// No transaction holds more than so many intents: one that is waited for must end.
const LARGEST_GROUP: usize = 512;

/// Carries an intent out; answers what tells its caller, once the transaction is on disk.
type Intent = Box<dyn FnOnce(&Transaction<'_>) -> Tell + Send>;
type Tell = Box<dyn FnOnce(Result<()>) + Send>;

/// A handle to the writing thread; the thread ends with the last handle.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    intents: mpsc::Sender<Intent>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    pub(crate) fn start(connection: Connection) -> Result<Self> {
        let (intents, waiting) = mpsc::channel();
        let commits = Arc::new(AtomicU64::new(0));
        let counter = commits.clone();
        thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || write(connection, &waiting, &counter))?;
        Ok(Self { intents, commits })
    }

    /// How many transactions were committed.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Carries out an intent and returns its answer once it is on disk. An intent that fails changes nothing.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        intent: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = oneshot::channel();
        let intent: Intent = Box::new(move |transaction| {
            let answer = atomically(transaction, intent);
            Box::new(move |committed: Result<()>| {
                // A caller that is gone has nothing to be told.
                let _ = tell.send(committed.and_then(|()| answer.map_err(storage)));
            })
        });
        self.intents.send(intent).map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }
}

fn atomically<T>(
    transaction: &Transaction<'_>,
    intent: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    transaction.execute_batch("savepoint intent")?;
    let answer = intent(transaction);
    let end = if answer.is_ok() { "release intent" } else { "rollback to intent; release intent" };
    transaction.execute_batch(end)?;
    answer
}

fn write(mut connection: Connection, waiting: &mpsc::Receiver<Intent>, commits: &AtomicU64) {
    while let Ok(first) = waiting.recv() {
        let mut tells = Vec::new();
        let committed = commit(&mut connection, first, waiting, &mut tells);
        if committed.is_ok() {
            commits.fetch_add(1, Ordering::Relaxed);
        }
        for tell in tells {
            tell(committed.as_ref().copied().map_err(|error| Error::new(format!("storage: {error}"))));
        }
    }
}

fn commit(
    connection: &mut Connection,
    first: Intent,
    waiting: &mpsc::Receiver<Intent>,
    tells: &mut Vec<Tell>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tells.push(first(&transaction));
    while tells.len() < LARGEST_GROUP
        && let Ok(next) = waiting.try_recv()
    {
        tells.push(next(&transaction));
    }
    transaction.commit()
}

pub(crate) fn storage(error: rusqlite::Error) -> Error {
    Error::new(format!("storage: {error}"))
}

fn gone() -> Error {
    Error::new("storage: the transaction failed before it was committed")
}
