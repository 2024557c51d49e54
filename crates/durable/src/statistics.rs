//! Numbers about a workflow: what its runs did by the hour, and how long they took.
//!
//! Durations are counted in buckets whose bounds grow by the fourth root of 2, so that a percentile of any number of runs
//! is found in a few hundred counters, and is off by less than a tenth.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The length of a step of the series, in milliseconds.
const HOUR_MS: i64 = 3_600_000;

/// What a workflow's runs did in some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Runs that passed flow control and began.
    pub started: u64,
    /// Runs that ended with an output.
    pub completed: u64,
    /// Runs that ended with an error.
    pub failed: u64,
    /// Runs that a person ended.
    pub cancelled: u64,
    /// Attempts, of a step or of the whole workflow, that failed and were to be made again.
    pub retried: u64,
}

impl Counts {
    /// Adds what happened in another time.
    pub fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.completed += other.completed;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.retried += other.retried;
    }

    /// The share of runs that completed among those that completed or failed; `None` when none did either.
    pub fn success_rate(&self) -> Option<f64> {
        let ended = self.completed + self.failed;
        #[expect(clippy::cast_precision_loss, reason = "counts of runs are far below 2^52")]
        (ended > 0).then(|| self.completed as f64 / ended as f64)
    }
}

/// One hour of a series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hour {
    /// When it begins.
    pub at: Timestamp,
    /// What happened in it.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Numbers about a workflow over some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowStatistics {
    /// The workflow.
    pub workflow: String,
    /// What happened in all.
    pub totals: Counts,
    /// Half of the runs that completed or failed took at most so many milliseconds, from being accepted to their end.
    pub p50_ms: Option<u64>,
    /// So did 95 of 100.
    pub p95_ms: Option<u64>,
    /// Every hour of the time, oldest first, those in which nothing happened included.
    pub hours: Vec<Hour>,
}

impl WorkflowStatistics {
    /// The statistics of these hours, of which any may be missing, over the time `from` to `to`.
    pub fn of(
        workflow: &str,
        known: &BTreeMap<Timestamp, Counts>,
        durations: &Buckets,
        from: Timestamp,
        to: Timestamp,
    ) -> Self {
        let hours: Vec<_> = hours(from, to)
            .map(|at| Hour { at, counts: known.get(&at).copied().unwrap_or_default() })
            .collect();
        let mut totals = Counts::default();
        for hour in &hours {
            totals.add(&hour.counts);
        }
        let percentile = |share| durations.percentile(share).map(millis);
        Self {
            workflow: workflow.to_owned(),
            totals,
            p50_ms: percentile(0.5),
            p95_ms: percentile(0.95),
            hours,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The beginning of the hour a time is in.
pub fn hour_of(time: Timestamp) -> Timestamp {
    let ms = time.as_millisecond().div_euclid(HOUR_MS) * HOUR_MS;
    Timestamp::from_millisecond(ms).unwrap_or(time)
}

/// The beginnings of the hours that a time span touches; at most those of a year.
fn hours(from: Timestamp, to: Timestamp) -> impl Iterator<Item = Timestamp> {
    let last = to.as_millisecond();
    (0..)
        .map(move |n| hour_of(from).as_millisecond() + n * HOUR_MS)
        .take_while(move |ms| *ms < last)
        .take(366 * 24)
        .filter_map(|ms| Timestamp::from_millisecond(ms).ok())
}

/// How many durations fell into each bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Buckets(BTreeMap<u32, u64>);

impl Buckets {
    /// The bucket of a duration: four for each doubling, the first for all below a millisecond.
    pub fn index(duration: Duration) -> u32 {
        let ms = duration.as_secs_f64() * 1000.0;
        if ms < 1.0 {
            return 0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the logarithm of at least 1 is not negative, and that of the longest duration is below 300"
        )]
        {
            (ms.log2() * 4.0).floor() as u32 + 1
        }
    }

    /// Counts so many durations in a bucket.
    pub fn add(&mut self, index: u32, count: u64) {
        *self.0.entry(index).or_default() += count;
    }

    /// The duration that this share (0 to 1) of all did not exceed: the geometric middle of its bucket. `None` when
    /// nothing was counted.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let all: u64 = self.0.values().sum();
        if all == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of runs is far below 2^52, and a share of it lies between 0 and it"
        )]
        let rank = ((all as f64 * share).ceil() as u64).clamp(1, all);
        let mut below = 0;
        let (index, _) = self.0.iter().find(|(_, count)| {
            below += **count;
            below >= rank
        })?;
        Some(match index {
            0 => Duration::ZERO,
            index => Duration::from_secs_f64(((f64::from(*index) - 0.5) / 4.0).exp2() / 1000.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{after, hours, seconds};

    #[test]
    fn a_series_has_every_hour_and_the_sum_of_all() {
        let at = |n| after(Timestamp::UNIX_EPOCH, hours(n));
        let one = Counts { started: 3, completed: 2, failed: 1, cancelled: 0, retried: 5 };
        let known = BTreeMap::from([(at(1), one), (at(3), one), (at(9), one)]);
        let mut durations = Buckets::default();
        durations.add(Buckets::index(seconds(10)), 4);
        let from = after(at(1), seconds(5));
        let statistics = WorkflowStatistics::of("sync", &known, &durations, from, at(4));
        let times: Vec<_> = statistics.hours.iter().map(|hour| hour.at).collect();
        assert_eq!(times, [at(1), at(2), at(3)]);
        assert_eq!(
            statistics.totals,
            Counts { started: 6, completed: 4, failed: 2, cancelled: 0, retried: 10 }
        );
        assert_eq!(statistics.totals.success_rate(), Some(4.0 / 6.0));
        assert_eq!(Counts::default().success_rate(), None);
        assert!(statistics.p50_ms.is_some_and(|ms| (9_000..11_000).contains(&ms)), "{statistics:?}");
    }

    #[test]
    fn nothing_counted_has_no_percentile() {
        assert_eq!(Buckets::default().percentile(0.5), None);
        assert_eq!(Buckets::index(Duration::from_micros(10)), 0);
        assert!(Buckets::index(Duration::MAX) < 300);
    }

    proptest! {
        /// The percentile is off by less than a tenth from the one of the durations themselves.
        #[test]
        fn a_percentile_is_close(mut ms in prop::collection::vec(1_u64..100_000_000, 1..200), share in 0.01_f64..1.0) {
            let mut buckets = Buckets::default();
            for ms in &ms {
                buckets.add(Buckets::index(Duration::from_millis(*ms)), 1);
            }
            ms.sort_unstable();
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let exact = ms[((ms.len() as f64 * share).ceil() as usize).clamp(1, ms.len()) - 1] as f64 / 1000.0;
            let near = buckets.percentile(share).unwrap().as_secs_f64();
            prop_assert!((near / exact - 1.0).abs() < 0.1, "{near} for {exact}");
        }
    }
}
