//! What the engine needs from the world around it. Each port has a simulated, a SQLite and an AWS implementation, and one
//! suite holds them all to what is written here.
//!
//! Operations are whole intents, so that each backend carries one out in as few atomic requests as it can. An error of a
//! port ends the invocation; the message that caused it is delivered again. An implementation may have done what it was
//! asked although it answers with an error, so every operation can be repeated.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    Admission, Checkpoint, Clock, Envelope, Outcome, Pauses, Random, Result, Run, RunId, Slot, StepId,
    Suspension, Wait, Window,
    callback::{Answer, Settled, Token},
    job::Job,
    singleton::{Claim, Claimant},
};

/// Runs and their steps.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync {
    /// Takes the lease of `run.id` until `until`, creating the run when there is none. `run` is a queued run made from
    /// the event; when only the id is known, see [`resume`](Self::resume).
    async fn begin(&self, run: Run, now: Timestamp, until: Timestamp) -> Result<Begin>;

    /// Takes the lease of a run that exists.
    async fn resume(&self, run: &RunId, now: Timestamp, until: Timestamp) -> Result<Begin>;

    /// Prolongs the lease. `Fenced` when another invocation or a person has taken the run over.
    async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<Written<()>>;

    /// The records of all steps of a run, in the order in which they were first written.
    async fn checkpoints(&self, run: &RunId) -> Result<Vec<Checkpoint>>;

    /// Records how far a step has come. A final record (see [`StepState::is_final`](crate::StepState::is_final)) is never
    /// replaced: when there is one, it is answered and nothing is written (I2).
    async fn checkpoint(&self, lease: &Lease, checkpoint: &Checkpoint)
    -> Result<Written<Option<Checkpoint>>>;

    /// Ends the invocation before the run has ended: records `records` as [`checkpoint`](Self::checkpoint) does, updates
    /// the run and gives the lease back. Does nothing when answers came that the invocation has not seen.
    async fn suspend(
        &self,
        lease: &Lease,
        suspension: Suspension,
        records: &[Checkpoint],
    ) -> Result<Suspended>;

    /// Records an answer from outside, as [`callback::settle`](crate::callback::settle) decides, whoever holds the lease.
    /// When the run is to be woken, its `signals` count one more and it is due now.
    async fn settle(&self, token: &Token, answer: &Answer, now: Timestamp) -> Result<Settled>;

    /// Ends the run. `started_at` is set when it is not yet.
    async fn finish(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        started_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Written<()>>;

    /// Ends a run from outside, whoever holds its lease. Answers the run as it is now; one that had ended is unchanged.
    async fn cancel(&self, run: &RunId, now: Timestamp) -> Result<Option<Run>>;

    /// A run.
    async fn run(&self, run: &RunId) -> Result<Option<Run>>;
}

/// The right to write to a run: its id and the fencing epoch. A lease that was overtaken can change nothing (I9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// Which invocation of the run this is, from 1.
    pub epoch: u64,
}

/// What asking for a lease answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Begin {
    /// The lease is taken; the run as it is now (its status running, its epoch that of the lease). What it waited for is as
    /// the last invocation left it.
    Leased(Box<Run>),
    /// Another invocation holds the lease until then.
    Busy(Timestamp),
    /// Nothing is due before this time: a wake-up for it was sent, and this one is early or late.
    Early(Timestamp),
    /// The run has ended; its status and event say how and what.
    Ended(Box<Run>),
    /// There is no such run.
    Missing,
}

/// Whether something was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Written<T> {
    /// It was, or what was there is answered.
    Done(T),
    /// The lease was overtaken: nothing was written.
    Fenced,
}

/// Whether an invocation ended before its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspended {
    /// It did.
    Done,
    /// The lease was overtaken: nothing was written.
    Fenced,
    /// Answers came that the invocation has not seen: nothing was written. So many came in all.
    Signalled(u64),
}

/// Flow control.
#[async_trait]
pub trait Gate: fmt::Debug + Send + Sync {
    /// Asks for one of `limit` slots of `key`; see [`line::acquire`](crate::line::acquire).
    async fn acquire(&self, key: &str, limit: u32, run: &RunId) -> Result<Slot>;

    /// Leaves the key's line; answers the runs to wake; see [`line::release`](crate::line::release).
    async fn release(&self, key: &str, limit: u32, run: &RunId) -> Result<Vec<RunId>>;

