//! Durable workflows as plain async Rust.
//!
//! A [`Workflow`] is an async function that does what must last through its [`Context`]: steps, sleeps, events. Each step's
//! result is recorded; when the process dies, or the run sleeps, the function is run again from its beginning and each
//! recorded step returns its record. This crate decides what happens; storage, queues and time are [`Ports`] that other
//! crates implement.
//!
//! - `workflow`, `context`, `flow`, `retry`, `error`, `event`: what authors use.
//! - `driver`, `turn`, `attempt`, `listen`, `receive`, `scope`: one invocation of a run, from message to suspension or end.
//! - `step`, `callback`, `job`, `waits`, `line`, `singleton`, `throttle`, `retry`, `guard`: the decisions, as plain functions of
//!   records and time.
//! - `ports`, `run`, `payload`, `views`: what backends store and what is shown of it.
//! - `desk`, `actions`, `reply`, `inspect`, `history`, `statistics`, `rerun`: what people see and steer.
//! - [`testing`]: a simulated backend with a virtual clock, crash injection, and the suite that holds backends to the ports.

mod actions;
mod attempt;
pub mod callback;
pub mod claim;
mod clock;
mod context;
mod desk;
mod driver;
mod error;
mod event;
mod flow;
mod guard;
mod history;
mod inspect;
pub mod job;
pub mod line;
mod listen;
mod paging;
mod payload;
mod ports;
mod receive;
mod reply;
mod rerun;
mod retry;
mod run;
mod schedule;
mod scope;
mod settings;
pub mod singleton;
mod statistics;
mod step;
#[cfg(feature = "testing")]
pub mod testing;
pub mod throttle;
mod turn;
mod views;
pub mod waits;
mod workflow;

pub use actions::{ActionError, Bulk, BulkAction, BulkFailure, BulkResult};
pub use clock::{Clock, Random, after, hours, minutes, seconds, until};
pub use context::{Context, Step};
pub use desk::{
    Cause, ConcurrencyView, Desk, EventView, LineView, RunView, SentEvent, ThrottleView, WindowView,
    WorkflowView, cause_of,
};
pub use driver::{Delivery, Disposition, cancel, drive, give_up};
pub use error::{Error, ErrorKind, Result};
pub use event::{Envelope, Event, MAX_EVENT_BYTES};
pub use flow::{CancelOn, Concurrency, Singleton, Throttle, ThrottleLimit};
pub use history::{Action, ActionResult, AuditEntry, AuditFilter, EventFilter, RunFilter, bare_key};
pub use inspect::{
    DeadLetter, DeadLetters, Health, History, Keys, LedgerSummary, Line, LineSummary, OldestRun, Pause,
    Pauses, QueueHealth, Redriven, Vitals,
};
pub use line::Slot;
pub use listen::Callback;
pub use paging::{Cursor, LARGEST_PAGE, Page, PageRequest};
pub use payload::{INLINE_BYTES, Payload};
pub use ports::{
    Begin, Blobs, Bus, Gate, Happening, Jobs, Journal, Lease, Observer, Ports, Suspended, Waits, Wakeups,
    Written,
};
pub use receive::Receive;
pub use reply::Reply;
pub use rerun::{CannotRerun, Rerun, event_again, records_kept, records_taken_over, run_again};
pub use retry::{Next, Retry};
pub use run::{Outcome, Run, RunId, Status, Suspension, WaitingFor};
pub use schedule::Schedule;
pub use settings::Settings;
pub use statistics::{Buckets, Counts, Hour, Tally, WorkflowStatistics, hour_of};
pub use step::{Checkpoint, FINAL, FailedAttempt, StepId, StepKind, StepState};
pub use throttle::{Admission, Window};
pub use views::{RunDetail, RunSummary, StepView};
pub use waits::{Shape, Wait};
pub use workflow::{Definition, Runnable, Workflow};
