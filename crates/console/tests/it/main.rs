//! The console over the simulated world: routes asked one by one, and pages in a real browser.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests are tests")]

mod access;
mod api;
#[cfg(feature = "browser")]
mod browser;
mod pages;
mod rig;
mod scene;
