//! One invocation of a run: what its steps share.

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Checkpoint, Definition, Envelope, Error, Happening, Lease, Payload, Ports, Result, Run, Settings, StepId,
    StepKind, StepState, WaitingFor, Written, scope::is_part, step::check_kind,
};

/// Shared by the driver and all steps of one invocation.
pub(crate) struct Turn {
    pub(crate) run: Run,
    pub(crate) lease: Lease,
    pub(crate) definition: Arc<Definition>,
    pub(crate) ports: Ports,
    pub(crate) settings: Settings,
    pub(crate) deadline: Option<Timestamp>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: HashMap<StepId, Checkpoint>,
    uses: HashMap<String, u32>,
    /// Steps at work. The invocation never ends while there are any: no sibling is cut off in the middle of a request.
    executing: usize,
    /// Whether a step was executed in this invocation.
    progressed: bool,
    waits: Vec<WaitingFor>,
    /// Sleeps that began and are recorded when the invocation ends: nothing is lost when it ends another way.
    unsaved: Vec<Checkpoint>,
    /// What this invocation leaves to a worker, whether or not it comes to record it.
    left: Vec<StepId>,
    stop: Option<Stop>,
}

/// Why an invocation must end though its workflow has neither ended nor parked. No workflow can catch it.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Another invocation, or a person, took the run over.
    Fenced,
    /// A port failed: the message will be delivered again.
    Port(Error),
    /// The workflow no longer fits its records.
    Diverged(Error),
}

