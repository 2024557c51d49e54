//! A step that waits for an event: see [`waits`](crate::waits).

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData, time::Duration};

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    Checkpoint, Envelope, Error, Event, Payload, Result, StepId, StepKind, StepState, Wait, WaitingFor,
    after,
    clock::hours,
    context::reach,
    payload::{from_value, to_json},
    turn::Turn,
};

/// A wait for an event that is being described; [`receive`](Self::receive) waits.
#[must_use = "nothing is waited for until it is received"]
pub struct Receive<'a, T> {
    turn: &'a Turn,
    name: Cow<'static, str>,
    matching: BTreeMap<String, Value>,
    timeout: Duration,
    aside: bool,
    event: PhantomData<fn() -> T>,
}

impl<'a, T: Event + DeserializeOwned> Receive<'a, T> {
    pub(crate) fn new(turn: &'a Turn, name: Cow<'static, str>) -> Self {
        Self { turn, name, matching: BTreeMap::new(), timeout: hours(24), aside: false, event: PhantomData }
    }

    /// Only an event that has this value at a place of its data: the name of a field, or several with dots between them.
    /// May be said several times. A value that is no JSON matches nothing.
    pub fn matching(mut self, place: impl Into<String>, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.matching.insert(place.into(), value);
        self
    }

    /// The longest it is waited for; a day when this is not said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// While it waits the run steps out of its workflow's concurrency line: the next run has its slot, and it joins the line
    /// again at the end when the event has come. For a wait that may take days and should hold nobody up.
    pub fn aside(mut self) -> Self {
        self.aside = true;
        self
    }

    /// Waits. The run takes no memory and no process meanwhile; it holds its concurrency slot, unless it steps
    /// [`aside`](Self::aside).
    ///
    /// An event that was sent after the one that started the run counts, whether or not the run had come to this step when
    /// it was sent; but not one that an earlier step of the run went on with. `None` when there was none in time. Fails for
    /// good when the event's data is not of this type.
    pub async fn receive(self) -> Result<Option<T>> {
        let turn = self.turn;
        let (step, mut record) = reach(turn, &self.name, StepKind::WaitForEvent).await;
        loop {
            let now = turn.now();
            record = match record.as_ref().map(|record| &record.state) {
                Some(StepState::Completed { output }) => return self.read(output).await,
                Some(StepState::Listening { until, .. }) if *until > now => {
                    let event = T::NAME.to_owned();
                    let (step, until, aside) = (step.clone(), *until, self.aside);
                    let matching = self.matching.clone();
                    turn.park(WaitingFor::Event { step, event, matching, until, aside }).await
                }
                Some(StepState::Listening { until, .. }) => {
                    let wait = self.wait(&step, *until);
                    let nothing = StepState::Completed { output: Payload::Json("null".into()) };
                    let standing = self.record(&step, record.as_ref(), nothing).await;
                    let ended = turn.ports.waits.no_longer(&wait).await;
                    turn.port(ended).await;
                    Some(standing)
                }
                Some(other) => {
                    let error =
                        Error::fatal(format!("step {step} has the record of another kind: {other:?}"));
                    return Err(error);
                }
                None => Some(self.subscribe(&step, after(now, turn.settings.scale(self.timeout))).await),
            };
        }
    }

    async fn subscribe(&self, step: &StepId, until: Timestamp) -> Checkpoint {
        let turn = self.turn;
        let _executing = turn.execute();
        let wait = self.wait(step, until);
        let known = turn.ports.waits.wait_for(&wait).await;
        let state = match turn.port(known).await {
            Some(event) => StepState::Completed { output: Payload::Json(turn.port(to_json(&event)).await) },
            None => StepState::Listening { until, silence: None, alive_until: None },
        };
        let is_known = matches!(state, StepState::Completed { .. });
        let standing = self.record(step, None, state).await;
        if is_known {
            let ended = turn.ports.waits.no_longer(&wait).await;
            turn.port(ended).await;
        }
        standing
    }

    fn wait(&self, step: &StepId, until: Timestamp) -> Wait {
        let run = &self.turn.run;
        Wait {
            run: run.id.clone(),
            step: Some(step.clone()),
            event: T::NAME.to_owned(),
            matching: self.matching.clone(),
            // A run that was started again has an old event: what was sent in answer to the first run is not for this one.
            since: run.asked_for_at(),
            seen: self.turn.received(T::NAME),
            until: Some(until),
        }
    }

    async fn record(&self, step: &StepId, before: Option<&Checkpoint>, state: StepState) -> Checkpoint {
        let now = self.turn.now();
        let started_at = before.map_or(now, |record| record.started_at);
        let record = Checkpoint {
            at: now,
            ..Checkpoint::new(step.clone(), StepKind::WaitForEvent, state, started_at)
        };
        self.turn.record(record).await
    }

    async fn read(&self, output: &Payload) -> Result<Option<T>> {
        let loaded = output.load::<Option<Envelope>>(&*self.turn.ports.blobs).await;
        let event = self.turn.port(loaded).await;
        let read = |event: Envelope| {
            from_value(&event.data).map_err(|error| error.context(format!("event {}", event.name)))
        };
        event.map(read).transpose()
    }
}

impl<T> fmt::Debug for Receive<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receive").field("name", &self.name).finish_non_exhaustive()
    }
}
