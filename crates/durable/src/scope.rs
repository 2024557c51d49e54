//! Which step's body is being polled, so that it can hand work over without being given anything.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Checkpoint, Error, Result, RunId, StepId, StepKind, StepState, WaitingFor,
    callback::{Token, ends, expired},
    job::{self, Job, Order, SILENCE},
    turn::{Stop, Turn},
};

thread_local! {
    static CURRENT: RefCell<Option<Arc<Scope>>> = const { RefCell::new(None) };
}

/// One attempt of a step, as what its body hands over needs it.
pub(crate) struct Scope {
    pub(crate) turn: Arc<Turn>,
    pub(crate) step: StepId,
    pub(crate) attempt: u32,
    pub(crate) at_most_once: bool,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) uses: AtomicU32,
    pub(crate) idle: AtomicBool,
}

/// What an attempt hands over is recorded as a step of its own: `vlm-evaluate/1.2` is the second of the first attempt.
pub(crate) fn part(step: &StepId, attempt: u32, nth: u32) -> StepId {
    StepId { name: format!("{step}/{attempt}.{nth}"), nth: 1 }
}

/// Whether a step is what an attempt of another handed over.
pub(crate) fn is_part(step: &StepId) -> bool {
    let numbers = step.name.rsplit_once('/').and_then(|(_, numbers)| numbers.split_once('.'));
    numbers.is_some_and(|(attempt, nth)| attempt.parse::<u32>().is_ok() && nth.parse::<u32>().is_ok())
}

/// The token of the job that a step is.
pub(crate) fn token(run: &RunId, step: &StepId) -> Token {
    Token { run: run.clone(), step: step.clone(), attempt: 1 }
}

impl Scope {
    /// The attempt whose body is being polled.
    pub(crate) fn current() -> Option<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Polls a body within the scope, and nothing else.
    pub(crate) async fn around<F: Future>(self: Arc<Self>, body: F) -> F::Output {
        let mut body = pin!(body);
        poll_fn(|context| {
            let _entered = Entered(CURRENT.replace(Some(self.clone())));
            body.as_mut().poll(context)
        })
        .await
    }

    pub(crate) async fn hand_over(&self, order: Order) -> Result<Value> {
        let nth = self.uses.fetch_add(1, Ordering::Relaxed) + 1;
        let step = part(&self.step, self.attempt, nth);
        let mut record = match self.turn.recorded(&step, StepKind::Callback) {
            Ok(record) => record,
            Err(diverged) => self.turn.halt(diverged).await,
        };
        loop {
            let Some(Checkpoint { state, .. }) = record else {
                record = Some(self.post(&step, &order).await);
                continue;
            };
            let now = self.turn.now();
            match state {
                StepState::Completed { output } => return self.turn.load(&output, &step).await,
                StepState::Failed { error } | StepState::Refused { error } => return Err(error),
                StepState::Listening { until, silence, alive_until } => {
                    let end = ends(until, alive_until);
                    if end > now {
                        return self.park(WaitingFor::Callback { step, until: end }).await;
                    }
                    // On record, so that an answer that comes even later changes nothing of what the body has seen.
                    let error = expired(until, silence, now);
                    record = Some(self.record(&step, StepState::Failed { error }).await);
                }
                StepState::Started | StepState::Retrying { .. } | StepState::Sleeping { .. } => {
                    let error = Error::fatal(format!("step {step} has the record of another kind of step"));
                    return self.turn.halt(Stop::Diverged(error)).await;
                }
            }
        }
    }

    /// Hands the work over and records that an answer is waited for; answers the record that stands.
    ///
    /// What may be done once is recorded before it is sent: when the process dies in between, the step must not say that the
    /// outcome is unknown, and perhaps look for traces, while somebody may still begin. All else is sent first: sent again,
    /// under the same token, it does no harm.
    async fn post(&self, step: &StepId, order: &Order) -> Checkpoint {
        let (turn, token) = (&self.turn, token(&self.turn.lease.run, step));
        let times = job::times(order, turn.now(), self.deadline);
        let work = turn.port(job::keep(&order.work, &token, &*turn.ports.blobs).await).await;
        let job = Job {
            token,
            workflow: turn.definition.name.clone(),
            at_most_once: self.at_most_once,
            start_by: times.start_by,
            end_by: times.end_by,
            limit_ms: u64::try_from(order.limit.as_millis()).unwrap_or(u64::MAX),
            work,
        };
        let (until, alive_until) = (times.until, Some(times.alive_until));
        let listening = StepState::Listening { until, silence: Some(SILENCE), alive_until };
        if self.at_most_once {
            let standing = self.record(step, listening.clone()).await;
            if standing.state != listening {
                return standing;
            }
        }
        turn.leaves(step);
        match turn.ports.jobs.post(&job).await {
            Ok(()) if self.at_most_once => Checkpoint { state: listening, ..self.checkpoint(step) },
            Ok(()) => self.record(step, listening).await,
            // Nowhere to send it to: no other invocation mends that.
            Err(error) if !error.is_retryable() => self.record(step, StepState::Failed { error }).await,
            Err(error) => turn.port(Err(error)).await,
        }
    }

    fn checkpoint(&self, step: &StepId) -> Checkpoint {
        Checkpoint::new(step.clone(), StepKind::Callback, StepState::Started, self.turn.now())
    }

    async fn record(&self, step: &StepId, state: StepState) -> Checkpoint {
        let begun = self.turn.recorded(step, StepKind::Callback).ok().flatten();
        let checkpoint = self.checkpoint(step);
        let started_at = begun.map_or(checkpoint.started_at, |begun| begun.started_at);
        self.turn.record(Checkpoint { state, started_at, ..checkpoint }).await
    }

    /// Waits for an answer: the body no longer counts as being at work.
    async fn park<T>(&self, wait: WaitingFor) -> T {
        if !self.idle.swap(true, Ordering::Relaxed) {
            self.turn.rest();
        }
        self.turn.park(wait).await
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if *self.idle.get_mut() {
            self.turn.unrest();
        }
    }
}

/// Restores what was current before.
struct Entered(Option<Arc<Scope>>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_over_is_known_by_its_name() {
        let step = |name: &str| StepId { name: name.into(), nth: 1 };
        assert!(is_part(&part(&StepId { name: "send/now".into(), nth: 3 }, 2, 1)));
        for other in ["work", "work/now", "work/1", "work/1.x", "1.2"] {
            assert!(!is_part(&step(other)), "{other}");
        }
    }
}