impl Turn {
    pub(crate) fn new(
        run: Run,
        definition: Arc<Definition>,
        ports: Ports,
        settings: Settings,
        deadline: Option<Timestamp>,
        records: Vec<Checkpoint>,
    ) -> Self {
        let lease = Lease { run: run.id.clone(), epoch: run.epoch };
        let records = records.into_iter().map(|record| (record.step.clone(), record)).collect();
        let state = Mutex::new(State { records, ..State::default() });
        Self { run, lease, definition, ports, settings, deadline, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic between two related writes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    pub(crate) fn data(&self) -> &Value {
        &self.run.event.data
    }

    /// The workflow is about to be polled from its beginning.
    pub(crate) fn replay(&self) {
        let mut state = self.state();
        state.uses.clear();
        state.waits.clear();
    }

    /// The workflow has reached a step: its id, and its record if there is one.
    pub(crate) fn reach(&self, name: &str, kind: StepKind) -> Result<(StepId, Option<Checkpoint>), Stop> {
        let mut state = self.state();
        let nth = state.uses.entry(name.to_owned()).and_modify(|nth| *nth += 1).or_insert(1);
        let step = StepId { name: name.to_owned(), nth: *nth };
        let record = state.records.get(&step).cloned();
        if let Some(record) = &record {
            check_kind(record, kind).map_err(Stop::Diverged)?;
        }
        Ok((step, record))
    }

    /// Notes that a step is about to be left to a worker.
    pub(crate) fn leaves(&self, step: &StepId) {
        self.state().left.push(step.clone());
    }

    /// What is left to a worker, and not answered as far as this invocation knows.
    pub(crate) fn left(&self) -> Vec<StepId> {
        let state = self.state();
        let listens = |step: &StepId| match state.records.get(step) {
            Some(record) => matches!(record.state, StepState::Listening { .. }),
            None => true,
        };
        let recorded = state.records.keys().filter(|step| is_part(step) && !state.left.contains(step));
        recorded.chain(&state.left).filter(|step| listens(step)).cloned().collect()
    }

    /// What is on record of a step.
    pub(crate) fn known(&self, step: &StepId) -> Option<Checkpoint> {
        self.state().records.get(step).cloned()
    }

    /// The record of a step that is named from within another.
    pub(crate) fn recorded(&self, step: &StepId, kind: StepKind) -> Result<Option<Checkpoint>, Stop> {
        let record = self.known(step);
        if let Some(record) = &record {
            check_kind(record, kind).map_err(Stop::Diverged)?;
        }
        Ok(record)
    }

    /// Leaves the caller pending until the invocation ends, and with it the caller's future.
    pub(crate) async fn park<T>(&self, wait: WaitingFor) -> T {
        self.state().waits.push(wait);
        pending().await
    }

    /// Ends the invocation.
    pub(crate) async fn halt<T>(&self, stop: Stop) -> T {
        self.state().stop.get_or_insert(stop);
        pending().await
    }

    /// The value, unless a port failed.
    pub(crate) async fn port<T>(&self, result: Result<T>) -> T {
        match result {
            Ok(value) => value,
            Err(error) => self.halt(Stop::Port(error)).await,
        }
    }

    /// Makes a step count as being at work, until the guard is dropped.
    pub(crate) fn execute(&self) -> Executing<'_> {
        let mut state = self.state();
        state.executing += 1;
        Executing { turn: self }
    }

    /// Makes a step that is at work count no longer, since all it does is wait for somebody outside.
    pub(crate) fn rest(&self) {
        self.state().executing -= 1;
    }

    /// Undoes [`rest`](Self::rest).
    pub(crate) fn unrest(&self) {
        self.state().executing += 1;
    }

    /// Whether a step that takes up to `needed` can start here rather than in a fresh invocation.
    pub(crate) fn has_time_for(&self, needed: Duration) -> bool {
        // A fresh invocation has all the time there is: waiting for another one would not end.
        let Some(deadline) = self.deadline.filter(|_| self.state().progressed) else { return true };
        crate::after(self.now(), needed) <= deadline
    }

    /// The events that no wait for one of this name goes on with: the one that started the run, and those that earlier
    /// steps of it went on with.
    pub(crate) fn received(&self, event: &str) -> Vec<String> {
        let state = self.state();
        let taken = state.records.values().filter(|record| record.kind == StepKind::WaitForEvent);
        let taken = taken.filter_map(|record| match &record.state {
            StepState::Completed { output: Payload::Json(json) } => {
                serde_json::from_str::<Envelope>(json).ok()
            }
            _ => None,
        });
        let mut seen: Vec<_> = taken.filter(|taken| taken.name == event).map(|taken| taken.id).collect();
        seen.sort_unstable();
        seen.insert(0, self.run.event.id.clone());
        seen
    }

    /// When the use of a name that the workflow has reached last began.
    pub(crate) fn began_at(&self, name: &str) -> Option<Timestamp> {
        let state = self.state();
        let step = StepId { name: name.to_owned(), nth: *state.uses.get(name)? };
        state.records.get(&step).map(|record| record.started_at)
    }

    /// Notes that a sleep began.
    pub(crate) fn began(&self, record: Checkpoint) {
        let mut state = self.state();
        state.records.insert(record.step.clone(), record.clone());
        state.unsaved.push(record);
    }

    /// Writes a step's record, and answers the one that stands: another invocation may have been first.
    pub(crate) async fn record(&self, record: Checkpoint) -> Checkpoint {
        let written = self.ports.journal.checkpoint(&self.lease, &record).await;
        let standing = match self.port(written).await {
            Written::Fenced => self.halt(Stop::Fenced).await,
            Written::Done(Some(theirs)) => theirs,
            Written::Done(None) => {
                self.observe(&Happening::StepRecorded(&record));
                record
            }
        };
        let mut state = self.state();
        state.progressed = true;
        state.records.insert(standing.step.clone(), standing.clone());
        drop(state);
        standing
    }

    /// Keeps a value of this run.
    pub(crate) async fn keep(&self, json: String, name: &str) -> Payload {
        let _executing = self.execute();
        let key = format!("runs/{}/{name}", self.lease.run);
        let kept = Payload::keep(json, &key, &*self.ports.blobs).await;
        self.port(kept).await
    }

    /// Reads a recorded value back.
    pub(crate) async fn load<T: DeserializeOwned>(&self, output: &Payload, step: &StepId) -> Result<T> {
        let _executing = self.execute();
        match output.load(&*self.ports.blobs).await {
            Err(error) if error.is_retryable() => self.port(Err(error)).await,
            Err(error) => Err(error.context(format!("the record of step {step}"))),
            Ok(value) => Ok(value),
        }
    }

    pub(crate) fn observe(&self, happening: &Happening<'_>) {
        if let Some(observer) = &self.ports.observer {
            observer.observe(&self.run, happening);
        }
    }

    /// Why the invocation must end, if it must.
    pub(crate) fn take_stop(&self) -> Option<Stop> {
        self.state().stop.take()
    }

    /// What the run waits for, the earliest first, once nothing executes; `None` while it does, or nothing is waited for.
    pub(crate) fn parked(&self) -> Option<Vec<WaitingFor>> {
        let state = self.state();
        if state.executing > 0 || state.waits.is_empty() {
            return None;
        }
        let mut waits = state.waits.clone();
        // A hand-over has no time: it is due at once.
        waits.sort_by_key(|wait| wait.until().unwrap_or(Timestamp::MIN));
        Some(waits)
    }

    pub(crate) fn unsaved(&self) -> Vec<Checkpoint> {
        self.state().unsaved.clone()
    }
}

/// See [`Turn::execute`].
pub(crate) struct Executing<'a> {
    turn: &'a Turn,
}

impl Drop for Executing<'_> {
    fn drop(&mut self) {
        self.turn.state().executing -= 1;
    }
}
