//! One attempt of a step, from the decision whether to make it to the record of how it ended.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32},
    },
    time::Duration,
};

use futures::future::{Either, select};
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Admission, Checkpoint, Error, FailedAttempt, Happening, Next, Result, Retry, StepId, StepKind, StepState,
    WaitingFor, Window, after,
    job::GRACE,
    payload::to_json,
    scope::{Scope, part},
    step::{Decision, decide},
    turn::{Stop, Turn},
};

/// A step that was reached, and how it is to be attempted.
pub(crate) struct Attempt<'a> {
    pub(crate) turn: &'a Arc<Turn>,
    pub(crate) step: StepId,
    pub(crate) kind: StepKind,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) at_most_once: bool,
    pub(crate) throttles: Vec<Pace>,
}

/// One of the throttles of a step.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    pub(crate) key: String,
    pub(crate) windows: Vec<Window>,
    /// Whether the run gives its concurrency slot away while it waits for this one.
    pub(crate) aside: bool,
}

/// An attempt that is being made.
#[derive(Debug, Clone, Copy)]
struct Making {
    attempt: u32,
    began: Timestamp,
    /// Whether an earlier invocation began it, and left work to a worker.
    goes_on: bool,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(turn: &'a Arc<Turn>, step: StepId, kind: StepKind) -> Self {
        Self { turn, step, kind, retry: None, timeout: None, at_most_once: false, throttles: Vec::new() }
    }

    /// Does what the record asks for; a body that is called is called once.
    pub(crate) async fn run<T, F, Fut>(self, record: Option<Checkpoint>, body: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let turn = self.turn;
        let first_began = record.as_ref().map(|record| record.started_at);
        let standing = match decide(record.as_ref(), turn.now()) {
            Decision::Return(_) | Decision::Fail(_) => record,
            Decision::Wait { until, attempts, error } => self.wait(until, attempts, &error).await,
            Decision::OutcomeUnknown { attempt, began } if self.left(attempt).is_none() => {
                let error = Error::outcome_unknown(format!(
                    "step {}: attempt {attempt} began at {began} and its end was never recorded, so its outcome is unknown",
                    self.step
                ));
                let _executing = turn.execute();
                Some(
                    self.record(StepState::Failed { error }, attempt, first_began.unwrap_or(began), began)
                        .await,
                )
            }
            Decision::Attempt(attempt) | Decision::OutcomeUnknown { attempt, .. } => {
                let left = self.left(attempt);
                if left.is_none() {
                    self.wait_for_turn(attempt).await;
                }
                let _executing = turn.execute();
                let began = left.unwrap_or_else(|| turn.now());
                let making = Making { attempt, began, goes_on: left.is_some() };
                Some(self.make(making, first_began.unwrap_or(began), body).await)
            }
        };
        let Some(Checkpoint { state, attempts, .. }) = standing else {
            return Err(Error::fatal(format!("step {} has a decision without a record", self.step)));
        };
        match state {
            StepState::Completed { output } => turn.load(&output, &self.step).await,
            StepState::Failed { error } => Err(error),
            StepState::Retrying { until, error } => self.wait(until, attempts, &error).await,
            StepState::Started
            | StepState::Sleeping { .. }
            | StepState::Listening { .. }
            | StepState::Refused { .. } => {
                let error = Error::fatal(format!(
                    "step {} has the record of a {}",
                    self.step,
                    state.status(turn.now())
                ));
                turn.halt(Stop::Diverged(error)).await
            }
        }
    }

