//! sync-databases, on the simulated clock and against PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod postgres;
mod refusals;
mod server;
mod simulated;
