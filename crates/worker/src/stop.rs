//! Being told to stop: no new jobs at once, and no old ones after a while.

use std::time::Duration;

use durable::{Clock, after};
use durable_local::SystemClock;
use futures::future::select_all;
use jiff::Timestamp;
use tokio::sync::watch;

/// Whether the worker was told to stop, or one of its jobs is no longer wanted, and how long that has.
#[derive(Debug, Clone)]
pub(crate) struct Stopping {
    // Any of them.
    ends: Vec<watch::Receiver<Option<Timestamp>>>,
}

/// Tells the worker, or one job, to stop.
#[derive(Debug)]
pub(crate) struct Stop(watch::Sender<Option<Timestamp>>);

impl Stop {
    pub(crate) fn new() -> (Self, Stopping) {
        let (stop, ends) = watch::channel(None);
        (Self(stop), Stopping { ends: vec![ends] })
    }

    pub(crate) fn within(&self, grace: Duration) {
        self.0.send_replace(Some(after(SystemClock.now(), grace)));
    }
}

impl Stopping {
    /// Whether the time that jobs had is over.
    pub(crate) fn is_over(&self) -> bool {
        let now = SystemClock.now();
        self.ends.iter().any(|ends| ends.borrow().is_some_and(|ends| ends <= now))
    }

    /// Returns when the time that jobs have is over.
    pub(crate) async fn over(self) {
        select_all(self.ends.into_iter().map(|ends| Box::pin(over(ends)))).await;
    }

    /// Over as soon as either of the two is.
    pub(crate) fn or(mut self, other: Self) -> Self {
        self.ends.extend(other.ends);
        self
    }
}

async fn over(mut ends: watch::Receiver<Option<Timestamp>>) {
    let ends = match ends.wait_for(Option::is_some).await {
        Ok(ends) => *ends,
        Err(_) => return,
    };
    SystemClock.sleep_until(ends.unwrap_or(Timestamp::MIN)).await;
}
