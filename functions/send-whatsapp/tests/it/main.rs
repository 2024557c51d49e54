//! send-whatsapp on the simulated clock, with its real client and the sandbox's service.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod crashes;
mod outages;
mod pace;
mod rules;
mod sending;
mod worker;
mod world;
