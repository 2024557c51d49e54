//! Durable workflows as plain async Rust.
//!
//! A [`Workflow`] is an async function that does what must last through its [`Context`]: steps, sleeps, events. Each step's
//! result is recorded; when the process dies, or the run sleeps, the function is run again from its beginning and each
//! recorded step returns its record. This crate decides what happens; storage, queues and time are [`Ports`] that other
//! crates implement.
//!
//! - `workflow`, `context`, `flow`, `retry`, `error`, `event`: what authors use.
//! - `driver`, `turn`, `attempt`, `listen`, `scope`: one invocation of a run, from message to suspension or end.
//! - `step`, `callback`, `job`, `line`, `throttle`, `retry`, `guard`: the decisions, as plain functions of records and time.
//! - `ports`, `run`, `payload`, `views`: what backends store and what is shown of it.
//! - [`testing`]: a simulated backend with a virtual clock, crash injection, and the suite that holds backends to the ports.

mod attempt;
pub mod callback;
mod clock;
mod context;
mod driver;
mod error;
mod event;
mod flow;
mod guard;
pub mod job;
pub mod line;
mod listen;
mod payload;
mod ports;
mod retry;
mod run;
mod scope;
mod settings;
mod step;
#[cfg(feature = "testing")]
pub mod testing;
pub mod throttle;
mod turn;
mod views;
mod workflow;

pub use clock::{Clock, Random, after, hours, minutes, seconds, until};
pub use context::{Context, Step};
pub use driver::{Delivery, Disposition, cancel, drive};
pub use error::{Error, ErrorKind, Result};
pub use event::{Envelope, Event, MAX_EVENT_BYTES};
pub use flow::{Concurrency, Throttle, ThrottleLimit};
pub use line::Slot;
pub use listen::Callback;
pub use payload::{INLINE_BYTES, Payload};
pub use ports::{
    Begin, Blobs, Bus, Filter, Gate, Happening, Jobs, Journal, Lease, Observer, Ports, Suspended, Wakeups,
    Written,
};
pub use retry::{Next, Retry};
pub use run::{Outcome, Run, RunId, Status, Suspension, WaitingFor};
pub use settings::Settings;
pub use step::{Checkpoint, FINAL, StepId, StepKind, StepState};
pub use throttle::{Admission, Window};
pub use views::{RunDetail, RunSummary, StepView};
pub use workflow::{Definition, Runnable, Workflow};
