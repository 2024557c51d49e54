//! How things stand, and whether that is well.

use durable::{Health, OldestRun, QueueHealth, minutes, until};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::text;

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct HealthItem {
    /// `ok`, or `warn` when somebody should look.
    pub(crate) status: &'static str,
    /// What somebody should look at.
    pub(crate) concerns: Vec<String>,
    /// The queue of each workflow.
    pub(crate) queues: Vec<QueueItem>,
    /// The oldest run that has not started.
    pub(crate) oldest_queued_run: Option<String>,
    /// Since when it waits.
    pub(crate) oldest_queued_since: Option<Timestamp>,
    /// Runs whose wake-up or lease is overdue.
    pub(crate) overdue: u64,
    /// When what died in the middle of something was last looked for.
    pub(crate) swept_at: Option<Timestamp>,
    /// Whether a worker is alive; null where nothing keeps running.
    pub(crate) worker: Option<bool>,
}

/// How a workflow's queue stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct QueueItem {
    /// The workflow.
    pub(crate) workflow: String,
    /// Messages that are due and not received.
    pub(crate) ready: u64,
    /// Messages that somebody works on.
    pub(crate) in_flight: u64,
    /// Messages for later.
    pub(crate) delayed: u64,
    /// Dead letters.
    pub(crate) dead: u64,
}

impl HealthItem {
    pub(crate) fn of(health: Health, now: Timestamp) -> Self {
        let concerns = concerns(&health, now);
        let queue = |queue: QueueHealth| {
            let QueueHealth { workflow, ready, in_flight, delayed, dead } = queue;
            QueueItem { workflow, ready, in_flight, delayed, dead }
        };
        let oldest = |oldest: OldestRun| (oldest.run_id.as_str().to_owned(), oldest.created_at);
        let (oldest_queued_run, oldest_queued_since) = health.oldest_queued.map(oldest).unzip();
        Self {
            status: if concerns.is_empty() { "ok" } else { "warn" },
            concerns,
            queues: health.queues.into_iter().map(queue).collect(),
            oldest_queued_run,
            oldest_queued_since,
            overdue: health.overdue,
            swept_at: health.swept_at,
            worker: health.worker,
        }
    }
}

/// The caretaker comes every minute; what it has missed five times is a fault.
const SWEEP: std::time::Duration = minutes(5);

fn concerns(health: &Health, now: Timestamp) -> Vec<String> {
    let mut concerns = Vec::new();
    if health.worker == Some(false) {
        concerns.push("No worker is alive: runs wait until one is started.".to_owned());
    }
    if health.overdue > 0 {
        let runs = if health.overdue == 1 { "run is" } else { "runs are" };
        concerns.push(format!("{} {runs} overdue: nothing has woken them.", text::count(health.overdue)));
    }
    let dead: u64 = health.queues.iter().map(|queue| queue.dead).sum();
    if dead > 0 {
        let letters = if dead == 1 { "dead letter waits" } else { "dead letters wait" };
        concerns.push(format!("{} {letters} for somebody to look.", text::count(dead)));
    }
    if let Some(swept_at) = health.swept_at.filter(|swept_at| until(*swept_at, now) > SWEEP) {
        let ago = text::when(swept_at, now);
        concerns.push(format!("What died was last looked for {ago}: expected every minute."));
    }
    concerns
}

#[cfg(test)]
mod tests {
    use durable::{after, seconds};

    use super::*;

    #[test]
    fn what_is_wrong_is_said_and_nothing_else() {
        let now = after(Timestamp::UNIX_EPOCH, seconds(10_000));
        let well = Health {
            queues: Vec::new(),
            oldest_queued: None,
            overdue: 0,
            swept_at: Some(now),
            worker: Some(true),
        };
        assert_eq!(HealthItem::of(well.clone(), now).status, "ok");
        assert_eq!(concerns(&Health { worker: None, swept_at: None, ..well.clone() }, now), [""; 0]);
        let queue = QueueHealth { workflow: "w".into(), ready: 0, in_flight: 0, delayed: 0, dead: 2 };
        let swept_at = Some(Timestamp::UNIX_EPOCH);
        let ill = Health { queues: vec![queue], overdue: 1, worker: Some(false), swept_at, ..well };
        let item = HealthItem::of(ill, now);
        assert_eq!((item.status, item.concerns.len()), ("warn", 4));
        assert!(item.concerns[1].starts_with("1 run is overdue"), "{:?}", item.concerns);
    }
}
