//! What was: which runs and events to list, and what people did about them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Envelope, Run, Status};

/// Which runs to list. An empty filter lists them all. Times are compared in milliseconds, as they are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFilter {
    /// Only of one of these workflows; empty for all.
    pub workflows: Vec<String>,
    /// Only with one of these statuses; empty for all.
    pub statuses: Vec<Status>,
    /// Only those created at this time or later.
    pub from: Option<Timestamp>,
    /// Only those created before this time.
    pub before: Option<Timestamp>,
    /// Only those started by the event with this id, reruns included.
    pub event_id: Option<String>,
    /// Only those started by an event of this name.
    pub event_name: Option<String>,
    /// Only those with this flow-control key; see [`Run::key`].
    pub key: Option<String>,
    /// Only those whose id starts with this, or whose event's id, whole key, or key without its workflow is this.
    pub text: Option<String>,
}

impl RunFilter {
    /// Whether a run is one of those asked for.
    pub fn matches(&self, run: &Run) -> bool {
        let one_of =
            |wanted: &[String], value: &str| wanted.is_empty() || wanted.iter().any(|one| one == value);
        one_of(&self.workflows, &run.workflow)
            && (self.statuses.is_empty() || self.statuses.contains(&run.status))
            && self.from.is_none_or(|from| is_from(run.created_at, from))
            && self.before.is_none_or(|before| !is_from(run.created_at, before))
            && self.event_id.as_ref().is_none_or(|id| run.event.id == *id)
            && self.event_name.as_ref().is_none_or(|name| run.event.name == *name)
            && self.key.as_ref().is_none_or(|key| run.key.as_ref() == Some(key))
            && self.text.as_ref().is_none_or(|text| is_found_by(run, text))
    }
}

fn is_from(at: Timestamp, from: Timestamp) -> bool {
    at.as_millisecond() >= from.as_millisecond()
}

fn is_found_by(run: &Run, text: &str) -> bool {
    run.id.as_str().starts_with(text)
        || run.event.id == text
        || run.key.as_deref().is_some_and(|key| key == text || bare_key(key) == text)
}

/// A flow-control key without the name of its workflow: what its author's function made of the event.
pub fn bare_key(key: &str) -> &str {
    key.split_once(':').map_or(key, |(_, bare)| bare)
}

/// Which events to list. An empty filter lists them all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventFilter {
    /// Only of this name.
    pub name: Option<String>,
    /// Only those sent at this time or later.
    pub from: Option<Timestamp>,
    /// Only those sent before this time.
    pub before: Option<Timestamp>,
}

impl EventFilter {
    /// Whether an event is one of those asked for.
    pub fn matches(&self, event: &Envelope) -> bool {
        self.name.as_ref().is_none_or(|name| event.name == *name)
            && self.from.is_none_or(|from| is_from(event.sent_at, from))
            && self.before.is_none_or(|before| !is_from(event.sent_at, before))
    }
}

/// What somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Ended a run.
    Cancel,
    /// Started a run again.
    Rerun,
    /// Sent an event.
    Send,
    /// Sent an event of the past again.
    Resend,
    /// Gave a dead letter, or all of a workflow, another chance.
    Redrive,
    /// Dropped a dead letter.
    Discard,
    /// Kept a workflow from starting runs.
    Pause,
    /// Let a workflow start runs again.
    Resume,
    /// Answered a step that waited for an answer from outside.
    Answer,
}

impl Action {
    /// The name, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Rerun => "rerun",
            Self::Send => "send",
            Self::Resend => "resend",
            Self::Redrive => "redrive",
            Self::Discard => "discard",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Answer => "answer",
        }
    }
}

/// One line of the audit trail: who did what, when, to what, and how it ended.
///
/// A line is written before the act, with the result [`Asked`](ActionResult::Asked), and once more after it: whoever dies
/// in between leaves a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Identifies the line.
    pub id: String,
    /// When it was asked for.
    pub at: Timestamp,
    /// By whom, as the console or the command line know them.
    pub who: String,
    /// What.
    pub action: Action,
    /// To which run, event, workflow or dead letter.
    pub target: String,
    /// What else was said: the step to start from, the new run. No payloads.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
    /// How it ended.
    pub result: ActionResult,
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", content = "reason", rename_all = "snake_case")]
pub enum ActionResult {
    /// It was asked for, and nobody has said how it ended.
    Asked,
    /// It was done.
    Done,
    /// It was refused or failed, and why.
    Failed(String),
}

/// Which lines of the audit trail to list. An empty filter lists them all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditFilter {
    /// Only what was done to this.
    pub target: Option<String>,
    /// Only at this time or later.
    pub from: Option<Timestamp>,
    /// Only before this time.
    pub before: Option<Timestamp>,
}

impl AuditFilter {
    /// Whether a line is one of those asked for.
    pub fn matches(&self, entry: &AuditEntry) -> bool {
        self.target.as_ref().is_none_or(|target| entry.target == *target)
            && self.from.is_none_or(|from| is_from(entry.at, from))
            && self.before.is_none_or(|before| !is_from(entry.at, before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{after, seconds};

    fn run() -> Run {
        let at = after(Timestamp::UNIX_EPOCH, seconds(100));
        let event = Envelope { id: "e-1".into(), name: "go".into(), data: Value::Null, sent_at: at };
        Run { key: Some("build:agent".into()), ..Run::queued("build", event, at) }
    }

    #[test]
    fn each_part_of_a_filter_narrows_it() {
        let at = run().created_at;
        let all = RunFilter::default;
        let text = |text: &str| RunFilter { text: Some(text.into()), ..all() };
        for (filter, matches) in [
            (all(), true),
            (RunFilter { workflows: vec!["sync".into(), "build".into()], ..all() }, true),
            (RunFilter { workflows: vec!["sync".into()], ..all() }, false),
            (RunFilter { statuses: vec![Status::Queued], ..all() }, true),
            (RunFilter { statuses: vec![Status::Failed], ..all() }, false),
            (RunFilter { from: Some(at), ..all() }, true),
            (RunFilter { before: Some(at), ..all() }, false),
            (RunFilter { event_id: Some("e-2".into()), ..all() }, false),
            (RunFilter { event_name: Some("go".into()), ..all() }, true),
            (RunFilter { key: Some("agent".into()), ..all() }, false),
            (text(&run().id.as_str()[..5]), true),
            (text("e-1"), true),
            (text("agent"), true),
            (text("build:agent"), true),
            (text("e-"), false),
        ] {
            assert_eq!(filter.matches(&run()), matches, "{filter:?}");
        }
    }
}
