//! The console over the simulated world: routes asked one by one, and pages in a real browser.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests are tests"
)]

mod access;
mod api;
#[cfg(feature = "tools")]
mod browser;
#[cfg(feature = "tools")]
mod fuzz;
#[cfg(feature = "oidc")]
mod oidc;
mod pages;
mod rig;
mod scene;
