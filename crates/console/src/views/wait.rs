//! Why a run waits.

use std::collections::BTreeMap;

use durable::{RunId, StepId, StepView, WaitingFor, callback::Token, until};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    mask::{self, Mask},
    text,
};

/// What a run waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Wait {
    /// What kind of thing.
    pub(crate) kind: WaitKind,
    /// In words.
    #[schema(example = "place 2 in line for a slot of build-agent:sharepoint")]
    pub(crate) text: String,
    /// When it ends, if that is known.
    pub(crate) until: Option<Timestamp>,
    /// The step that waits.
    pub(crate) step: Option<String>,
    /// What an answer is given with: `POST /api/v1/callbacks/{token}`. Only where a run is shown by itself.
    #[schema(example = "6a27cc0b1f0b4c8d9e3a5b7c9d1e3f50.1.1.approve-deployment")]
    pub(crate) token: Option<String>,
    /// The name of the event that is waited for.
    pub(crate) event: Option<String>,
    /// What that event's data must hold, sensitive fields masked. Only where a run is shown by itself.
    pub(crate) data: Option<Value>,
    /// The flow-control key.
    pub(crate) key: Option<String>,
    /// The place in the key's line, from 1.
    pub(crate) position: Option<u32>,
    /// How many attempts were made.
    pub(crate) attempts: Option<u32>,
    /// How the last attempt ended.
    pub(crate) error: Option<String>,
}

/// What kind of thing a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WaitKind {
    Sleep,
    StepRetry,
    Retry,
    Callback,
    Event,
    Slot,
    Throttle,
    Aside,
    Paused,
    Handover,
}

impl Wait {
    fn new(kind: WaitKind, text: String) -> Self {
        let (until, step, token, event, data) = (None, None, None, None, None);
        let (key, position, attempts, error) = (None, None, None, None);
        Self { kind, text, until, step, token, event, data, key, position, attempts, error }
    }

    /// As it is at this time.
    pub(crate) fn of(wait: &WaitingFor, now: Timestamp) -> Self {
        let left = |end: &Timestamp| match until(now, *end) {
            gone if gone.is_zero() => "due now".to_owned(),
            left => format!("for another {}", text::duration(left)),
        };
        let step_wait = |kind, text: String, step: &StepId, until: &Timestamp| Self {
            until: Some(*until),
            step: Some(step.to_string()),
            ..Self::new(kind, text)
        };
        match wait {
            WaitingFor::Sleep { step, until } => {
                step_wait(WaitKind::Sleep, format!("{step} sleeps, {}", left(until)), step, until)
            }
            WaitingFor::StepRetry { step, until, attempts, error } => Self {
                attempts: Some(*attempts),
                error: Some(mask::text(error)),
                ..step_wait(
                    WaitKind::StepRetry,
                    format!("{step} waits for attempt {}, {}", attempts + 1, left(until)),
                    step,
                    until,
                )
            },
            WaitingFor::Retry { until, attempts, error } => Self {
                until: Some(*until),
                attempts: Some(*attempts),
                error: Some(mask::text(error)),
                ..Self::new(
                    WaitKind::Retry,
                    format!("the workflow waits for attempt {}, {}", attempts + 1, left(until)),
                )
            },
            WaitingFor::Callback { step, until } => step_wait(
                WaitKind::Callback,
                format!("{step} waits for an answer from outside, {}", left(until)),
                step,
                until,
            ),
            WaitingFor::Event { step, event, until, .. } => Self {
                event: Some(event.clone()),
                ..step_wait(
                    WaitKind::Event,
                    format!("{step} waits for the event {event}, {}", left(until)),
                    step,
                    until,
                )
            },
            WaitingFor::Slot { key, position } => {
                let key = mask::text(key);
                let text = format!("place {position} in line for a slot of {key}");
                Self { key: Some(key), position: Some(*position), ..Self::new(WaitKind::Slot, text) }
            }
            WaitingFor::Throttle { key, until } => {
                let key = mask::text(key);
                let text = format!("the throttle of {key} holds its start, {}", left(until));
                Self { key: Some(key), until: Some(*until), ..Self::new(WaitKind::Throttle, text) }
            }
            WaitingFor::Aside { key, until } => {
                let key = mask::text(key);
                let text = format!("the throttle of {key} holds its step, out of line, {}", left(until));
                Self { key: Some(key), until: Some(*until), ..Self::new(WaitKind::Aside, text) }
            }
            WaitingFor::Paused => Self::new(WaitKind::Paused, "its workflow is paused".to_owned()),
            WaitingFor::Handover => Self::new(WaitKind::Handover, "a fresh invocation takes over".to_owned()),
        }
    }

