//! Pages and answers that stay up to date: server-sent events.

use std::{convert::Infallible, future::Future, time::Duration};

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::console::Live;

/// What is told at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// This is how it is now.
    State(String),
    /// This is how it is, and it will not change any more.
    Last(String),
    /// It cannot be said just now.
    Nothing,
}

/// Tells what `look` sees, at once and whenever that has changed.
pub(crate) fn stream<L, F>(live: &Live, headers: &HeaderMap, name: &'static str, look: L) -> Response
where
    L: Fn() -> F + Send + 'static,
    F: Future<Output = Told> + Send + 'static,
{
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let events = stream::unfold(Teller::new(live, seen, look), move |mut teller| async move {
        let events = teller.next(name).await?;
        Some((stream::iter(events.into_iter().map(Ok::<_, Infallible>)), teller))
    });
    let mut response = Sse::new(events.flatten()).keep_alive(KeepAlive::default()).into_response();
    // Told to whatever buffers answers on their way.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

struct Teller<L> {
    look: L,
    live: Live,
    ticks: tokio::time::Interval,
    until: Instant,
    seen: String,
    looked: bool,
    ended: bool,
}

impl<L, F> Teller<L>
where
    L: Fn() -> F,
    F: Future<Output = Told>,
{
    fn new(live: &Live, seen: String, look: L) -> Self {
        let mut ticks = interval(live.every.max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let until = Instant::now() + live.longest;
        Self { look, live: live.clone(), ticks, until, seen, looked: false, ended: false }
    }

    /// Waits until there is something to tell. `None`: no more.
    async fn next(&mut self, name: &str) -> Option<Vec<Event>> {
        loop {
            if self.ended || self.looked && Instant::now() >= self.until {
                return None;
            }
            tokio::select! {
                _ = self.ticks.tick() => {}
                () = stopped(&self.live) => return None,
            }
            let first = !std::mem::replace(&mut self.looked, true);
            let (text, is_last) = match (self.look)().await {
                Told::State(text) => (text, false),
                Told::Last(text) => (text, true),
                Told::Nothing => continue,
            };
            let id = BASE64.encode(&Sha256::digest(&text)[..9]);
            let mut events = Vec::new();
            if first {
                // A browser whose connection ends comes back after this long.
                events.push(Event::default().retry(self.live.every));
            }
            if id != self.seen {
                events.push(Event::default().event(name).id(&id).data(text));
                self.seen = id;
            }
            if is_last {
                events.push(Event::default().event("end").data(""));
                self.ended = true;
            }
            if !events.is_empty() {
                return Some(events);
            }
        }
    }
}

async fn stopped(live: &Live) {
    match &live.stopped {
        // A sender that is gone stops everything as well.
        Some(stopped) => drop(stopped.clone().wait_for(|stopped| *stopped).await),
        None => std::future::pending().await,
    }
}
