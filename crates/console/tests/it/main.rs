//! The console over the simulated world: routes asked one by one, and pages in a real browser.

mod api;
#[cfg(feature = "browser")]
mod browser;
mod pages;
mod rig;
mod scene;
