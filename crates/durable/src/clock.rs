//! Time and chance, as ports: a simulation sets both.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

/// What time it is, and waiting for a time to come.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now, in whole milliseconds.
    fn now(&self) -> Timestamp;

    /// Returns once it is `at` or later; at once when it already is.
    async fn sleep_until(&self, at: Timestamp);
}

/// Where jitter and new ids come from.
pub trait Random: fmt::Debug + Send + Sync {
    /// 64 random bits.
    fn bits(&self) -> u64;
}

/// `time + delay`, or the latest time there is when that is past the end of the calendar.
///
/// ```
/// # use std::time::Duration;
/// # use jiff::Timestamp;
/// let later = durable::after(Timestamp::UNIX_EPOCH, Duration::from_secs(5));
/// assert_eq!(later.as_second(), 5);
/// ```
pub fn after(time: Timestamp, delay: Duration) -> Timestamp {
    SignedDuration::try_from(delay)
        .ok()
        .and_then(|delay| time.checked_add(delay).ok())
        .unwrap_or(Timestamp::MAX)
}

/// The time from `from` until `to`; zero when `to` is not later.
pub fn until(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A number of seconds.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A number of minutes.
pub const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// A number of hours.
pub const fn hours(count: u64) -> Duration {
    Duration::from_secs(3600 * count)
}
