//! The ports and the Lambda entry against stand-ins for AWS: MiniStack and moto, started here on free ports.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "these tests take real time")]

mod caretaker;
mod conformance;
mod desk;
mod faults;
mod function;
mod large;
mod lines;
mod races;
mod requests;
mod stand_in;
mod storm;
mod wakeups;
mod wire;
