//! Durable workflows on AWS: Lambda runs them, SQS wakes them, DynamoDB remembers, EventBridge connects, S3 holds what is
//! large. Nothing keeps running in between.
//!
//! - [`Aws`]: the engine's ports. `journal`, `commit`, `answers`, `listing`: runs and steps; `slots`, `head`, `ledger`: flow
//!   control; `wakeups`, `bus`, `jobs`, `blobs`.
//! - [`serve`]: the Lambda entry.
//! - [`sweep`]: what the caretaker does every minute.
//! - [`record`]: what the recorder does with a batch of events, so that people can look at them later.
//! - With the feature `console`, `Aws::desk`: what people see and steer.
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
//! | `note#<name>` | `note` | a text that people set, see [`Note`] |
//! | `event#<id>` | `event`, `data` | an event of the past; its data when that is over 1 KB |
//! | `@events/<name>#<shard>` | `<time>#<id>` | that there is an event of a name |
//! | `wait#<key>`, `shapes#<event>` | `<run>#<step>`, `shape#<places>` | who waits for an event; at which places those who do compare it |
//! | `singleton#<key>` | `register` | the newest run of a key |
//! | `audit#<time>#<id>` | `all`, `target` | a line of the audit trail |
//! | `control` | `pause#<workflow>`, `sweep` | a pause; when the caretaker made its last pass |
//!
//! Both keys are strings. `expires_at` is the TTL attribute. Indexes: `listed` (global: `list_shard`, `list_at`, both strings;
//! projects `status`), `due` (global: `due_shard` string, `due_at` number; projects `workflow`, `status`), `arrival` (local:
//! `ticket` number; keys only).

mod answers;
mod aws;
mod batch;
mod blobs;
mod bury;
mod bus;
mod caretaker;
mod clients;
mod clock;
mod commit;
#[cfg(feature = "console")]
mod dead_letters;
mod document;
#[cfg(feature = "console")]
mod events;
mod failure;
mod fetch;
mod gate;
mod head;
#[cfg(feature = "console")]
mod history;
#[cfg(feature = "console")]
mod index;
mod items;
mod jobs;
mod journal;
#[cfg(feature = "console")]
mod keys;
mod lambda;
mod ledger;
#[cfg(feature = "console")]
mod listing;
#[cfg(feature = "local")]
mod local;
mod message;
mod metrics;
mod note;
mod pauses;
mod recorder;
mod registers;
mod runs;
mod settings;
mod slots;
#[cfg(feature = "console")]
mod statistics;
mod table;
mod traces;
#[cfg(feature = "console")]
mod vitals;
mod waits;
mod wakeups;

pub use aws::Aws;
pub use caretaker::{Swept, sweep};
pub use clients::{Clients, loader};
pub use clock::{SystemClock, SystemRandom};
pub use document::{Document, Edition};
pub use lambda::{Function, serve};
pub use message::answer_message;
pub use metrics::Metrics;
pub use note::Note;
pub use recorder::record;
pub use settings::{Queue, Settings};
pub use traces::Traces;
