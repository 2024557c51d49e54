//! Numbers about a workflow: what its runs did by the hour, and how long they took.
//!
//! Durations are counted in buckets whose bounds grow by the fourth root of 2, so that a percentile of any number of runs
//! is found in a few hundred counters, and is off by less than a tenth.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Checkpoint, Run, Status, StepState, WaitingFor, until};

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
    /// Attempts, of a step or of the whole workflow, that failed and were to be made again; counted when that was due.
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

/// What one write adds to the numbers of a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// The hour it belongs to.
    pub hour: Timestamp,
    /// What happened.
    pub counts: Counts,
    /// How long the run took, if it completed or failed with this write.
    pub took: Option<Duration>,
}

impl Tally {
    fn new(at: Timestamp, counts: Counts) -> Self {
        Self { hour: hour_of(at), counts, took: None }
    }

    /// What a change of a run adds.
    pub fn of_run(before: &Run, after: &Run) -> Vec<Self> {
        let mut tallies = Vec::new();
        if let (None, Some(at)) = (before.started_at, after.started_at) {
            tallies.push(Self::new(at, Counts { started: 1, ..Counts::default() }));
        }
        let retry = after.waiting_for.iter().find_map(|wait| match wait {
            WaitingFor::Retry { until, .. } if after.failures > before.failures => Some(*until),
            _ => None,
        });
        tallies.extend(retry.map(|at| Self::new(at, Counts { retried: 1, ..Counts::default() })));
        let Some(ended_at) = after.ended_at.filter(|_| !before.status.is_final()) else { return tallies };
        let (counts, took) = match after.status {
            Status::Completed => (Counts { completed: 1, ..Counts::default() }, true),
            Status::Failed => (Counts { failed: 1, ..Counts::default() }, true),
            _ => (Counts { cancelled: 1, ..Counts::default() }, false),
        };
        let took = took.then(|| until(after.created_at, ended_at));
        tallies.push(Self { took, ..Self::new(ended_at, counts) });
        tallies
    }

    /// What a record adds that takes the place of another one of its step.
    pub fn of_record(before: Option<&Checkpoint>, record: &Checkpoint) -> Option<Self> {
        let StepState::Retrying { until, .. } = &record.state else { return None };
        // A write that is repeated adds nothing.
        let is_new = before.is_none_or(|before| before.rank() < record.rank());
        is_new.then(|| Self::new(*until, Counts { retried: 1, ..Counts::default() }))
    }
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

    /// Counts what was counted elsewhere as well.
    pub fn merge(&mut self, other: &Self) {
        for (index, count) in &other.0 {
            self.add(*index, *count);
        }
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
    use crate::{Envelope, Error, StepId, StepKind, after, hours, seconds};

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

    fn run() -> Run {
        let at = Timestamp::UNIX_EPOCH;
        let event =
            Envelope { id: "1".into(), name: "go".into(), data: serde_json::Value::Null, sent_at: at };
        Run::queued("sync", event, at)
    }

    #[test]
    fn a_run_is_counted_when_it_starts_when_it_retries_and_when_it_ends() {
        let at = |second| after(Timestamp::UNIX_EPOCH, seconds(second));
        let started = Run { started_at: Some(at(10)), ..run() };
        let one = |tallies: Vec<Tally>| {
            let [tally] = tallies[..] else { panic!("one: {tallies:?}") };
            tally
        };
        assert_eq!(one(Tally::of_run(&run(), &started)).counts.started, 1);
        let until = at(4000);
        let wait = WaitingFor::Retry { until, attempts: 1, error: "x".into() };
        let retrying = Run { failures: 1, waiting_for: vec![wait], ..started.clone() };
        let tally = one(Tally::of_run(&started, &retrying));
        assert_eq!((tally.hour, tally.counts.retried), (at(3600), 1));
        let failed = Run { status: Status::Failed, ended_at: Some(at(7300)), ..started.clone() };
        let tally = one(Tally::of_run(&started, &failed));
        assert_eq!((tally.hour, tally.counts.failed, tally.took), (at(7200), 1, Some(seconds(7300))));
        assert_eq!(Tally::of_run(&failed, &failed), []);
        let cancelled = Run { status: Status::Cancelled, ..failed };
        assert_eq!(one(Tally::of_run(&started, &cancelled)).took, None);
    }

    #[test]
    fn a_failed_attempt_is_counted_once() {
        let at = Timestamp::UNIX_EPOCH;
        let record = |attempts| Checkpoint {
            attempts,
            ..Checkpoint::new(
                StepId { name: "s".into(), nth: 1 },
                StepKind::Run,
                StepState::Retrying { until: at, error: Error::new("x") },
                at,
            )
        };
        assert!(Tally::of_record(None, &record(1)).is_some());
        assert!(Tally::of_record(Some(&record(1)), &record(2)).is_some());
        assert_eq!(Tally::of_record(Some(&record(2)), &record(2)), None);
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
