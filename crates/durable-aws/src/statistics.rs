//! Numbers about workflows, from the metrics that functions write to their logs anyway (see `metrics`): counting them once
//! more in the table would cost every run a write.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::{
    primitives::DateTime,
    types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat},
};
use durable::{Buckets, Counts, Result, WorkflowStatistics, hour_of, until};
use futures::future::try_join_all;
use jiff::Timestamp;

use crate::{Aws, failure::failed, metrics::NAMESPACE};

/// A request takes so many queries.
const QUERIES: usize = 500;

const HOUR: i32 = 3_600;

/// What is added up by the hour, and where it is counted.
type Add = fn(&mut Counts, u64);
const SUMS: [(&str, &str, Add); 6] = [
    ("started", "RunsStarted", |counts, count| counts.started += count),
    ("completed", "RunsCompleted", |counts, count| counts.completed += count),
    ("failed", "RunsFailed", |counts, count| counts.failed += count),
    ("cancelled", "RunsCancelled", |counts, count| counts.cancelled += count),
    ("steps", "StepsRetried", |counts, count| counts.retried += count),
    ("runs", "RunsRetried", |counts, count| counts.retried += count),
];

/// What CloudWatch itself finds of all durations.
const PERCENTILES: [&str; 2] = ["p50", "p95"];

impl Aws {
    /// Two requests for up to 62 workflows, and as many more for each further page of a long time. Metrics are a minute or
    /// two behind.
    pub(crate) async fn measured(
        &self,
        workflows: &[String],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<WorkflowStatistics>> {
        let begin = hour_of(from);
        let queries =
            workflows.iter().enumerate().flat_map(|(place, workflow)| queries(place, workflow, begin, to));
        let queries: Vec<_> = queries.collect();
        let found = try_join_all(queries.chunks(QUERIES).map(|some| self.ask(some, begin, to))).await?;
        let found: Vec<_> = found.into_iter().flatten().collect();
        let each = workflows.iter().enumerate();
        Ok(each.map(|(place, workflow)| statistics(place, workflow, &found, from, to)).collect())
    }

    async fn ask(
        &self,
        queries: &[MetricDataQuery],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<MetricDataResult>> {
        let (mut found, mut token) = (Vec::new(), None);
        loop {
            let request =
                self.clients.cloudwatch().get_metric_data().set_metric_data_queries(Some(queries.to_vec()));
            let request = request
                .start_time(DateTime::from_secs(from.as_second()))
                .end_time(DateTime::from_secs(to.as_second()))
                .set_next_token(token);
            let output = request.send().await.map_err(|error| failed("CloudWatch: GetMetricData", error))?;
            found.extend(output.metric_data_results.unwrap_or_default());
            token = output.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(found);
            }
        }
    }
}

fn queries(place: usize, workflow: &str, from: Timestamp, to: Timestamp) -> Vec<MetricDataQuery> {
    // One value for the whole time: a period is a whole number of minutes.
    let minutes = until(from, to).as_secs().div_ceil(60).max(1);
    let whole = i32::try_from(minutes * 60).unwrap_or(i32::MAX);
    let sums = SUMS.iter().map(|(name, metric, _)| query(place, name, workflow, metric, "Sum", HOUR));
    let percentiles =
        PERCENTILES.iter().map(|share| query(place, share, workflow, "RunDuration", share, whole));
    sums.chain(percentiles).collect()
}

fn query(
    place: usize,
    name: &str,
    workflow: &str,
    metric: &str,
    statistic: &str,
    period: i32,
) -> MetricDataQuery {
    let dimension = Dimension::builder().name("workflow").value(workflow).build();
    let metric = Metric::builder().namespace(NAMESPACE).metric_name(metric).dimensions(dimension).build();
    let stat = MetricStat::builder().metric(metric).period(period).stat(statistic).build();
    MetricDataQuery::builder().id(id(place, name)).metric_stat(stat).return_data(true).build()
}

/// Ids begin with a small letter.
fn id(place: usize, name: &str) -> String {
    format!("w{place}_{name}")
}

fn statistics(
    place: usize,
    workflow: &str,
    found: &[MetricDataResult],
    from: Timestamp,
    to: Timestamp,
) -> WorkflowStatistics {
    let values = |name: &str| {
        let id = id(place, name);
        let of = found.iter().filter(move |result| result.id.as_deref() == Some(id.as_str()));
        of.flat_map(|result| result.timestamps().iter().zip(result.values()))
    };
    let mut hours: BTreeMap<Timestamp, Counts> = BTreeMap::new();
    for (name, _, add) in SUMS {
        for (at, count) in values(name) {
            let Ok(at) = Timestamp::from_second(at.secs()) else { continue };
            add(hours.entry(hour_of(at)).or_default(), whole(*count));
        }
    }
    let percentile = |share: &str| values(share).map(|(_, ms)| whole(*ms)).max();
    WorkflowStatistics {
        p50_ms: percentile("p50"),
        p95_ms: percentile("p95"),
        ..WorkflowStatistics::of(workflow, &hours, &Buckets::default(), from, to)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and milliseconds, below 2^53"
)]
fn whole(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use durable::{after, hours, minutes};

    use super::*;

    fn at(time: std::time::Duration) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, time)
    }

    fn result(id: &str, values: &[(u64, f64)]) -> MetricDataResult {
        let times = values.iter().map(|(hour, _)| DateTime::from_secs(at(hours(*hour)).as_second()));
        MetricDataResult::builder()
            .id(id)
            .set_timestamps(Some(times.collect()))
            .set_values(Some(values.iter().map(|(_, value)| *value).collect()))
            .build()
    }

    #[test]
    fn every_number_is_asked_for_by_workflow() {
        let asked = queries(3, "sync", at(hours(1)), at(hours(3) + minutes(1)));
        assert_eq!(asked.len(), 8);
        let stat = |n: usize| asked[n].metric_stat().unwrap();
        let metric = stat(0).metric().unwrap();
        assert_eq!((metric.namespace(), metric.metric_name()), (Some("Durable"), Some("RunsStarted")));
        assert_eq!(metric.dimensions()[0].value(), Some("sync"));
        assert_eq!(
            (asked[0].id(), stat(0).stat(), stat(0).period()),
            (Some("w3_started"), Some("Sum"), Some(3600))
        );
        // One value for the whole time, in whole minutes.
        assert_eq!(
            (asked[7].id(), stat(7).stat(), stat(7).period()),
            (Some("w3_p95"), Some("p95"), Some(7260))
        );
    }

    #[test]
    fn what_is_answered_is_put_together_by_the_hour() {
        let found = [
            result("w0_started", &[(1, 3.0), (2, 1.0)]),
            // A further page of the same.
            result("w0_started", &[(3, 2.0)]),
            result("w0_completed", &[(2, 4.0)]),
            result("w0_steps", &[(2, 1.0)]),
            result("w0_runs", &[(2, 2.0)]),
            result("w0_p50", &[(1, 1500.4)]),
            result("w1_started", &[(1, 9.0)]),
        ];
        let ours = statistics(0, "sync", &found, at(hours(1)), at(hours(4)));
        let by_hour: Vec<_> = ours.hours.iter().map(|hour| hour.counts).collect();
        let none = Counts::default();
        let second = Counts { started: 1, completed: 4, retried: 3, ..none };
        assert_eq!(by_hour, [Counts { started: 3, ..none }, second, Counts { started: 2, ..none }]);
        assert_eq!((ours.p50_ms, ours.p95_ms, ours.totals.started), (Some(1500), None, 6));
    }
}
