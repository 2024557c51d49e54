//! What is kept about a run.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Envelope, Error, payload::Payload, step::StepId};

/// Identifies a run: a hash of its workflow and its event, so that an event delivered twice finds the same run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// The run that the event with this id (or idempotency key) starts in this workflow.
    pub fn of(workflow: &str, event_id: &str) -> Self {
        let mut hash = Sha256::new();
        // The length keeps ("a", "bc") apart from ("ab", "c").
        hash.update((workflow.len() as u64).to_be_bytes());
        hash.update(workflow);
        hash.update(event_id);
        // 128 bits: no two of 10^15 runs meet, by chance of less than 10^-8.
        let mut id = hex::encode(hash.finalize());
        id.truncate(32);
        Self(id)
    }

    /// The id of a run known by its text, as people pass it around.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted, and no step started: it has not been seen by a worker, or waits for its turn.
    Queued,
    /// An invocation is at work on it.
    Running,
    /// Between two invocations: it sleeps, waits for a retry, or is about to go on.
    Waiting,
    /// Ended with an output.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended by a person.
    Cancelled,
}

impl Status {
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The name, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a run that is not running waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum WaitingFor {
    /// A sleep to end.
    Sleep {
        /// Which one.
        step: StepId,
        /// When it ends.
        until: Timestamp,
    },
    /// The next attempt of a step.
    StepRetry {
        /// Which one.
        step: StepId,
        /// When it is made.
        until: Timestamp,
        /// How many attempts were made.
        attempts: u32,
        /// How the last one ended.
        error: String,
    },
    /// The next attempt of the whole workflow.
    Retry {
        /// When it is made.
        until: Timestamp,
        /// How many attempts were made.
        attempts: u32,
        /// How the last one ended.
        error: String,
    },
    /// An answer from outside.
    Callback {
        /// The step that handed the work over.
        step: StepId,
        /// Until when, unless a sign of life comes.
        until: Timestamp,
    },
    /// An event.
    Event {
        /// The step that waits for it.
        step: StepId,
        /// The event's name.
        event: String,
        /// What its data must have: at each of these places (names with dots between them) this value.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        matching: BTreeMap<String, Value>,
        /// Until when.
        until: Timestamp,
        /// Whether its concurrency slot is given to the next in line.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        aside: bool,
    },
    /// A slot of a concurrency key.
    Slot {
        /// The key.
        key: String,
        /// Place in the line, from 1.
        position: u32,
    },
    /// A start that a throttle reserved for later.
    Throttle {
        /// The key.
        key: String,
        /// When it is.
        until: Timestamp,
    },
    /// The end of its workflow's pause.
    Paused,
    /// A start that a throttle reserved for later, its concurrency slot given to the next in line.
    Aside {
        /// The throttle's key.
        key: String,
        /// When it is.
        until: Timestamp,
    },
    /// A fresh invocation, because the time left in the last one did not suffice for the next step.
    Handover,
}

impl WaitingFor {
    /// Whether it is the run's own affair, so that its concurrency slot goes to the next in line.
    pub(crate) fn is_aside(&self) -> bool {
        matches!(self, Self::Aside { .. } | Self::Event { aside: true, .. })
    }

    /// When it ends, if that is known.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Sleep { until, .. }
            | Self::StepRetry { until, .. }
            | Self::Retry { until, .. }
            | Self::Callback { until, .. }
            | Self::Event { until, .. }
            | Self::Throttle { until, .. }
            | Self::Aside { until, .. } => Some(*until),
            Self::Slot { .. } | Self::Paused | Self::Handover => None,
        }
    }
}

impl fmt::Display for WaitingFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sleep { step, until } => write!(f, "{step} until {until}"),
            Self::StepRetry { step, until, attempts, error } => {
                write!(f, "{step} again at {until}, after {attempts} failed: {error}")
            }
            Self::Retry { until, attempts, error } => {
                write!(f, "the workflow again at {until}, after {attempts} failed: {error}")
            }
            Self::Callback { step, until } => write!(f, "an answer to {step} until {until}"),
            Self::Event { event, until, .. } => write!(f, "the event {event} until {until}"),
            Self::Slot { key, position } => write!(f, "a slot of {key}, place {position} in line"),
            Self::Throttle { key, until } => write!(f, "the throttle of {key} until {until}"),
            Self::Paused => f.write_str("the end of its workflow's pause"),
            Self::Aside { key, until } => write!(f, "the throttle of {key} until {until}, out of line"),
            Self::Handover => f.write_str("a fresh invocation"),
        }
    }
}

/// Everything known about a run but its steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The workflow it is a run of.
    pub workflow: String,
    /// The event that caused it.
    pub event: Envelope,
    /// Where it stands.
    pub status: Status,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it had its slot and its turn, and its first step could start.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it waits for; the earliest first when branches wait for several things.
    pub waiting_for: Vec<WaitingFor>,
    /// When a wake-up that is on its way will wake it. `None`: it runs, or somebody else must wake it.
    pub wake_at: Option<Timestamp>,
    /// How many attempts of the whole workflow have failed.
    pub failures: u32,
    /// How many invocations took its lease: the fencing epoch of the last one.
    pub epoch: u64,
    /// How many answers from outside have come.
    #[serde(default)]
    pub signals: u64,
    /// What it answered.
    pub output: Option<Payload>,
    /// Why it failed.
    pub error: Option<Error>,
    /// The flow-control key that its event has: its concurrency key, or without one its first throttle's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What it waited for when it was cancelled: what it had left to a worker is withdrawn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waited_for: Vec<WaitingFor>,
    /// The run that a person started again with this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<RunId>,
}

impl Run {
    /// When what it is about was asked for: its event was sent, or a person started it again.
    pub(crate) fn asked_for_at(&self) -> Timestamp {
        if self.rerun_of.is_some() { self.created_at } else { self.event.sent_at }
    }

    /// A run that nobody has looked at yet.
    pub fn queued(workflow: &str, event: Envelope, now: Timestamp) -> Self {
        Self {
            id: RunId::of(workflow, &event.id),
            workflow: workflow.to_owned(),
            event,
            status: Status::Queued,
            created_at: now,
            started_at: None,
            ended_at: None,
            waiting_for: Vec::new(),
            wake_at: None,
            failures: 0,
            epoch: 0,
            signals: 0,
            output: None,
            error: None,
            key: None,
            waited_for: Vec::new(),
            rerun_of: None,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// With this output.
    Completed(Payload),
    /// With this error.
    Failed(Error),
}

/// What an invocation leaves behind when it goes before the run has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspension {
    /// `Queued` while flow control holds the run back, else `Waiting`.
    pub status: Status,
    /// What the run waits for.
    pub waiting_for: Vec<WaitingFor>,
    /// When the wake-up that was sent arrives; `None` when a hand-over wakes the run.
    pub wake_at: Option<Timestamp>,
    /// How many attempts of the whole workflow have failed.
    pub failures: u32,
    /// Set once, when the run passed flow control.
    pub started_at: Option<Timestamp>,
    /// How many answers from outside the invocation has seen.
    pub signals: u64,
}