    /// With what somebody needs who answers it.
    pub(crate) fn answerable(self, wait: &WaitingFor, run: &RunId, steps: &[StepView], mask: &Mask) -> Self {
        match wait {
            WaitingFor::Callback { step, .. } => {
                let view = steps.iter().find(|view| view.name == step.name && view.nth == step.nth);
                let attempt = view.map_or(1, |view| view.attempts);
                let token = Token { run: run.clone(), step: step.clone(), attempt };
                Self { token: Some(token.to_string()), ..self }
            }
            WaitingFor::Event { matching, .. } => {
                Self { data: Some(mask.value(&wanted_data(matching))), ..self }
            }
            _ => self,
        }
    }

    /// Whether a person is asked to agree to something: a step that is called so is answered by yes or no.
    pub(crate) fn is_approval(&self) -> bool {
        self.token.is_some() && self.step.as_ref().is_some_and(|step| step.starts_with("approve"))
    }
}

/// The least that an event's data must hold to have these values at these places.
pub(crate) fn wanted_data(matching: &BTreeMap<String, Value>) -> Value {
    let mut data = Map::new();
    for (place, value) in matching {
        let mut names: Vec<_> = place.split('.').collect();
        let last = names.pop().unwrap_or_default();
        let mut at = &mut data;
        for name in names {
            let inner = at.entry(name).or_insert_with(|| Value::Object(Map::new()));
            // A place inside of a value that is wanted whole is in there already, or can never be.
            let Value::Object(inner) = inner else { return Value::Object(data) };
            at = inner;
        }
        at.entry(last).or_insert_with(|| value.clone());
    }
    Value::Object(data)
}

#[cfg(test)]
mod tests {
    use durable::{after, seconds};
    use serde_json::json;

    use super::*;

    #[test]
    fn the_data_that_is_waited_for_is_put_together_from_its_places() {
        let matching = [("dr_number", json!("DR1")), ("task.id", json!(7)), ("task.by.name", json!("a"))];
        let matching = matching.map(|(place, value)| (place.to_owned(), value)).into();
        let expected = json!({"dr_number": "DR1", "task": {"id": 7, "by": {"name": "a"}}});
        assert_eq!(wanted_data(&matching), expected);
        let within = [("a".to_owned(), json!(1)), ("a.b".to_owned(), json!(2))].into();
        assert_eq!(wanted_data(&within), json!({"a": 1}), "which no event fits");
    }

    #[test]
    fn a_wait_says_until_when_which_key_and_which_place() {
        let now = Timestamp::UNIX_EPOCH;
        let until = after(now, seconds(200));
        let step = StepId { name: "build".into(), nth: 2 };
        let text = |wait: &WaitingFor| Wait::of(wait, now).text;
        let sleep = WaitingFor::Sleep { step: step.clone(), until };
        assert_eq!(text(&sleep), "build#2 sleeps, for another 3 min 20 s");
        let slot = WaitingFor::Slot { key: "send:27821234567".into(), position: 3 };
        assert_eq!(text(&slot), "place 3 in line for a slot of send:278••••4567");
        let error = "429 for +27821234567".to_owned();
        let retry = Wait::of(&WaitingFor::StepRetry { step, until: now, attempts: 2, error }, now);
        assert_eq!(retry.text, "build#2 waits for attempt 3, due now");
        assert_eq!(retry.error.as_deref(), Some("429 for +27•••••4567"));
    }
}
