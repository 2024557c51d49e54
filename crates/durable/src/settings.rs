//! How a driver works, whatever the workflow.

use std::time::Duration;

use crate::{Window, clock::seconds};

/// How a driver works, whatever the workflow.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a lease lasts. A run whose invocation died goes on after at most this.
    pub lease: Duration,
    /// Whether a lease is renewed, each third of its length, while the invocation works. Where invocations have a longest
    /// duration, a lease of that length needs no renewal, and no requests for it.
    pub renew: bool,
    /// Waits up to this long are waited for in the invocation: a suspension costs more than it saves.
    pub short_wait: Duration,
    /// Makes every sleep, retry delay, throttle window and timeout so many times shorter, to watch a slow workflow. 1 for
    /// none.
    pub time_scale: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lease: seconds(30), renew: true, short_wait: seconds(1), time_scale: 1 }
    }
}

impl Settings {
    pub(crate) fn scale(&self, duration: Duration) -> Duration {
        duration / self.time_scale.max(1)
    }

    pub(crate) fn scale_windows(&self, windows: &[Window]) -> Vec<Window> {
        windows.iter().map(|window| Window { period: self.scale(window.period), ..*window }).collect()
    }
}
