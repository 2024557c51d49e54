//! The real `fibreflow` program: started, asked, stopped, killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod api;
mod commands;
mod console;
mod demo;
mod killed_build;
mod killed_messages;
mod lifecycle;
mod rig;
mod steer;
mod worker;
