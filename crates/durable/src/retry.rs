//! When a failed attempt is made again.

use std::{fmt, sync::Arc, time::Duration};

use crate::{Error, hours};

/// How often a step is attempted, and how long to wait between attempts.
///
/// ```
/// use durable::{Retry, seconds, minutes};
///
/// let feature = Retry::fixed(3, seconds(5));
/// let push = Retry::exponential(5, seconds(1)).cap(minutes(1)).jitter(0.2);
/// let polite = Retry::custom(4, |attempt, error| error.message().contains("busy").then(|| seconds(60 * u64::from(attempt))));
/// # let _ = (feature, push, polite);
/// ```
#[derive(Clone)]
pub struct Retry {
    attempts: u32,
    delay: Delay,
    cap: Duration,
    jitter: f64,
}

type CustomDelay = dyn Fn(u32, &Error) -> Option<Duration> + Send + Sync;

#[derive(Clone)]
enum Delay {
    Fixed(Duration),
    Exponential(Duration),
    Custom(Arc<CustomDelay>),
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, after this long.
    Retry(Duration),
    /// No further attempt.
    GiveUp,
}

impl Retry {
    /// At most `attempts` attempts (the first included), `delay` apart.
    pub fn fixed(attempts: u32, delay: Duration) -> Self {
        Self::with(attempts, Delay::Fixed(delay))
    }

    /// At most `attempts` attempts; the first wait is `initial` and each further one twice as long, up to an hour
    /// unless [`cap`](Self::cap) says otherwise.
    pub fn exponential(attempts: u32, initial: Duration) -> Self {
        Self::with(attempts, Delay::Exponential(initial))
    }

    /// At most `attempts` attempts; `delay` is given the number of the attempt that failed (from 1) and its error, and
    /// answers how long to wait, or `None` to give up. It must depend on nothing else: it may be asked again.
    pub fn custom(
        attempts: u32,
        delay: impl Fn(u32, &Error) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        Self::with(attempts, Delay::Custom(Arc::new(delay)))
    }

    /// One attempt and no more.
    pub fn never() -> Self {
        Self::fixed(1, Duration::ZERO)
    }

    fn with(attempts: u32, delay: Delay) -> Self {
        Self { attempts: attempts.max(1), delay, cap: hours(1), jitter: 0.0 }
    }

    /// No wait is longer than this (a server's `Retry-After` excepted).
    #[must_use]
    pub fn cap(mut self, longest: Duration) -> Self {
        self.cap = longest;
        self
    }

    /// Each wait is made up to this fraction longer or shorter, at random, so that runs that failed together do not
    /// come back together. `0.2` means between 80 % and 120 %. Values outside 0 to 1 are brought within it.
    #[must_use]
    pub fn jitter(mut self, fraction: f64) -> Self {
        self.jitter = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
        self
    }

    /// How many attempts there are at most.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// What follows attempt number `attempt` (from 1) that failed with `error`. `bits` are 64 random bits.
    pub fn next(&self, attempt: u32, error: &Error, bits: u64) -> Next {
        if attempt >= self.attempts || !error.is_retryable() {
            return Next::GiveUp;
        }
        let delay = match &self.delay {
            Delay::Fixed(delay) => *delay,
            Delay::Exponential(initial) => initial.saturating_mul(1 << (attempt - 1).min(31)),
            Delay::Custom(delay) => match delay(attempt, error) {
                Some(delay) => delay,
                None => return Next::GiveUp,
            },
        };
        let delay = self.spread(delay.min(self.cap), bits);
        Next::Retry(delay.max(error.delay().unwrap_or_default()))
    }

    fn spread(&self, delay: Duration, bits: u64) -> Duration {
        if self.jitter == 0.0 {
            return delay;
        }
        // 53 bits are what an f64 holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "both values are below 2^53")]
        let unit = (bits >> 11) as f64 / (1_u64 << 53) as f64;
        delay.mul_f64(1.0 + self.jitter * (2.0 * unit - 1.0))
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delay = match &self.delay {
            Delay::Fixed(delay) => format!("{delay:?} apart"),
            Delay::Exponential(initial) => format!("exponential from {initial:?}"),
            Delay::Custom(_) => "custom".to_owned(),
        };
        write!(f, "Retry({} attempts, {delay})", self.attempts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::seconds;

    #[test]
    fn fixed_waits_the_same_and_stops_after_its_attempts() {
        let retry = Retry::fixed(3, seconds(5));
        let error = Error::new("x");
        assert_eq!(retry.next(1, &error, 0), Next::Retry(seconds(5)));
        assert_eq!(retry.next(2, &error, 0), Next::Retry(seconds(5)));
        assert_eq!(retry.next(3, &error, 0), Next::GiveUp);
    }

    #[test]
    fn exponential_doubles_up_to_its_cap() {
        let retry = Retry::exponential(10, seconds(1)).cap(seconds(5));
        let delays: Vec<_> = (1..=4).map(|attempt| retry.next(attempt, &Error::new("x"), 0)).collect();
        assert_eq!(delays, [1, 2, 4, 5].map(|s| Next::Retry(seconds(s))));
    }

    #[test]
    fn a_fatal_error_ends_it() {
        assert_eq!(Retry::fixed(3, seconds(5)).next(1, &Error::fatal("x"), 0), Next::GiveUp);
    }

    #[test]
    fn the_server_may_ask_for_longer_but_not_for_less() {
        let retry = Retry::fixed(3, seconds(5));
        assert_eq!(retry.next(1, &Error::retry_after(seconds(90), "x"), 0), Next::Retry(seconds(90)));
        assert_eq!(retry.next(1, &Error::retry_after(seconds(1), "x"), 0), Next::Retry(seconds(5)));
    }

    #[test]
    fn a_policy_of_ones_own_sees_attempt_and_error() {
        let retry =
            Retry::custom(9, |attempt, error| (error.message() == "busy").then(|| seconds(attempt.into())));
        assert_eq!(retry.next(2, &Error::new("busy"), 0), Next::Retry(seconds(2)));
        assert_eq!(retry.next(2, &Error::new("gone"), 0), Next::GiveUp);
    }

    proptest! {
        #[test]
        fn no_wait_leaves_its_jitter(attempt in 1_u32..200, bits: u64, jitter in 0.0..1.0_f64) {
            let retry = Retry::exponential(u32::MAX, seconds(1)).cap(seconds(600)).jitter(jitter);
            let Next::Retry(delay) = retry.next(attempt, &Error::new("x"), bits) else { panic!("gave up") };
            let plain = seconds(1 << (attempt - 1).min(20)).min(seconds(600)).as_secs_f64();
            prop_assert!(delay.as_secs_f64() >= plain * (1.0 - jitter) - 1e-6);
            prop_assert!(delay.as_secs_f64() <= plain * (1.0 + jitter) + 1e-6);
        }
    }
}
