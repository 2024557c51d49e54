//! What is kept about a step, and what its record means for the next attempt.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Error, payload::Payload};

/// Identifies a step within its run: its name, and which use of that name it is, from 1.
///
/// Never its position: steps may be added and removed while runs are in flight.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepId {
    /// The name the author gave it.
    pub name: String,
    /// Which use of the name, from 1.
    pub nth: u32,
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nth == 1 { f.write_str(&self.name) } else { write!(f, "{}#{}", self.name, self.nth) }
    }
}

/// What a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Code that runs once it succeeds.
    Run,
    /// A wait.
    Sleep,
    /// An event that is sent.
    SendEvent,
    /// Work handed to somebody outside, who answers.
    Callback,
    /// A wait for an event.
    WaitForEvent,
}

impl StepKind {
    /// The name, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Sleep => "sleep",
            Self::SendEvent => "send_event",
            Self::Callback => "callback",
            Self::WaitForEvent => "wait_for_event",
        }
    }
}

/// How far a step has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum StepState {
    /// An attempt of an `at_most_once` step began. Without a later record, nobody knows how it ended.
    Started,
    /// The last attempt failed; the next is due at `until`.
    Retrying {
        /// When the next attempt is due.
        until: Timestamp,
        /// How the last one ended.
        error: Error,
    },
    /// A sleep that ends at `until`. Never overwritten: the time alone says whether it has ended.
    Sleeping {
        /// When it ends.
        until: Timestamp,
    },
    /// Work was handed to somebody outside, and no answer has come; or an event is waited for.
    Listening {
        /// Until when an answer is waited for.
        until: Timestamp,
        /// How long whoever has the work may be silent, if that is limited.
        silence: Option<Duration>,
        /// When that time is up, unless a sign of life comes before.
        alive_until: Option<Timestamp>,
    },
    /// Whoever had the work answered that it failed. What follows is for the workflow to say.
    Refused {
        /// Why.
        error: Error,
    },
    /// The step's one result, for ever.
    Completed {
        /// What it returned.
        output: Payload,
    },
    /// The step's one result, for ever.
    Failed {
        /// Why.
        error: Error,
    },
}

impl StepState {
    /// Whether this record is never replaced: the first of these that is written stays (I2).
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Sleeping { .. } | Self::Completed { .. } | Self::Failed { .. })
    }

    /// The name of the status, as it is shown at the time `now`.
    pub fn status(&self, now: Timestamp) -> &'static str {
        match self {
            Self::Started => "running",
            Self::Retrying { .. } | Self::Refused { .. } => "retrying",
            Self::Listening { .. } => "waiting",
            Self::Sleeping { until } if *until > now => "waiting",
            Self::Sleeping { .. } | Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
        }
    }
}

/// The record of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Which step.
    pub step: StepId,
    /// What it is.
    pub kind: StepKind,
    /// How far it has come.
    pub state: StepState,
    /// How many attempts began, as far as anybody knows.
    pub attempts: u32,
    /// When the first attempt began.
    pub started_at: Timestamp,
    /// When this record was made.
    pub at: Timestamp,
    /// When the last attempt began, if that is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_at: Option<Timestamp>,
    /// The last attempts that failed, the oldest first: at most [`FailedAttempt::KEPT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailedAttempt>,
}

/// An attempt of a step that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// Which one, from 1.
    pub attempt: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it failed.
    pub ended_at: Timestamp,
    /// Why; at most [`FailedAttempt::LONGEST`] characters.
    pub error: String,
}

impl FailedAttempt {
    /// How many a record keeps.
    pub const KEPT: usize = 10;
    /// How much of an error is kept, in characters.
    pub const LONGEST: usize = 500;

    /// An attempt that failed with this error.
    pub fn new(attempt: u32, started_at: Timestamp, ended_at: Timestamp, error: &Error) -> Self {
        let error = error.message().chars().take(Self::LONGEST).collect();
        Self { attempt, started_at, ended_at, error }
    }

    /// The failures of a record, with this one.
    pub fn after(self, before: &[Self]) -> Vec<Self> {
        let forgotten = (before.len() + 1).saturating_sub(Self::KEPT);
        before.iter().skip(forgotten).cloned().chain([self]).collect()
    }
}

impl Checkpoint {
    /// The record of a step's first attempt, which begins, and is recorded, at this time.
    pub fn new(step: StepId, kind: StepKind, state: StepState, at: Timestamp) -> Self {
        Self { step, kind, state, attempts: 1, started_at: at, at, attempt_at: None, failures: Vec::new() }
    }

    /// Records only move forward: one is replaced by one of the same rank or a higher one, and one of rank [`FINAL`] never.
    ///
    /// So an invocation that records that it waits for an answer cannot undo the answer that was quicker, and one that is
    /// late cannot undo what a later attempt did.
    pub fn rank(&self) -> i64 {
        let step_of_attempt = match self.state {
            StepState::Started => 0,
            StepState::Listening { .. } => 1,
            StepState::Refused { .. } => 2,
            StepState::Retrying { .. } => 3,
            StepState::Sleeping { .. } | StepState::Completed { .. } | StepState::Failed { .. } => {
                return FINAL;
            }
        };
        4 * i64::from(self.attempts) + step_of_attempt
    }

    /// Whether this record may take the place of `known`.
    pub fn replaces(&self, known: &Self) -> bool {
        known.rank() < FINAL && known.rank() <= self.rank()
    }
}

/// The [rank](Checkpoint::rank) of a record that is a step's one result (I2).
pub const FINAL: i64 = i64::MAX;

/// What a step that is reached does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// Return the recorded output.
    Return(Payload),
    /// Return the recorded error.
    Fail(Error),
    /// Wait until the next attempt is due.
    Wait { until: Timestamp, attempts: u32, error: Error },
    /// Make this attempt, from 1.
    Attempt(u32),
    /// An attempt began and its end is not known: record that, and make no other.
    OutcomeUnknown { attempt: u32, began: Timestamp },
}

/// What the record of a `run` or `send_event` step means at the time `now`.
pub(crate) fn decide(record: Option<&Checkpoint>, now: Timestamp) -> Decision {
    let Some(record) = record else { return Decision::Attempt(1) };
    match &record.state {
        StepState::Completed { output } => Decision::Return(output.clone()),
        StepState::Failed { error } => Decision::Fail(error.clone()),
        StepState::Retrying { until, error } if *until > now => {
            Decision::Wait { until: *until, attempts: record.attempts, error: error.clone() }
        }
        StepState::Retrying { .. } => Decision::Attempt(record.attempts + 1),
        StepState::Started => Decision::OutcomeUnknown { attempt: record.attempts, began: record.at },
        // The kind was compared before; a sleep or a callback is never asked for here.
        StepState::Sleeping { .. } | StepState::Listening { .. } | StepState::Refused { .. } => {
            Decision::Attempt(record.attempts + 1)
        }
    }
}

/// Says why a record cannot be that of the step the workflow has reached, if it cannot.
pub(crate) fn check_kind(record: &Checkpoint, reached: StepKind) -> Result<(), Error> {
    if record.kind == reached {
        return Ok(());
    }
    let (step, recorded, reached) = (&record.step, record.kind.as_str(), reached.as_str());
    Err(Error::fatal(format!(
        "step {step} was recorded as {recorded} and is now {reached}: a name keeps its kind while runs are in flight; \
         give the new step another name"
    )))
}
