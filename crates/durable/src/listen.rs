//! A step whose work somebody outside does: see [`callback`](crate::callback).

use std::{borrow::Cow, fmt, future::Future, time::Duration};

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Checkpoint, Error, Result, Retry, StepKind, StepState, WaitingFor, after,
    attempt::Attempt,
    callback::{Token, ends, expired},
    clock::hours,
    context::reach,
    turn::{Stop, Turn},
};

/// Work that is about to be handed over; [`run`](Self::run) does it.
#[must_use = "nothing is handed over until it is run"]
pub struct Callback<'a> {
    turn: &'a Turn,
    name: Cow<'static, str>,
    retry: Option<Retry>,
    at_most_once: bool,
    wait: Wait,
}

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
struct Wait {
    timeout: Duration,
    silence: Option<Duration>,
}

impl<'a> Callback<'a> {
    pub(crate) fn new(turn: &'a Turn, name: Cow<'static, str>) -> Self {
        let wait = Wait { timeout: hours(24), silence: None };
        Self { turn, name, retry: None, at_most_once: false, wait }
    }

    /// How often the work is handed over; without this, as often as the workflow's `retries` say.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// The longest an answer is waited for; a day when this is not said. Without one by then, the attempt has failed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.wait.timeout = timeout;
        self
    }

    /// The longest that whoever has the work may be silent. Without a sign of life for so long, the attempt has failed.
    pub fn heartbeat(mut self, silence: Duration) -> Self {
        self.wait.silence = Some(silence);
        self
    }

    /// The work is never handed over again while it may have been done: when no answer comes, the step fails with
    /// [`Error::is_outcome_unknown`]; only an answer that says that nothing happened is followed by another attempt.
    pub fn at_most_once(mut self) -> Self {
        self.at_most_once = true;
        self
    }

    /// Hands the work over, unless that was done, and returns the answer once it has come.
    ///
    /// The body passes the token on, with the work. It may run twice with the same token, when the process dies before it is
    /// on record that it ran: the token is the work's idempotency key.
    pub async fn run<T, F, Fut>(self, hand_over: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce(Token) -> Fut,
        Fut: Future<Output = Result<()>>,
    {
        let (step, record) = reach(self.turn, &self.name, StepKind::Callback).await;
        let attempt = Attempt {
            retry: self.retry,
            at_most_once: self.at_most_once,
            ..Attempt::new(self.turn, step, StepKind::Callback)
        };
        attempt.listen(record, self.wait, hand_over).await
    }
}

impl fmt::Debug for Callback<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Attempt<'_> {
    async fn listen<T, F, Fut>(self, mut record: Option<Checkpoint>, wait: Wait, hand_over: F) -> Result<T>
    where
        T: DeserializeOwned,
        F: FnOnce(Token) -> Fut,
        Fut: Future<Output = Result<()>>,
    {
        let turn = self.turn;
        let mut hand_over = Some(hand_over);
        loop {
            let now = turn.now();
            let next = match &record {
                None => Attend::HandOver { attempt: 1, began: None },
                Some(record) => attend(record, wait.timeout, now, |timeout| turn.settings.scale(timeout)),
            };
            record = Some(match next {
                Attend::Return(output) => return self.load(&output).await,
                Attend::Fail(error) => return Err(error),
                Attend::Retry { until, attempts, error } => self.wait(until, attempts, &error).await,
                Attend::Wait(until) => {
                    let step = self.step.clone();
                    turn.park(WaitingFor::Callback { step, until }).await
                }
                Attend::Failed { attempt, began, error } => {
                    let _executing = turn.execute();
                    let handed = record.as_ref().and_then(|record| record.attempt_at).unwrap_or(began);
                    self.record(self.after_failure(attempt, error), attempt, began, handed).await
                }
                Attend::HandOver { attempt, began } => match hand_over.take() {
                    Some(hand_over) => self.hand(attempt, began, wait, hand_over).await,
                    // A body is called once an invocation: the next attempt is the next invocation's.
                    None => turn.park(WaitingFor::Handover).await,
                },
                Attend::Diverged => {
                    let error = Error::fatal(format!("step {} has the record of a sleep", self.step));
                    turn.halt(Stop::Diverged(error)).await
                }
            });
        }
    }

    /// Hands the work over and records that an answer is waited for; answers the record that stands.
    async fn hand<F, Fut>(
        &self,
        attempt: u32,
        began: Option<Timestamp>,
        wait: Wait,
        hand_over: F,
    ) -> Checkpoint
    where
        F: FnOnce(Token) -> Fut,
        Fut: Future<Output = Result<()>>,
    {
        let turn = self.turn;
        self.wait_for_turn(attempt).await;
        let _executing = turn.execute();
        let now = turn.now();
        let began = began.unwrap_or(now);
        if self.at_most_once {
            let standing = self.record(StepState::Started, attempt, began, now).await;
            if !matches!(standing.state, StepState::Started) {
                return standing;
            }
        }
        turn.observe(&crate::Happening::StepStarted(&self.step, attempt));
        let token = Token { run: turn.lease.run.clone(), step: self.step.clone(), attempt };
        let state = match hand_over(token).await {
            Ok(()) => {
                let silence = wait.silence.map(|silence| turn.settings.scale(silence));
                let alive_until = silence.map(|silence| after(now, silence));
                let until = after(now, turn.settings.scale(wait.timeout));
                StepState::Listening { until, silence, alive_until }
            }
            Err(error) => self.after_failure(attempt, error),
        };
        self.record(state, attempt, began, now).await
    }
}

/// What a callback that is reached does.
#[derive(Debug, PartialEq)]
enum Attend {
    Return(crate::Payload),
    Fail(Error),
    Retry { until: Timestamp, attempts: u32, error: Error },
    Wait(Timestamp),
    Failed { attempt: u32, began: Timestamp, error: Error },
    HandOver { attempt: u32, began: Option<Timestamp> },
    Diverged,
}

/// What the record of a callback means at the time `now`.
fn attend(
    record: &Checkpoint,
    timeout: Duration,
    now: Timestamp,
    scale: impl Fn(Duration) -> Duration,
) -> Attend {
    let (attempt, began) = (record.attempts, record.started_at);
    let listen = |until: Timestamp, silence, alive_until| {
        let end = ends(until, alive_until);
        if end > now {
            return Attend::Wait(end);
        }
        Attend::Failed { attempt, began, error: expired(until, silence, now) }
    };
    match &record.state {
        StepState::Completed { output } => Attend::Return(output.clone()),
        StepState::Failed { error } => Attend::Fail(error.clone()),
        StepState::Refused { error } => Attend::Failed { attempt, began, error: error.clone() },
        StepState::Retrying { until, error } if *until > now => {
            Attend::Retry { until: *until, attempts: attempt, error: error.clone() }
        }
        StepState::Retrying { .. } => Attend::HandOver { attempt: attempt + 1, began: Some(began) },
        StepState::Listening { until, silence, alive_until } => listen(*until, *silence, *alive_until),
        // Whether the work was handed over is not known: if it was, its answer will come.
        StepState::Started => listen(after(record.at, scale(timeout)), None, None),
        StepState::Sleeping { .. } => Attend::Diverged,
    }
}
