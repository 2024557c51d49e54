//! Runs as they are shown: the JSON of the command line and the HTTP interface.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::{
    Blobs, Checkpoint, Envelope, Error, Payload, Result, Run, RunId, Status, StepKind, StepState, WaitingFor,
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
    pub output: Option<Box<RawValue>>,
    pub error: Option<Error>,
}

impl RunDetail {
    /// The details of a run with these records, as of `now`. Large values are fetched.
    pub async fn of(run: &Run, records: &[Checkpoint], blobs: &dyn Blobs, now: Timestamp) -> Result<Self> {
        let mut steps = Vec::with_capacity(records.len());
        for record in records {
            steps.push(StepView::of(record, blobs, now).await?);
        }
        let output = match &run.output {
            Some(output) => Some(output.load(blobs).await?),
            None => None,
        };
        Ok(Self {
            summary: RunSummary::of(run),
            event: run.event.clone(),
            output,
            error: run.error.clone(),
            steps,
        })
    }
}

impl StepView {
    async fn of(record: &Checkpoint, blobs: &dyn Blobs, now: Timestamp) -> Result<Self> {
        let ended_at = match &record.state {
            StepState::Sleeping { until } => (*until <= now).then_some(*until),
            StepState::Completed { .. } | StepState::Failed { .. } => Some(record.at),
            StepState::Started
            | StepState::Retrying { .. }
            | StepState::Listening { .. }
            | StepState::Refused { .. } => None,
        };
        let (output, error) = match &record.state {
            StepState::Completed { output } => (Some(raw(output, blobs).await?), None),
            StepState::Failed { error }
            | StepState::Refused { error }
            | StepState::Retrying { error, .. } => (None, Some(error.clone())),
            StepState::Started | StepState::Sleeping { .. } | StepState::Listening { .. } => (None, None),
        };
        Ok(Self {
            name: record.step.name.clone(),
            nth: record.step.nth,
            kind: record.kind,
            status: record.state.status(now),
            attempts: record.attempts,
            started_at: record.started_at,
            ended_at,
            output,
            error,
        })
    }
}

async fn raw(output: &Payload, blobs: &dyn Blobs) -> Result<Box<RawValue>> {
    Ok(RawValue::from_string(output.json(blobs).await?)?)
}