    /// Makes the attempt and records how it ended.
    async fn make<T, F, Fut>(&self, making: Making, first_began: Timestamp, body: F) -> Checkpoint
    where
        T: Serialize,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let Making { attempt, began, goes_on } = making;
        if self.at_most_once && !goes_on {
            let standing = self.record(StepState::Started, attempt, first_began, began).await;
            if standing.state.is_final() {
                return standing;
            }
        }
        if !goes_on {
            self.turn.observe(&Happening::StepStarted(&self.step, attempt));
        }
        let state = match self.timed(making, body).await.and_then(|value| to_json(&value)) {
            Ok(json) => {
                let output = self.turn.keep(json, &format!("steps/{}", self.step)).await;
                StepState::Completed { output }
            }
            Err(error) => self.after_failure(attempt, error),
        };
        self.record(state, attempt, first_began, began).await
    }

    /// When an attempt that left work to a worker, and waits for the answer, began to; `None` if none does.
    fn left(&self, attempt: u32) -> Option<Timestamp> {
        let first = part(&self.step, attempt, 1);
        let record = self.turn.recorded(&first, StepKind::Callback).ok().flatten();
        record.map(|record| record.started_at)
    }

    async fn timed<T, F, Fut>(&self, making: Making, body: F) -> Result<T>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let end = self.timeout.map(|timeout| after(making.began, self.turn.settings.scale(timeout)));
        let scope = Arc::new(Scope {
            turn: self.turn.clone(),
            step: self.step.clone(),
            attempt: making.attempt,
            at_most_once: self.at_most_once,
            deadline: end,
            uses: AtomicU32::new(0),
            idle: AtomicBool::new(false),
        });
        let body = scope.around(body());
        let Some(end) = end else { return body.await };
        // A worker's answer may come a little after the work had to be ended.
        let end = if making.goes_on { after(end, 2 * GRACE) } else { end };
        match select(pin!(body), self.turn.ports.clock.sleep_until(end)).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => {
                let timeout = self.timeout.unwrap_or_default();
                Err(Error::new(format!("timed out after {timeout:?}")))
            }
        }
    }

    /// What a failed attempt is recorded as.
    pub(crate) fn after_failure(&self, attempt: u32, error: Error) -> StepState {
        if self.at_most_once && error.is_retryable() && !error.had_no_effect() {
            let error = Error::outcome_unknown(format!("step {}: outcome unknown: {error}", self.step));
            return StepState::Failed { error };
        }
        let retry = self.retry.as_ref().unwrap_or(&self.turn.definition.retry);
        match retry.next(attempt, &error, self.turn.ports.random.bits()) {
            Next::Retry(delay) => {
                let until = after(self.turn.now(), self.turn.settings.scale(delay));
                StepState::Retrying { until, error }
            }
            Next::GiveUp => StepState::Failed { error: error.exhausted() },
        }
    }

    /// Returns once the attempt may begin: there is time for it, and its throttles let it.
    pub(crate) async fn wait_for_turn(&self, attempt: u32) {
        let turn = self.turn;
        if !turn.has_time_for(self.timeout.unwrap_or_default()) {
            turn.park::<()>(WaitingFor::Handover).await;
        }
        // After a wait for one of them all are asked again, so that none counts a start from before the wait.
        for Pace { key, windows, aside } in self.throttles.iter().filter(|pace| !pace.windows.is_empty()) {
            let windows = turn.settings.scale_windows(windows);
            let id = format!("{}/{}/{attempt}", turn.lease.run, self.step);
            let executing = turn.execute();
            let admitted = turn.ports.gate.admit(key, &windows, &id, turn.now()).await;
            let admission = turn.port(admitted).await;
            drop(executing);
            if let Admission::At(until) = admission {
                let key = key.clone();
                let wait = if *aside {
                    WaitingFor::Aside { key, until }
                } else {
                    WaitingFor::Throttle { key, until }
                };
                turn.park::<()>(wait).await;
            }
        }
    }

    pub(crate) async fn wait<T>(&self, until: Timestamp, attempts: u32, error: &Error) -> T {
        let (step, error) = (self.step.clone(), error.to_string());
        self.turn.park(WaitingFor::StepRetry { step, until, attempts, error }).await
    }

    /// Records how far the step has come, with the failures before. `began` is when this attempt did.
    pub(crate) async fn record(
        &self,
        state: StepState,
        attempts: u32,
        started_at: Timestamp,
        began: Timestamp,
    ) -> Checkpoint {
        let at = self.turn.now();
        let before = self.turn.known(&self.step).map(|record| record.failures).unwrap_or_default();
        let failures = match &state {
            StepState::Retrying { error, .. } | StepState::Failed { error } => {
                FailedAttempt::new(attempts, began, at, error).after(&before)
            }
            _ => before,
        };
        let attempt_at = (began != started_at).then_some(began);
        let (step, kind) = (self.step.clone(), self.kind);
        let record = Checkpoint { step, kind, state, attempts, started_at, at, attempt_at, failures };
        self.turn.record(record).await
    }
}
