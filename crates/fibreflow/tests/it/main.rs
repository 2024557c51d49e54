//! The clients against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod http;
mod neon;
mod pages;
mod pooler;
mod server;
mod services;
mod takeover;
mod tls;
mod values;
