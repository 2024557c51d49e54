//! Runs as they are shown: the JSON of the command line and the HTTP interface.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::{
    Blobs, Checkpoint, Envelope, Error, FailedAttempt, Payload, Result, Run, RunId, Status, StepKind,
    StepState, WaitingFor,
};

/// A run in a list.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "each field is the run's field of that name")]
pub struct RunSummary {
    pub run_id: RunId,
    pub workflow: String,
    pub status: Status,
    pub event_id: String,
    pub event_name: String,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub waiting_for: Vec<WaitingFor>,
}

impl RunSummary {
    /// The summary of a run.
    pub fn of(run: &Run) -> Self {
        Self {
            run_id: run.id.clone(),
            workflow: run.workflow.clone(),
            status: run.status,
            event_id: run.event.id.clone(),
            event_name: run.event.name.clone(),
            created_at: run.created_at,
            started_at: run.started_at,
            ended_at: run.ended_at,
            waiting_for: run.waiting_for.clone(),
        }
    }
}

/// A run with all that is known of it.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "each field is the run's field of that name")]
pub struct RunDetail {
    #[serde(flatten)]
    pub summary: RunSummary,
    pub event: Envelope,
    pub output: Option<Value>,
    /// The length of the output's JSON, when that is kept elsewhere and was not fetched.
    pub output_bytes: Option<usize>,
    pub error: Option<Error>,
    pub steps: Vec<StepView>,
}

/// A step of a run.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "each field is the checkpoint's field of that name")]
pub struct StepView {
    pub name: String,
    pub nth: u32,
    pub kind: StepKind,
    pub status: &'static str,
    pub attempts: u32,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// When the last attempt began, if that is not the first.
    pub attempt_at: Option<Timestamp>,
    pub output: Option<Box<RawValue>>,
    /// The length of the output's JSON, when that is kept elsewhere and was not fetched.
    pub output_bytes: Option<usize>,
    pub error: Option<Error>,
    /// What this wait, retry or sleep ends with, at the latest.
    pub until: Option<Timestamp>,
    /// The last attempts that failed.
    pub failures: Vec<FailedAttempt>,
}

impl RunDetail {
    /// The details of a run with these records, as of `now`. Large values are fetched.
    pub async fn of(run: &Run, records: &[Checkpoint], blobs: &dyn Blobs, now: Timestamp) -> Result<Self> {
        let mut detail = Self::bare(run, records, now)?;
        if let (Some(output), Some(_)) = (&run.output, detail.output_bytes.take()) {
            detail.output = Some(output.load(blobs).await?);
        }
        for (step, record) in detail.steps.iter_mut().zip(records) {
            if let (StepState::Completed { output }, Some(_)) = (&record.state, step.output_bytes.take()) {
                step.output = Some(RawValue::from_string(output.json(blobs).await?)?);
            }
        }
        Ok(detail)
    }

    /// The details of a run with these records, as of `now`. Large values are left where they are.
    pub fn bare(run: &Run, records: &[Checkpoint], now: Timestamp) -> Result<Self> {
        let (output, output_bytes) = match &run.output {
            Some(Payload::Json(json)) => (Some(serde_json::from_str(json)?), None),
            Some(Payload::Blob { bytes, .. }) => (None, Some(*bytes)),
            None => (None, None),
        };
        let mut summary = RunSummary::of(run);
        summary.started_at = summary.started_at.or_else(|| began(run, records));
        Ok(Self {
            summary,
            event: run.event.clone(),
            output,
            output_bytes,
            error: run.error.clone(),
            steps: records.iter().map(|record| StepView::of(record, now)).collect::<Result<_>>()?,
        })
    }
}

/// When a run's first step began. That the run has begun is put on record when it first stops, so that it costs no write of
/// its own; until then its steps tell. Those that it took over from another run began before it was there.
fn began(run: &Run, records: &[Checkpoint]) -> Option<Timestamp> {
    records.iter().map(|record| record.started_at).min().map(|first| first.max(run.created_at))
}

impl StepView {
    fn of(record: &Checkpoint, now: Timestamp) -> Result<Self> {
        let ended_at = match &record.state {
            StepState::Sleeping { until } => (*until <= now).then_some(*until),
            StepState::Completed { .. } | StepState::Failed { .. } => Some(record.at),
            StepState::Started
            | StepState::Retrying { .. }
            | StepState::Listening { .. }
            | StepState::Refused { .. } => None,
        };
        let (output, output_bytes) = match &record.state {
            StepState::Completed { output: Payload::Json(json) } => {
                (Some(RawValue::from_string(json.clone())?), None)
            }
            StepState::Completed { output: Payload::Blob { bytes, .. } } => (None, Some(*bytes)),
            _ => (None, None),
        };
        let error = match &record.state {
            StepState::Failed { error }
            | StepState::Refused { error }
            | StepState::Retrying { error, .. } => Some(error.clone()),
            _ => None,
        };
        let until = match &record.state {
            StepState::Sleeping { until }
            | StepState::Retrying { until, .. }
            | StepState::Listening { until, .. } => Some(*until),
            _ => None,
        };
        Ok(Self {
            name: record.step.name.clone(),
            nth: record.step.nth,
            kind: record.kind,
            status: record.state.status(now),
            attempts: record.attempts,
            started_at: record.started_at,
            ended_at,
            attempt_at: record.attempt_at,
            output,
            output_bytes,
            error,
            until,
            failures: record.failures.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StepId, after, seconds};

    #[test]
    fn a_run_that_has_not_stopped_yet_began_with_its_first_step() {
        let at = |second| after(Timestamp::UNIX_EPOCH, seconds(second));
        let event = Envelope { id: "e".into(), name: "go".into(), data: Value::Null, sent_at: at(5) };
        let mut run = Run::queued("flow", event, at(5));
        let step = |name: &str, second| {
            let id = StepId { name: name.into(), nth: 1 };
            Checkpoint::new(id, StepKind::Run, StepState::Started, at(second))
        };
        let began = |run: &Run, records: &[Checkpoint]| {
            RunDetail::bare(run, records, at(9)).unwrap().summary.started_at
        };
        assert_eq!(began(&run, &[]), None);
        assert_eq!(began(&run, &[step("b", 8), step("a", 7)]), Some(at(7)));
        assert_eq!(began(&run, &[step("taken over", 1)]), Some(at(5)), "not before it was there");
        run.started_at = Some(at(6));
        assert_eq!(began(&run, &[step("a", 7)]), Some(at(6)));
    }
}
