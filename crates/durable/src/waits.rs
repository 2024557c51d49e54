//! Who waits for which event: steps that go on with it, and runs that end with it.
//!
//! A wait is made durable first and the history is looked through after that; an event is kept in the history first and the
//! waits are looked through after that. So whichever comes first, one of the two sees the other.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    Envelope, Payload, Ports, Result, RunId, Status, StepId,
    callback::{self, Answer, Token},
};

/// What is waited for, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// The run.
    pub run: RunId,
    /// The step that goes on with the event; without one, the run is cancelled by it.
    pub step: Option<StepId>,
    /// The name of the event.
    pub event: String,
    /// What its data must have: at each of these places (names with dots between them) this value.
    pub matching: BTreeMap<String, Value>,
    /// Only events sent at this time or later.
    pub since: Timestamp,
    /// Events that do not count: the one that started the run, and those that earlier steps of it went on with.
    pub seen: Vec<String>,
    /// How long it is waited for at most. `None`: as long as the run lasts.
    pub until: Option<Timestamp>,
}

impl Wait {
    /// Whether an event is one that is waited for.
    pub fn accepts(&self, event: &Envelope) -> bool {
        event.name == self.event
            && event.sent_at >= self.since
            && self.until.is_none_or(|until| event.sent_at < until)
            && !self.seen.contains(&event.id)
            && self.matching.iter().all(|(place, wanted)| at(&event.data, place) == Some(wanted))
            && (self.step.is_some() || self.is_superseded_by(event))
    }

    /// Of two events of the same moment, each would end the other's run: the ids decide.
    fn is_superseded_by(&self, event: &Envelope) -> bool {
        event.sent_at > self.since || self.seen.iter().all(|own| event.id > *own)
    }

    /// The places that its event is compared at.
    pub fn shape(&self) -> Shape {
        Shape(self.matching.keys().cloned().collect())
    }

    /// What all waits have in common that the same events fit, but for their times.
    pub fn key(&self) -> String {
        key(&self.event, self.matching.iter().map(|(place, value)| (place.as_str(), value)))
    }
}

/// The places that a wait's event is compared at. Few are in use for events of one name, so the waits that an event fits
/// are found by a key made of its own values at those places.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(Vec<String>);

impl Shape {
    /// The [key](Wait::key) of those waits of this shape that an event fits. `None` when the event lacks a place.
    pub fn key_of(&self, event: &Envelope) -> Option<String> {
        let values = self.0.iter().map(|place| Some((place.as_str(), at(&event.data, place)?)));
        Some(key(&event.name, values.collect::<Option<Vec<_>>>()?.into_iter()))
    }

    /// As it is stored.
    pub fn text(&self) -> String {
        self.0.join(",")
    }

    /// As it was stored.
    pub fn from_text(text: &str) -> Self {
        Self(text.split(',').filter(|place| !place.is_empty()).map(str::to_owned).collect())
    }
}

/// The value at a place of an event's data, such as `task.id`.
pub(crate) fn at<'a>(data: &'a Value, place: &str) -> Option<&'a Value> {
    place.split('.').try_fold(data, |value, name| value.get(name))
}

fn key<'a>(event: &str, values: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    add(event);
    for (place, value) in values {
        add(place);
        add(&value.to_string());
    }
    let mut key = hex::encode(hash.finalize());
    key.truncate(32);
    key
}

/// An event has happened and is in the history: steps that waited for it go on, and runs that it ends are cancelled.
/// Repeating it does no harm, and some good when whoever did it before died over it.
pub async fn arrive(ports: &Ports, event: &Envelope) -> Result<()> {
    for wait in ports.waits.waiting_for(event).await?.into_iter().filter(|wait| wait.accepts(event)) {
        match wait.step {
            Some(step) => {
                let token = Token { run: wait.run, step, attempt: 1 };
                callback::answer(ports, &token, &received(event)?).await?;
            }
            None => supersede(ports, &wait.run).await?,
        }
    }
    Ok(())
}

/// What a step that waits for an event is answered.
fn received(event: &Envelope) -> Result<Answer> {
    // An event is never too large for a record; see `MAX_EVENT_BYTES`.
    Ok(Answer::Received(Payload::Json(serde_json::to_string(event)?)))
}

/// Cancels a run from outside. Its workflow is woken to give its place in every line away.
pub(crate) async fn supersede(ports: &Ports, run: &RunId) -> Result<()> {
    let now = ports.clock.now();
    if let Some(run) = ports.journal.cancel(run, now).await?
        && run.status == Status::Cancelled
    {
        ports.wakeups.wake(&run.workflow, &run.id, now).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{after, seconds};

    fn time(second: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, seconds(second))
    }

    fn event(id: &str, second: u64, data: Value) -> Envelope {
        Envelope { id: id.into(), name: "build/approved".into(), data, sent_at: time(second) }
    }

    fn wait(step: bool) -> Wait {
        Wait {
            run: RunId::of("w", "e-5"),
            step: step.then(|| StepId { name: "approval".into(), nth: 1 }),
            event: "build/approved".into(),
            matching: BTreeMap::from([("agent.name".to_owned(), json!("a"))]),
            since: time(10),
            seen: vec!["e-5".into()],
            until: Some(time(20)),
        }
    }

    #[test]
    fn an_event_fits_by_name_time_and_values() {
        let fits = |event: &Envelope| wait(true).accepts(event);
        let data = json!({"agent": {"name": "a"}});
        assert!(fits(&event("e-1", 10, data.clone())) && fits(&event("e-9", 19, data.clone())));
        for other in [
            event("e-1", 9, data.clone()),
            event("e-1", 20, data.clone()),
            event("e-5", 12, data.clone()),
            event("e-1", 12, json!({"agent": {"name": "b"}})),
            event("e-1", 12, json!({"agent": "a"})),
            Envelope { name: "build/refused".into(), ..event("e-1", 12, data.clone()) },
        ] {
            assert!(!fits(&other), "{other:?}");
        }
    }

    #[test]
    fn of_two_events_of_one_moment_only_one_supersedes_the_other() {
        let data = json!({"agent": {"name": "a"}});
        let fits = |event: &Envelope| wait(false).accepts(event);
        assert!(!fits(&event("e-4", 10, data.clone())) && fits(&event("e-6", 10, data.clone())));
        assert!(fits(&event("e-4", 11, data)));
    }

    #[test]
    fn the_waits_an_event_fits_are_found_by_its_values() {
        let wait = wait(true);
        let shape = Shape::from_text(&wait.shape().text());
        assert_eq!(shape, wait.shape());
        let key = |data| shape.key_of(&event("e", 1, data));
        assert_eq!(key(json!({"agent": {"name": "a", "x": 1}})), Some(wait.key()));
        assert_ne!(key(json!({"agent": {"name": "b"}})), Some(wait.key()));
        assert_eq!(key(json!({})), None);
        let any = Wait { matching: BTreeMap::new(), ..wait };
        assert_eq!(Shape::from_text("").key_of(&event("e", 1, json!(null))), Some(any.key()));
    }
}
