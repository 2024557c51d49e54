//! Events that come from outside: what is wrong with one is said before it is accepted, and names the field.

use durable::{Definition, Envelope, MAX_EVENT_BYTES};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// An event as somebody hands it in.
#[derive(Debug, Deserialize)]
pub(crate) struct Inbound {
    pub(crate) name: String,
    pub(crate) data: Value,
    #[serde(default)]
    pub(crate) id: Option<String>,
}

/// Why something that was handed in is not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) kind: ProblemKind,
    pub(crate) error: String,
    pub(crate) field: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    NotJson,
    Wrong,
    TooLarge,
}

impl Problem {
    /// What an error of the engine says; the field is `whole` unless the error names a part of it.
    pub(crate) fn wrong(error: impl Into<String>, whole: &str) -> Self {
        let error = error.into();
        let field = console::field_of(&error).unwrap_or_else(|| whole.to_owned());
        Self { kind: ProblemKind::Wrong, error, field: Some(field) }
    }

    fn too_large(bytes: usize) -> Self {
        let error = format!(
            "data: {bytes} bytes of JSON, expected at most {MAX_EVENT_BYTES}; send a reference to what is large"
        );
        Self { kind: ProblemKind::TooLarge, error, field: Some("data".to_owned()) }
    }
}

/// Reads JSON.
pub(crate) fn parse(text: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(text).map_err(|error| Problem {
        kind: ProblemKind::NotJson,
        error: format!("not JSON: {error}"),
        field: None,
    })
}

/// Whether data may be an event's by its size.
pub(crate) fn check_size(data: &Value) -> Result<(), Problem> {
    let bytes = data.to_string().len();
    if bytes > MAX_EVENT_BYTES { Err(Problem::too_large(bytes)) } else { Ok(()) }
}

/// Whether data is what every workflow that listens to the event expects.
pub(crate) fn check_data(definitions: &[Definition], name: &str, data: &Value) -> Result<(), Problem> {
    listeners(definitions, name)
        .try_for_each(|workflow| workflow.check(data))
        .map_err(|error| Problem::wrong(error.message(), "data"))
}

/// The workflows that an event of this name starts.
pub(crate) fn listeners<'a>(
    definitions: &'a [Definition],
    name: &'a str,
) -> impl Iterator<Item = &'a Definition> {
    definitions.iter().filter(move |workflow| workflow.events.iter().any(|event| event == name))
}

/// An id for an event, or a task, that has none.
pub(crate) fn fresh_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

impl Inbound {
    pub(crate) fn from_json(value: &Value) -> Result<Self, Problem> {
        serde_path_to_error::deserialize(value).map_err(|error| {
            let text = match error.path().to_string() {
                path if path == "." => error.inner().to_string(),
                path => format!("{path}: {}", error.inner()),
            };
            Problem::wrong(text, "event")
        })
    }

    /// The event, if all workflows that listen to it understand it.
    pub(crate) fn accept(self, definitions: &[Definition], now: Timestamp) -> Result<Envelope, Problem> {
        check_size(&self.data)?;
        check_data(definitions, &self.name, &self.data)?;
        let id = self.id.unwrap_or_else(fresh_id);
        Envelope::untyped(id, self.name, self.data, now)
            .map_err(|error| Problem::wrong(error.message(), "event"))
    }
}

/// What is said of an event that starts nothing.
pub(crate) fn starts_nothing(definitions: &[Definition], name: &str) -> Option<String> {
    if listeners(definitions, name).next().is_some() {
        return None;
    }
    let known: Vec<_> =
        definitions.iter().flat_map(|workflow| &workflow.events).map(String::as_str).collect();
    Some(format!(
        "no workflow listens to {name}: it is recorded and starts nothing; known are {}",
        known.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalogue::definitions;

    fn problem(event: Value) -> Problem {
        Inbound::from_json(&event)
            .and_then(|event| event.accept(&definitions(), Timestamp::UNIX_EPOCH))
            .unwrap_err()
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        let message = |data: Value| json!({"name": "whatsapp/message.queued", "data": data});
        for (event, field) in [
            (json!({"data": {}}), "name"),
            (json!({"name": "agent/build.requested"}), "data"),
            (json!({"name": 7, "data": {}}), "name"),
            (json!([]), "event"),
            (json!({"name": "agent/build.requested", "data": {}}), "agent_name"),
            (json!({"name": "agent/build.requested", "data": {"agent_name": "x"}, "id": ""}), "id"),
            (message(json!({"phone": 12, "message": "x"})), "phone"),
            (message(json!({"phone": "0821234567"})), "message"),
            (message(json!("x")), "data"),
        ] {
            let problem = problem(event.clone());
            assert_eq!(
                (problem.kind, problem.field.as_deref()),
                (ProblemKind::Wrong, Some(field)),
                "{event}"
            );
        }
    }

    #[test]
    fn too_much_is_too_much_whoever_listens() {
        let event = json!({"name": "unheard/of", "data": "x".repeat(MAX_EVENT_BYTES)});
        assert_eq!(problem(event).kind, ProblemKind::TooLarge);
    }

    #[test]
    fn only_an_unknown_event_is_said_to_start_nothing() {
        assert_eq!(starts_nothing(&definitions(), "databases/sync.requested"), None);
        assert!(starts_nothing(&definitions(), "unheard/of").unwrap().contains("agent/build.requested"));
    }
}
