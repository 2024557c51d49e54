//! What has happened to a run since it was last looked at.

use durable::{Checkpoint, Run, RunId, Status, StepKind, StepState, until};
use jiff::Timestamp;
use serde::Serialize;

use crate::text;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    /// When, as near as that is known.
    pub(crate) at: Timestamp,
    pub(crate) workflow: String,
    pub(crate) run_id: RunId,
    /// To which step; without one, to the run itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<String>,
    /// `queued`, `started`, `waiting`, `failed_attempt`, `completed`, `failed`, `cancelled`, …
    pub(crate) what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// The same for people.
    #[serde(skip)]
    pub(crate) told: String,
}

/// A run as it was looked at.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) run: Run,
    pub(crate) records: Vec<Checkpoint>,
}

impl Seen {
    /// What happened between `before`, nothing for a run that is new, and this, in order.
    pub(crate) fn since(&self, before: Option<&Self>, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        for record in &self.records {
            let known =
                before.and_then(|before| before.records.iter().find(|known| known.step == record.step));
            if known != Some(record) {
                changes.extend(self.of_step(known, record, now));
            }
        }
        changes.extend(self.of_run(before.map(|before| &before.run), now));
        changes.sort_by_key(|change| change.at);
        changes
    }

    fn change(&self, at: Timestamp, what: &'static str, told: String) -> Change {
        let (workflow, run_id) = (self.run.workflow.clone(), self.run.id.clone());
        Change { at, workflow, run_id, step: None, what, error: None, told }
    }

    fn of_run(&self, before: Option<&Run>, now: Timestamp) -> Vec<Change> {
        let run = &self.run;
        let mut changes = Vec::new();
        if before.is_none() {
            changes.push(self.change(run.created_at, "queued", format!("accepted, {}", run.event.name)));
        }
        if let Some(at) = run.started_at.filter(|_| before.is_none_or(|before| before.started_at.is_none())) {
            changes.push(self.change(at, "started", "started".to_owned()));
        }
        let waits =
            run.waiting_for.first().filter(|_| matches!(run.status, Status::Queued | Status::Waiting));
        if let Some(wait) =
            waits.filter(|_| before.is_none_or(|before| before.waiting_for != run.waiting_for))
        {
            changes.push(self.change(now, "waiting", format!("waits for {}", text::waiting(wait, now))));
        }
        if let Some(at) = run.ended_at.filter(|_| before.is_none_or(|before| before.ended_at.is_none())) {
            let took = text::duration(until(run.created_at, at));
            let error = run.error.as_ref().map(|error| text::masked(error.message()));
            let why =
                error.as_ref().map(|error| format!(": {}", text::short(error, 160))).unwrap_or_default();
            let told = format!("{} in {took}{why}", run.status);
            changes.push(Change { error, ..self.change(at, run.status.as_str(), told) });
        }
        changes
    }

    fn of_step(&self, known: Option<&Checkpoint>, record: &Checkpoint, now: Timestamp) -> Vec<Change> {
        let step = record.step.to_string();
        let seen = known.and_then(|known| known.failures.last()).map_or(0, |failed| failed.attempt);
        let failures = record.failures.iter().filter(|failed| failed.attempt > seen);
        let mut changes: Vec<_> = failures
            .map(|failed| {
                let error = text::masked(&failed.error);
                let told = format!("{step} attempt {} failed: {}", failed.attempt, text::short(&error, 160));
                let change = self.change(failed.ended_at, "failed_attempt", told);
                Change { step: Some(step.clone()), error: Some(error), ..change }
            })
            .collect();
        let took = || text::duration(until(record.attempt_at.unwrap_or(record.started_at), record.at));
        let (what, told) = match &record.state {
            StepState::Completed { .. } if record.kind == StepKind::SendEvent => {
                ("completed", "event sent".to_owned())
            }
            StepState::Completed { .. } => ("completed", format!("done in {}", took())),
            StepState::Failed { .. } => ("failed", "failed for good".to_owned()),
            StepState::Sleeping { until: end } => {
                ("sleeping", format!("sleeps {}", text::duration(until(record.at, *end))))
            }
            StepState::Retrying { until: due, .. } => {
                ("retrying", format!("again in {}", text::duration(until(now, *due))))
            }
            StepState::Listening { .. } => ("handed_over", "handed over".to_owned()),
            StepState::Started => ("running", "began".to_owned()),
            StepState::Refused { .. } => ("refused", "was answered with a failure".to_owned()),
        };
        let change = self.change(record.at, what, format!("{step} {told}"));
        changes.push(Change { step: Some(step), ..change });
        changes
    }
}

#[cfg(test)]
mod tests {
    use durable::{Envelope, Error, FailedAttempt, Payload, StepId, WaitingFor, after, seconds};

    use super::*;

    fn at(second: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, seconds(second))
    }

    fn queued() -> Seen {
        let event = Envelope { id: "e".into(), name: "go".into(), data: 1.into(), sent_at: at(0) };
        Seen { run: Run::queued("sync", event, at(0)), records: Vec::new() }
    }

    fn record(state: StepState, failures: u32) -> Checkpoint {
        let failed = |n| FailedAttempt::new(n, at(1), at(u64::from(n) + 1), &Error::new("no answer"));
        Checkpoint {
            step: StepId { name: "fetch".into(), nth: 1 },
            kind: StepKind::Run,
            state,
            attempts: failures + 1,
            started_at: at(1),
            at: at(5),
            attempt_at: Some(at(4)),
            failures: (1..=failures).map(failed).collect(),
        }
    }

    fn told(after: &Seen, before: Option<&Seen>) -> Vec<String> {
        after.since(before, at(9)).into_iter().map(|change| change.told).collect()
    }

    #[test]
    fn what_is_new_is_told_once_and_in_order() {
        let new = queued();
        assert_eq!(told(&new, None), ["accepted, go"]);
        assert_eq!(told(&new, Some(&new)), [""; 0]);
        let mut tried = new.clone();
        tried.run.started_at = Some(at(1));
        let retrying = StepState::Retrying { until: at(19), error: Error::new("no answer") };
        tried.records = vec![record(retrying, 2)];
        (tried.run.status, tried.run.waiting_for) = (Status::Waiting, vec![WaitingFor::Handover]);
        let lines = told(&tried, Some(&new));
        assert_eq!(
            lines[..3],
            ["started", "fetch attempt 1 failed: no answer", "fetch attempt 2 failed: no answer"]
        );
        assert_eq!(lines[3..], ["fetch again in 10 s", "waits for a fresh invocation"]);
        let mut done = tried.clone();
        done.records = vec![record(StepState::Completed { output: Payload::Json("1".into()) }, 2)];
        (done.run.status, done.run.ended_at) = (Status::Completed, Some(at(8)));
        assert_eq!(told(&done, Some(&tried)), ["fetch done in 1.0 s", "completed in 8.0 s"]);
    }

    #[test]
    fn an_error_tells_no_phone_number() {
        let mut failed = queued();
        failed.run.error = Some(Error::new("no such phone +27821234567"));
        (failed.run.status, failed.run.ended_at) = (Status::Failed, Some(at(3)));
        let change = failed.since(None, at(9)).pop().unwrap();
        assert_eq!(change.error.as_deref(), Some("no such phone +27•••••4567"));
        assert!(!change.told.contains("82123"));
    }
}
