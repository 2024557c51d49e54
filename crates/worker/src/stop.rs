//! Being told to stop: no new jobs at once, and no old ones after a while.

use std::time::Duration;

use durable::{Clock, after};
use durable_local::SystemClock;
use jiff::Timestamp;
use tokio::sync::watch;

/// Whether the worker was told to stop, and how long its jobs have.
#[derive(Debug, Clone)]
pub(crate) struct Stopping {
    ends: watch::Receiver<Option<Timestamp>>,
}

/// Tells the worker to stop.
#[derive(Debug)]
pub(crate) struct Stop(watch::Sender<Option<Timestamp>>);

impl Stop {
    pub(crate) fn new() -> (Self, Stopping) {
        let (stop, ends) = watch::channel(None);
        (Self(stop), Stopping { ends })
    }

    pub(crate) fn within(&self, grace: Duration) {
        self.0.send_replace(Some(after(SystemClock.now(), grace)));
    }
}

impl Stopping {
    /// Whether the time that jobs had is over.
    pub(crate) fn is_over(&self) -> bool {
        self.ends.borrow().is_some_and(|ends| ends <= SystemClock.now())
    }

    /// Returns when the time that jobs have is over.
    pub(crate) async fn over(mut self) {
        let ends = match self.ends.wait_for(Option::is_some).await {
            Ok(ends) => *ends,
            Err(_) => return,
        };
        SystemClock.sleep_until(ends.unwrap_or(Timestamp::MIN)).await;
    }
}
