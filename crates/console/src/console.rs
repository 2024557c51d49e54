//! The console: what it shows, to whom, and how.

use std::{sync::Arc, time::Duration};

use axum::Router;
use durable::{Desk, seconds};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::{access::Access, mask::Mask, routes};

/// A console over a backend.
#[derive(Debug)]
pub struct Console {
    desk: Desk,
    access: Access,
    mask: Mask,
    place: String,
    live: Live,
}

/// The console as its handlers share it.
pub(crate) type Shared = Arc<Console>;

/// How pages are kept up to date.
#[derive(Debug, Clone)]
pub struct Live {
    /// How often a page that is open is looked at anew.
    pub every: Duration,
    /// How long one connection tells of changes; its browser then makes another. Zero, where a connection holds a whole
    /// process: it tells once, and browsers ask again after `every`.
    pub longest: Duration,
    /// Ends all connections when it becomes true, so that a server can stop.
    pub stopped: Option<watch::Receiver<bool>>,
}

impl Default for Live {
    fn default() -> Self {
        Self { every: seconds(1), longest: seconds(15 * 60), stopped: None }
    }
}

impl Console {
    /// A console for what there is at this desk.
    pub fn new(desk: Desk, access: Access) -> Self {
        Self { desk, access, mask: Mask::default(), place: "local".to_owned(), live: Live::default() }
    }

    /// Masks other fields than those that are masked by default.
    #[must_use]
    pub fn mask(mut self, mask: Mask) -> Self {
        self.mask = mask;
        self
    }

    /// Names the place whose runs are shown, so that nobody takes one for another.
    #[must_use]
    pub fn place(mut self, place: impl Into<String>) -> Self {
        self.place = place.into();
        self
    }

    /// How pages are kept up to date.
    #[must_use]
    pub fn live(mut self, live: Live) -> Self {
        self.live = live;
        self
    }

    /// The pages under `/console` and the API under `/api/v1`.
    pub fn router(self) -> Router {
        routes::router(Arc::new(self))
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    pub(crate) fn masked(&self) -> &Mask {
        &self.mask
    }

    pub(crate) fn place_name(&self) -> &str {
        &self.place
    }

    pub(crate) fn liveness(&self) -> &Live {
        &self.live
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.desk.ports.clock.now()
    }

    /// A text that nobody else has: what tells two wishes apart.
    pub(crate) fn fresh(&self) -> String {
        let random = &self.desk.ports.random;
        format!("{:016x}{:016x}", random.bits(), random.bits())
    }
}
