//! Virtual time and seeded chance.

use std::{
    future::poll_fn,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Poll, Waker},
};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{Clock, Random};

/// 2026-01-01T00:00:00Z: when every simulation begins.
const EPOCH_SECOND: i64 = 1_767_225_600;

/// A clock that stands still until it is advanced.
#[derive(Debug)]
pub struct SimClock(Mutex<Timers>);

#[derive(Debug)]
struct Timers {
    now: Timestamp,
    sleepers: Vec<(Timestamp, Waker)>,
}

impl Default for SimClock {
    fn default() -> Self {
        let now = Timestamp::from_second(EPOCH_SECOND).unwrap_or(Timestamp::UNIX_EPOCH);
        Self(Mutex::new(Timers { now, sleepers: Vec::new() }))
    }
}

impl SimClock {
    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the next sleeper is to be woken.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers().sleepers.iter().map(|(at, _)| *at).min()
    }

    /// Sets the time and wakes whoever slept until then. Time never goes back.
    pub fn advance_to(&self, time: Timestamp) {
        let mut timers = self.timers();
        timers.now = timers.now.max(time);
        let now = timers.now;
        let (due, later) = std::mem::take(&mut timers.sleepers).into_iter().partition(|(at, _)| *at <= now);
        timers.sleepers = later;
        drop(timers);
        Vec::into_iter(due).for_each(|(_, waker)| waker.wake());
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.timers().now
    }

    async fn sleep_until(&self, at: Timestamp) {
        poll_fn(|context| {
            let mut timers = self.timers();
            if timers.now >= at {
                return Poll::Ready(());
            }
            // A sleeper that was dropped leaves its waker behind: a wake-up too many, and no harm.
            if !timers.sleepers.iter().any(|(time, waker)| *time == at && waker.will_wake(context.waker())) {
                timers.sleepers.push((at, context.waker().clone()));
            }
            Poll::Pending
        })
        .await;
    }
}

/// Random bits that a seed determines: SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug, Default)]
pub struct SimRandom(AtomicU64);

impl SimRandom {
    /// The sequence of a seed.
    pub fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Random for SimRandom {
    fn bits(&self) -> u64 {
        let state =
            self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed).wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
