//! Durable workflows on AWS: Lambda runs them, SQS wakes them, DynamoDB remembers, EventBridge connects, S3 holds what is
//! large. Nothing keeps running in between.
//!
//! - [`Aws`]: the engine's ports. `journal`, `commit`, `answers`, `listing`: runs and steps; `slots`, `head`, `ledger`: flow
//!   control; `wakeups`, `bus`, `jobs`, `blobs`.
//! - [`serve`]: the Lambda entry.
//! - [`sweep`]: what the caretaker does every minute.
//! - [`Metrics`]: CloudWatch's embedded metric format, on standard output. [`Traces`]: X-Ray, a trace a run.
//!
//! # The table
//!
//! | partition `pk` | sort key `sk` | holds |
//! | --- | --- | --- |
//! | `run#<id>` | `run`, `event` | a run; its event when that is over 1 KB |
//! | `run#<id>` | `step#<name>#<n>` | the record of a step |
//! | `line#<key>` | `head`, `wait#<run>` | who holds a concurrency key, and who waits |
//! | `throttle#<key>` | `ledger` | the starts of a throttled key |
//!
//! Both keys are strings. `expires_at` is the TTL attribute. Indexes: `listed` (global: `list_shard`, `list_at`, both strings;
//! projects `status`), `due` (global: `due_shard` string, `due_at` number; projects `workflow`, `status`), `arrival` (local:
//! `ticket` number; keys only).

mod answers;
mod aws;
mod batch;
mod blobs;
mod bus;
mod caretaker;
mod clients;
mod clock;
mod commit;
mod failure;
mod gate;
mod head;
mod items;
mod jobs;
mod journal;
mod lambda;
mod ledger;
mod listing;
#[cfg(feature = "local")]
mod local;
mod message;
mod metrics;
mod runs;
mod settings;
mod slots;
mod table;
mod traces;
mod wakeups;

pub use aws::Aws;
pub use caretaker::{Swept, sweep};
pub use clients::{Clients, loader};
pub use clock::{SystemClock, SystemRandom};
pub use lambda::{Function, serve};
pub use message::answer_message;
pub use metrics::Metrics;
pub use settings::{Queue, Settings};
pub use traces::Traces;
