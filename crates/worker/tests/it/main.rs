//! A worker on the jobs of one machine, with real processes and real requests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod commands;
mod jobs;
mod requests;
mod rig;
