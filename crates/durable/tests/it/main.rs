//! The engine in the simulated world.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod actions;
mod callbacks;
mod conformance;
mod crashes;
mod flow;
mod messages;
mod replay;
mod steps;
