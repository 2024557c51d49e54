//! Workflows as they are shown, with numbers about their runs.

use std::time::Duration;

use durable::{Counts, WorkflowStatistics, WorkflowView};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::text;

/// A workflow: what starts it, how its runs flow, whether it is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct WorkflowItem {
    /// Its name.
    pub(crate) workflow: String,
    /// The names of the events that start it.
    pub(crate) events: Vec<String>,
    /// Its schedule: a cron expression of five fields, in UTC.
    pub(crate) schedule: Option<String>,
    /// When the schedule starts it next.
    pub(crate) next_at: Option<Timestamp>,
    /// How often a step is attempted that does not say so itself, the first time included.
    pub(crate) attempts: u32,
    /// How many runs at once, in words.
    pub(crate) concurrency: Option<String>,
    /// How many starts in which time, in words.
    pub(crate) throttles: Vec<String>,
    /// Since when it is paused, while it is.
    pub(crate) paused_since: Option<Timestamp>,
    /// By whom.
    pub(crate) paused_by: Option<String>,
}

/// Numbers about a workflow's runs over some time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct StatisticsItem {
    /// Which workflow.
    pub(crate) workflow: String,
    /// Runs that began.
    pub(crate) started: u64,
    /// Runs that ended with an output.
    pub(crate) completed: u64,
    /// Runs that ended with an error.
    pub(crate) failed: u64,
    /// Runs that a person ended.
    pub(crate) cancelled: u64,
    /// Attempts that failed and were made again.
    pub(crate) retried: u64,
    /// Of those that completed or failed, the share that completed: 0 to 1.
    pub(crate) success_rate: Option<f64>,
    /// Half of the runs took at most so many milliseconds, from being accepted to their end.
    pub(crate) p50_ms: Option<u64>,
    /// So did 95 of 100.
    pub(crate) p95_ms: Option<u64>,
    /// Hour by hour, the oldest first.
    pub(crate) hours: Vec<HourItem>,
}

/// What a workflow's runs did in an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct HourItem {
    /// When the hour begins.
    pub(crate) at: Timestamp,
    /// Runs that began.
    pub(crate) started: u64,
    /// Runs that ended with an output.
    pub(crate) completed: u64,
    /// Runs that ended with an error.
    pub(crate) failed: u64,
}

impl WorkflowItem {
    pub(crate) fn of(view: WorkflowView) -> Self {
        let by_key = |by_key| if by_key { " for each key" } else { "" };
        let throttles = view.throttles.iter().map(|throttle| {
            let windows: Vec<_> = throttle
                .windows
                .iter()
                .map(|window| {
                    let period = text::duration(Duration::from_millis(window.period_ms));
                    format!("{} in any {period}", window.limit)
                })
                .collect();
            format!("at most {}{}", windows.join(" and "), by_key(throttle.by_key))
        });
        let (paused_since, paused_by) = view.pause.map(|pause| (pause.since, pause.by)).unzip();
        Self {
            throttles: throttles.collect(),
            concurrency: view.concurrency.map(|limit| match limit.limit {
                1 => format!("one run at a time{}", by_key(limit.by_key)),
                limit_ => format!("{limit_} runs at a time{}", by_key(limit.by_key)),
            }),
            workflow: view.workflow,
            events: view.events,
            schedule: view.schedule,
            next_at: view.next_at,
            attempts: view.attempts,
            paused_since,
            paused_by,
        }
    }
}

impl StatisticsItem {
    pub(crate) fn of(statistics: WorkflowStatistics) -> Self {
        let Counts { started, completed, failed, cancelled, retried } = statistics.totals;
        let hour = |hour: &durable::Hour| HourItem {
            at: hour.at,
            started: hour.counts.started,
            completed: hour.counts.completed,
            failed: hour.counts.failed,
        };
        Self {
            started,
            completed,
            failed,
            cancelled,
            retried,
            success_rate: statistics.totals.success_rate(),
            p50_ms: statistics.p50_ms,
            p95_ms: statistics.p95_ms,
            hours: statistics.hours.iter().map(hour).collect(),
            workflow: statistics.workflow,
        }
    }
}
