//! What people need to see and steer, beyond what running needs: ports of the console and the command line.
//!
//! Every operation makes a bounded number of requests, however long the history is. Nothing here is used while a run
//! executes, but [`Pauses::is_paused`].

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    AuditEntry, AuditFilter, Checkpoint, Envelope, EventFilter, Page, PageRequest, Result, Run, RunFilter,
    RunId, WorkflowStatistics, line::Member, throttle::Start,
};

/// Runs, events and deeds of the past.
#[async_trait]
pub trait History: fmt::Debug + Send + Sync {
    /// Runs, the newest first: by the time they were created, in milliseconds, then by id.
    async fn runs(&self, filter: &RunFilter, page: &PageRequest) -> Result<Page<Run>>;

    /// For each of these events, the runs it started, reruns included, the oldest first; at most 100 an event.
    async fn runs_of_events(&self, event_ids: &[String]) -> Result<Vec<Vec<Run>>>;

    /// Creates a queued run with the records of its first steps, unless there is one with its id. Answers whether it was
    /// created. It begins when it is woken.
    async fn create(&self, run: &Run, records: &[Checkpoint]) -> Result<bool>;

    /// Keeps events, for [`events`](Self::events) to find. What is known by its id stays as it is. Starts nothing.
    async fn record(&self, events: &[Envelope]) -> Result<()>;

    /// Events that were accepted, the newest first: by the time they were sent, in milliseconds, then by id.
    async fn events(&self, filter: &EventFilter, page: &PageRequest) -> Result<Page<Envelope>>;

    /// An event.
    async fn event(&self, id: &str) -> Result<Option<Envelope>>;

    /// Writes a line of the audit trail; one with the same time and id is replaced.
    async fn note(&self, entry: &AuditEntry) -> Result<()>;

    /// Lines of the audit trail, the newest first.
    async fn audit(&self, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditEntry>>;

    /// Numbers about these workflows, in this order, from the hour of `from` until `to`.
    async fn statistics(
        &self,
        workflows: &[String],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<WorkflowStatistics>>;
}

/// Flow control as it stands.
#[async_trait]
pub trait Keys: fmt::Debug + Send + Sync {
    /// The concurrency keys that start with `prefix` and that a run holds or waits for, in alphabetical order.
    async fn lines(&self, prefix: &str, page: &PageRequest) -> Result<Page<LineSummary>>;

    /// Who holds a concurrency key and who waits for it, in order of arrival; at most the first 1,000.
    async fn line(&self, key: &str) -> Result<Line>;

    /// The throttle keys that start with `prefix` and have starts on their ledger, in alphabetical order.
    async fn ledgers(&self, prefix: &str, page: &PageRequest) -> Result<Page<LedgerSummary>>;

    /// The starts on a throttle key's ledger, the earliest first: those that happened lately, and those reserved.
    async fn ledger(&self, key: &str) -> Result<Vec<Start>>;
}

/// A concurrency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineSummary {
    /// The key.
    pub key: String,
    /// How many runs may hold it at once.
    pub slots: u32,
    /// How many do, those included that were handed a slot and have not been seen since.
    pub held: u32,
    /// How many wait.
    pub waiting: u32,
}

/// A concurrency key and its runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// How many runs may hold it at once; 0 when nobody has asked for it.
    pub slots: u32,
    /// Who holds it and who waits for it, in order of arrival.
    pub members: Vec<Member>,
}

/// A throttle key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerSummary {
    /// The key.
    pub key: String,
    /// How many starts that happened are still on the ledger.
    pub started: u32,
    /// How many starts are reserved.
    pub reserved: u32,
    /// When the next reserved one may happen.
    pub next: Option<Timestamp>,
}

impl LedgerSummary {
    /// The summary of a ledger.
    pub fn of(key: &str, starts: &[Start]) -> Self {
        let reserved = starts.iter().filter(|start| !start.started);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            key: key.to_owned(),
            started: count(starts.iter().filter(|start| start.started).count()),
            reserved: count(reserved.clone().count()),
            next: reserved.map(|start| start.at).min(),
        }
    }
}