    /// Asks for a start under the key's windows, right before it is to happen; see [`throttle::admit`](crate::throttle::admit).
    async fn admit(&self, key: &str, windows: &[Window], id: &str, now: Timestamp) -> Result<Admission>;

    /// Gives a reserved start back.
    async fn withdraw(&self, key: &str, id: &str) -> Result<()>;

    /// Asks to be the newest run of a key; see [`singleton::claim`](crate::singleton::claim).
    async fn claim(&self, key: &str, claimant: &Claimant) -> Result<Claim>;

    /// Says that superseded runs have ended; see [`singleton::acknowledge`](crate::singleton::acknowledge).
    async fn acknowledge(&self, key: &str, ended: &[RunId]) -> Result<()>;
}

/// Messages to ourselves: look at this run again.
#[async_trait]
pub trait Wakeups: fmt::Debug + Send + Sync {
    /// Durable once it returns; delivered at `at` or soon after, at least once.
    async fn wake(&self, workflow: &str, run: &RunId, at: Timestamp) -> Result<()>;
}

/// The way out for events.
#[async_trait]
pub trait Bus: fmt::Debug + Send + Sync {
    /// Durable once it returns. An event whose id was published before is not published again where the backend can
    /// tell; where it cannot, the receiving run ids, made from the event's id, do the same.
    async fn publish(&self, events: &[Envelope]) -> Result<()>;
}

/// Who waits for which event; see [`waits`](crate::waits).
#[async_trait]
pub trait Waits: fmt::Debug + Send + Sync {
    /// Makes a wait durable, for as long as it lasts, and answers the first event in the history that it accepts already.
    /// Replaces the wait of this run and step, if there is one.
    async fn wait_for(&self, wait: &Wait) -> Result<Option<Envelope>>;

    /// Ends a wait before its time.
    async fn no_longer(&self, wait: &Wait) -> Result<()>;

    /// The waits that may [accept](Wait::accepts) this event. Those of runs that have ended may be among them.
    async fn waiting_for(&self, event: &Envelope) -> Result<Vec<Wait>>;
}

/// The way out for work that is left to a worker.
#[async_trait]
pub trait Jobs: fmt::Debug + Send + Sync {
    /// Durable once it returns; delivered to one worker at a time, at least once. An error that is not retryable says that
    /// nothing was sent.
    async fn post(&self, job: &Job) -> Result<()>;

    /// Nobody waits for the answer with this token any more: writes [`Claim::withdrawn`](crate::claim::Claim::withdrawn)
    /// over whatever claim there is. Who has not begun the job never begins it, whoever has ends it when it next prolongs
    /// its claim.
    async fn withdraw(&self, job: &Token) -> Result<()>;
}

/// Large values.
#[async_trait]
pub trait Blobs: fmt::Debug + Send + Sync {
    /// Stores bytes under a key; storing them again changes nothing.
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()>;

    /// The bytes under a key.
    async fn get(&self, key: &str) -> Result<Vec<u8>>;
}

/// Tells what happens as it happens, for progress displays, metrics and logs. Nothing durable may depend on it.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Is told of one thing that happened. Must return quickly.
    fn observe(&self, run: &Run, happened: &Happening<'_>);
}

/// What an [`Observer`] is told.
#[derive(Debug)]
pub enum Happening<'a> {
    /// The run passed flow control, and its first step may start.
    Started,
    /// An attempt of a step starts.
    StepStarted(&'a StepId, u32),
    /// A record of a step was made.
    StepRecorded(&'a Checkpoint),
    /// The invocation ends and the run goes on later.
    Suspended(&'a Suspension),
    /// The run ended.
    Finished(&'a Outcome),
    /// The run was found ended by a person. May be told more than once of a run.
    Cancelled,
}

/// All ports together.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is named after its port")]
pub struct Ports {
    pub journal: Arc<dyn Journal>,
    pub gate: Arc<dyn Gate>,
    pub wakeups: Arc<dyn Wakeups>,
    pub bus: Arc<dyn Bus>,
    pub waits: Arc<dyn Waits>,
    pub jobs: Arc<dyn Jobs>,
    pub blobs: Arc<dyn Blobs>,
    pub pauses: Arc<dyn Pauses>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub observer: Option<Arc<dyn Observer>>,
}
