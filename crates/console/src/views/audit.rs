//! The audit trail as it is shown.

use durable::{ActionResult, AuditEntry};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::mask;

/// Who did what, when, to what, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AuditItem {
    /// Identifies the line.
    pub(crate) id: String,
    /// When it was asked for.
    pub(crate) at: Timestamp,
    /// By whom.
    pub(crate) who: String,
    /// What: cancel, rerun, send, resend, redrive, discard, pause, resume or answer.
    pub(crate) action: &'static str,
    /// To which run, event, workflow or dead letter.
    pub(crate) target: String,
    /// What else was said.
    pub(crate) detail: Value,
    /// How it ended: asked, done or failed.
    pub(crate) result: &'static str,
    /// Why it failed.
    pub(crate) reason: Option<String>,
}

impl AuditItem {
    pub(crate) fn of(entry: AuditEntry) -> Self {
        let (result, reason) = match entry.result {
            ActionResult::Asked => ("asked", None),
            ActionResult::Done => ("done", None),
            ActionResult::Failed(reason) => ("failed", Some(mask::text(&reason))),
        };
        Self {
            id: entry.id,
            at: entry.at,
            who: entry.who,
            action: entry.action.as_str(),
            target: mask::text(&entry.target),
            detail: entry.detail,
            result,
            reason,
        }
    }

    /// What else was said, in a line.
    pub(crate) fn said(&self) -> String {
        let Value::Object(fields) = &self.detail else { return String::new() };
        let said = fields.iter().filter(|(_, value)| !value.is_null() && **value != Value::Bool(false));
        let word = |(name, value): (&String, &Value)| match value {
            Value::String(text) => format!("{name} {text}"),
            Value::Bool(_) => name.replace('_', " "),
            other => format!("{name} {other}"),
        };
        said.map(word).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_said_is_a_line() {
        let item = AuditItem {
            id: "1".into(),
            at: Timestamp::UNIX_EPOCH,
            who: "ana".into(),
            action: "rerun",
            target: "r".into(),
            detail: json!({"run": "3f2a", "from": null, "output_given": true, "all": false}),
            result: "done",
            reason: None,
        };
        assert_eq!(item.said(), "output given, run 3f2a");
    }
}