/// Which workflows start no new runs.
///
/// While a workflow is paused, its events and schedules are accepted and their runs queue up; runs that had started go
/// on to their end. Once it is resumed, all that queued up starts, in order of arrival where a key orders it. Nothing is
/// lost: what waits for the end of a pause is woken by it.
#[async_trait]
pub trait Pauses: fmt::Debug + Send + Sync {
    /// Whether a workflow is paused. With `fresh`, as it is at this moment; without, as it was up to 15 s ago, so that
    /// asking costs no request most of the time.
    async fn is_paused(&self, workflow: &str, fresh: bool) -> Result<bool>;

    /// Pauses a workflow. Answers whether it was not paused before.
    async fn pause(&self, pause: &Pause) -> Result<bool>;

    /// Ends a workflow's pause and wakes what waited for that. Answers whether it was paused.
    async fn unpause(&self, workflow: &str, now: Timestamp) -> Result<bool>;

    /// All pauses, by workflow.
    async fn pauses(&self) -> Result<Vec<Pause>>;
}

/// A workflow is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Which.
    pub workflow: String,
    /// Since when.
    pub since: Timestamp,
    /// By whom.
    pub by: String,
}

/// Messages that were given up.
#[async_trait]
pub trait DeadLetters: fmt::Debug + Send + Sync {
    /// Dead letters, of one workflow or of all. Looking at them changes nothing about them.
    async fn dead_letters(&self, workflow: Option<&str>, page: &PageRequest) -> Result<Page<DeadLetter>>;

    /// Gives a dead letter another chance: its work is made durable anew, then the letter is gone. `None` when there is
    /// no such letter.
    async fn redrive(&self, id: &str, now: Timestamp) -> Result<Option<Redriven>>;

    /// Gives dead letters of a workflow another chance: all there are, or the first 1,000 or so. Answers how many.
    async fn redrive_all(&self, workflow: &str, now: Timestamp) -> Result<u64>;

    /// Drops a dead letter for good. Answers whether there was one.
    async fn discard(&self, id: &str) -> Result<bool>;
}

/// A message that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Identifies it.
    pub id: String,
    /// Whose queue it was in.
    pub workflow: String,
    /// The run it was for, if it could be read so far.
    pub run: Option<RunId>,
    /// Why it was given up, as far as anybody knows.
    pub reason: String,
    /// When it was given up, or sent, whichever is known.
    pub at: Option<Timestamp>,
    /// How often it was received.
    pub receives: Option<u32>,
    /// What it says, when that is more than the run's id.
    pub body: Option<String>,
}

/// What became of a dead letter's work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "redriven", rename_all = "snake_case")]
pub enum Redriven {
    /// Its message is in its queue again.
    Sent,
    /// Its run had been ended; this one goes on where that stood.
    Rerun {
        /// The new run.
        run: RunId,
    },
}

/// Whether all is well.
#[async_trait]
pub trait Vitals: fmt::Debug + Send + Sync {
    /// How things stand.
    async fn health(&self, now: Timestamp) -> Result<Health>;
}

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The queue of each workflow.
    pub queues: Vec<QueueHealth>,
    /// The oldest run that has not started, if there is one.
    pub oldest_queued: Option<OldestRun>,
    /// Runs whose wake-up or lease has been overdue for more than two minutes; at most 1,000 are counted.
    pub overdue: u64,
    /// When what died in the middle of something was last looked for: by the caretaker, or by the worker.
    pub swept_at: Option<Timestamp>,
    /// Whether a worker process is alive; `None` where nothing keeps running.
    pub worker: Option<bool>,
}

/// How a workflow's queue stands. On AWS, SQS gives the numbers as approximate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueHealth {
    /// The workflow.
    pub workflow: String,
    /// Messages that are due and not received.
    pub ready: u64,
    /// Messages that somebody works on.
    pub in_flight: u64,
    /// Messages for later.
    pub delayed: u64,
    /// Dead letters.
    pub dead: u64,
}

/// A run that waits to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is the run's field of that name")]
pub struct OldestRun {
    pub run_id: RunId,
    pub workflow: String,
    pub created_at: Timestamp,
}

impl OldestRun {
    /// What is told of a run.
    pub fn of(run: &Run) -> Self {
        Self { run_id: run.id.clone(), workflow: run.workflow.clone(), created_at: run.created_at }
    }
}
