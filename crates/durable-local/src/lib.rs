//! Durable workflows on one machine.
//!
//! - [`Store`]: the engine's ports over one SQLite file that several processes may share.
//! - [`Worker`]: takes wake-ups from the store and runs workflows, their schedules and the upkeep.
//!
//! Every write is on disk before it is answered: SQLite in WAL mode with `synchronous=FULL`, one writer that commits all
//! that is waiting in one transaction. When a process dies, its leases and messages are free as soon as anybody looks: each
//! worker holds an operating-system lock on a file, and the lock dies with it.

mod bus;
mod clock;
mod dead_letters;
mod flow;
mod history;
mod journal;
mod keys;
mod liveness;
mod messages;
mod pauses;
#[cfg(test)]
mod plans;
mod schedule;
mod schema;
mod search;
mod store;
mod tallies;
mod vitals;
mod worker;
mod writer;

pub use bus::Accepted;
pub use clock::{SystemClock, SystemRandom};
pub use store::Store;
pub use worker::Worker;
