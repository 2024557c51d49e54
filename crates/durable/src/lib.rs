//! Durable workflows as plain async Rust.
mod clock;
mod error;
mod event;
pub mod line;
mod payload;
mod ports;
mod retry;
mod run;
mod step;
pub mod throttle;

pub use clock::{Clock, Random, after, hours, minutes, seconds, until};
pub use error::{Error, ErrorKind, Result};
pub use event::{Envelope, Event, MAX_EVENT_BYTES};
pub use line::Slot;
pub use payload::{INLINE_BYTES, Payload};
pub use ports::{
    Begin, Blobs, Bus, Filter, Gate, Happening, Journal, Lease, Observer, Ports, Wakeups, Written,
};
pub use retry::{Next, Retry};
pub use run::{Outcome, Run, RunId, Status, Suspension, WaitingFor};
pub use step::{Checkpoint, StepId, StepKind, StepState};
pub use throttle::{Admission, Window};
