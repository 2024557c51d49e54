//! One attempt of a step, from the decision whether to make it to the record of how it ended.

use std::{future::Future, pin::pin, time::Duration};

use futures::future::{Either, select};
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Admission, Checkpoint, Error, FailedAttempt, Happening, Next, Payload, Result, Retry, StepId, StepKind,
    StepState, WaitingFor, Window, after,
    payload::to_json,
    step::{Decision, decide},
    turn::{Stop, Turn},
};

/// A step that was reached, and how it is to be attempted.
pub(crate) struct Attempt<'a> {
    pub(crate) turn: &'a Turn,
    pub(crate) step: StepId,
    pub(crate) kind: StepKind,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) at_most_once: bool,
    pub(crate) throttle: Option<(String, Vec<Window>)>,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(turn: &'a Turn, step: StepId, kind: StepKind) -> Self {
        Self { turn, step, kind, retry: None, timeout: None, at_most_once: false, throttle: None }
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
            Decision::OutcomeUnknown { attempt, began } => {
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
            Decision::Attempt(attempt) => {
                self.wait_for_turn(attempt).await;
                let _executing = turn.execute();
                let began = turn.now();
                Some(self.make(attempt, first_began.unwrap_or(began), began, body).await)
            }
        };
        let Some(Checkpoint { state, attempts, .. }) = standing else {
            return Err(Error::fatal(format!("step {} has a decision without a record", self.step)));
        };
        match state {
            StepState::Completed { output } => self.load(&output).await,
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

    /// Reads a recorded value back.
    pub(crate) async fn load<T: DeserializeOwned>(&self, output: &Payload) -> Result<T> {
        let _executing = self.turn.execute();
        match output.load(&*self.turn.ports.blobs).await {
            Err(error) if error.is_retryable() => self.turn.port(Err(error)).await,
            Err(error) => Err(error.context(format!("the record of step {}", self.step))),
            Ok(value) => Ok(value),
        }
    }

    /// Makes the attempt and records how it ended.
    async fn make<T, F, Fut>(
        &self,
        attempt: u32,
        first_began: Timestamp,
        began: Timestamp,
        body: F,
    ) -> Checkpoint
    where
        T: Serialize,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        if self.at_most_once {
            let standing = self.record(StepState::Started, attempt, first_began, began).await;
            if standing.state.is_final() {
                return standing;
            }
        }
        self.turn.observe(&Happening::StepStarted(&self.step, attempt));
        let state = match self.timed(body()).await.and_then(|value| to_json(&value)) {
            Ok(json) => {
                let output = self.turn.keep(json, &format!("steps/{}", self.step)).await;
                StepState::Completed { output }
            }
            Err(error) => self.after_failure(attempt, error),
        };
        self.record(state, attempt, first_began, began).await
    }

    pub(crate) async fn timed<T>(&self, body: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(timeout) = self.timeout else { return body.await };
        let end = after(self.turn.now(), self.turn.settings.scale(timeout));
        match select(pin!(body), self.turn.ports.clock.sleep_until(end)).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(Error::new(format!("timed out after {timeout:?}"))),
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

    /// Returns once the attempt may begin: there is time for it, and its throttle lets it.
    pub(crate) async fn wait_for_turn(&self, attempt: u32) {
        let turn = self.turn;
        if !turn.has_time_for(self.timeout.unwrap_or_default()) {
            turn.park::<()>(WaitingFor::Handover).await;
        }
        let Some((key, windows)) = &self.throttle else { return };
        let windows = turn.settings.scale_windows(windows);
        let id = format!("{}/{}/{attempt}", turn.lease.run, self.step);
        let executing = turn.execute();
        let admitted = turn.ports.gate.admit(key, &windows, &id, turn.now()).await;
        let admission = turn.port(admitted).await;
        drop(executing);
        if let Admission::At(until) = admission {
            turn.park::<()>(WaitingFor::Throttle { key: key.clone(), until }).await;
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
