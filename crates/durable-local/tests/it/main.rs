//! The store and the worker on real files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod jobs;
mod processes;
mod store;
mod worker;
