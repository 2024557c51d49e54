//! Steps as they are shown.

use durable::{Error, ErrorKind, FailedAttempt, StepKind, StepView};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::milliseconds;
use crate::mask::{self, Mask};

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct StepItem {
    /// Its name, and which use of the name it is unless it is the first: `build-feature#2`.
    pub(crate) step: String,
    /// What it is.
    #[schema(value_type = StepKindName)]
    pub(crate) kind: StepKind,
    /// How far it has come: running, retrying, waiting, completed or failed.
    pub(crate) status: &'static str,
    /// How many attempts began.
    pub(crate) attempts: u32,
    /// When the first attempt began.
    pub(crate) started_at: Timestamp,
    /// When the last attempt began, unless that was the first.
    pub(crate) attempt_at: Option<Timestamp>,
    /// When it ended.
    pub(crate) ended_at: Option<Timestamp>,
    /// When its sleep ends, its next attempt is due, or its waiting for an answer is over.
    pub(crate) until: Option<Timestamp>,
    /// From the beginning of its first attempt to its end, in milliseconds.
    pub(crate) took_ms: Option<u64>,
    /// What it returned, sensitive fields masked. Null as well when it is large: see `output_bytes`.
    pub(crate) output: Option<Value>,
    /// The length of its output's JSON, when that is too large to stand here.
    pub(crate) output_bytes: Option<usize>,
    /// Why it failed, or its last attempt did.
    pub(crate) error: Option<ErrorItem>,
    /// The last attempts that failed, the oldest first.
    pub(crate) failures: Vec<FailureItem>,
}

/// What a step is.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "names the engine's values in the description of the API")]
pub(crate) enum StepKindName {
    Run,
    Sleep,
    SendEvent,
    Callback,
    WaitForEvent,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ErrorItem {
    /// What it says about trying again: retryable, no_effect, fatal, outcome_unknown or exhausted.
    pub(crate) kind: &'static str,
    /// The text.
    pub(crate) message: String,
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FailureItem {
    /// Which one, from 1.
    pub(crate) attempt: u32,
    /// When it began.
    pub(crate) started_at: Timestamp,
    /// When it failed.
    pub(crate) ended_at: Timestamp,
    /// Why.
    pub(crate) error: String,
}

impl ErrorItem {
    pub(crate) fn of(error: &Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Retryable => "retryable",
            ErrorKind::NoEffect => "no_effect",
            ErrorKind::Fatal => "fatal",
            ErrorKind::OutcomeUnknown => "outcome_unknown",
            ErrorKind::Exhausted => "exhausted",
        };
        Self { kind, message: mask::text(error.message()) }
    }
}

impl FailureItem {
    fn of(failure: &FailedAttempt) -> Self {
        let FailedAttempt { attempt, started_at, ended_at, error } = failure;
        Self { attempt: *attempt, started_at: *started_at, ended_at: *ended_at, error: mask::text(error) }
    }
}

impl StepItem {
    pub(crate) fn of(step: &StepView, mask: &Mask) -> Self {
        let name = &step.name;
        let output = step.output.as_ref().and_then(|output| serde_json::from_str(output.get()).ok());
        Self {
            step: if step.nth == 1 { name.clone() } else { format!("{name}#{}", step.nth) },
            kind: step.kind,
            status: step.status,
            attempts: step.attempts,
            started_at: step.started_at,
            attempt_at: step.attempt_at,
            ended_at: step.ended_at,
            until: step.until,
            took_ms: step.ended_at.map(|ended| milliseconds(step.started_at, ended)),
            output: output.map(|output: Value| mask.value(&output)),
            output_bytes: step.output_bytes,
            error: step.error.as_ref().map(ErrorItem::of),
            failures: step.failures.iter().map(FailureItem::of).collect(),
        }
    }
}
