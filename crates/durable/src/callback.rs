//! Work that somebody outside does: the run hands it over with a token, and goes on when an answer comes with it.
//!
//! Whoever has the work may take hours. Meanwhile the run is suspended; the answer wakes it. What an answer does to the
//! record of its step is a plain function, [`settle`]; backends carry it out in one transaction.

use std::{fmt, str::FromStr, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Checkpoint, Error, Payload, Ports, Result, Run, RunId, Status, StepId, StepKind, StepState, after,
    scope::is_part,
};

/// Names one attempt of one step of one run: what an answer must come with.
///
/// It is no secret: it can be guessed by whoever knows the event's id. What receives answers decides who may give them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Token {
    /// The run that waits.
    pub run: RunId,
    /// The step of it.
    pub step: StepId,
    /// Which attempt of the step, from 1. An answer to an attempt that another has followed comes too late.
    pub attempt: u32,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.run, self.attempt, self.step.nth, self.step.name)
    }
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.splitn(4, '.');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let mut read = || {
            let (run, attempt, nth) =
                (RunId::from_text(next()?), next()?.parse().ok()?, next()?.parse().ok()?);
            Some(Self { run, step: StepId { name: next()?.to_owned(), nth }, attempt })
        };
        read().ok_or_else(|| Error::fatal("token: expected the text that was handed over with the work"))
    }
}

impl Serialize for Token {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(|error: Error| serde::de::Error::custom(error.message()))
    }
}

/// What is said to an answer that comes too late.
pub const LATE: &str = "the answer comes too late: the step has a result, or has been handed to somebody else, or the run has ended";

/// What whoever has the work says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done(Payload),
    /// It failed. Whether it is tried again is for the workflow to say.
    Failed(Error),
    /// It is still at work.
    Alive,
    /// Not from whoever has the work: the event that the step [waits for](crate::waits) has come.
    Received(Payload),
}

impl Answer {
    /// The kind of step that is answered like this.
    fn kind(&self) -> StepKind {
        if matches!(self, Self::Received(_)) { StepKind::WaitForEvent } else { StepKind::Callback }
    }
}

/// What an answer does to the record of its step.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The record becomes this one. `true`: the run is to be woken.
    Record(Box<Checkpoint>, bool),
    /// Nothing, and that is well.
    Nothing,
    /// Nothing: the step has a result already, or another attempt has begun.
    Late,
}

/// What became of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Settled {
    /// It was recorded. The run is to be woken if it is given.
    Done(Option<Box<Run>>),
    /// The step has a result already, another attempt has begun, or the run has ended.
    Late,
    /// There is no such run.
    Missing,
}

/// What an answer to `token` makes of the step's record, if there is one, at the time `now`.
///
/// An answer may come before the run has recorded that it waits: then it is the step's first record.
pub fn settle(record: Option<&Checkpoint>, token: &Token, answer: &Answer, now: Timestamp) -> Verdict {
    let (begun, kind) = record.map_or((0, answer.kind()), |record| (record.attempts, record.kind));
    let state = record.map(|record| &record.state);
    let is_final = state.is_some_and(StepState::is_final);
    if is_final || kind != answer.kind() || begun > token.attempt || begun + 1 < token.attempt {
        return Verdict::Late;
    }
    let answered = begun == token.attempt && matches!(state, Some(StepState::Refused { .. }));
    let given_up = begun == token.attempt && matches!(state, Some(StepState::Retrying { .. }));
    let state = match (answer, state) {
        (Answer::Done(output) | Answer::Received(output), _) if !answered => {
            StepState::Completed { output: output.clone() }
        }
        (Answer::Failed(error), _) if !answered && !given_up => StepState::Refused { error: error.clone() },
        (Answer::Alive, Some(StepState::Listening { until, silence: Some(silence), .. })) => {
            let alive_until = Some(after(now, *silence));
            StepState::Listening { until: *until, silence: Some(*silence), alive_until }
        }
        (Answer::Alive, _) if !answered && !given_up => return Verdict::Nothing,
        _ => return Verdict::Late,
    };
    let wakes = *answer != Answer::Alive;
    let started_at = record.map_or(now, |record| record.started_at);
    let (step, attempts) = (token.step.clone(), token.attempt);
    let attempt_at = record.and_then(|record| record.attempt_at);
    let failures = record.map(|record| record.failures.clone()).unwrap_or_default();
    let record = Checkpoint { step, kind, state, attempts, started_at, at: now, attempt_at, failures };
    Verdict::Record(Box::new(record), wakes)
}

/// Gives an answer: records it and wakes the run. Repeating it does no harm, and some good when whoever gave it before died
/// over it.
pub async fn answer(ports: &Ports, token: &Token, answer: &Answer) -> Result<Settled> {
    let now = ports.clock.now();
    let settled = ports.journal.settle(token, answer, now).await?;
    let woken = match &settled {
        Settled::Done(run) => run.as_deref().cloned(),
        Settled::Late => ports.journal.run(&token.run).await?.filter(|run| is_due(run, now)),
        Settled::Missing => None,
    };
    if let Some(run) = woken {
        ports.wakeups.wake(&run.workflow, &run.id, now).await?;
    }
    // Whoever was to withdraw it died over it, or the step has given it up.
    if settled == Settled::Late && *answer == Answer::Alive && is_part(&token.step) {
        ports.jobs.withdraw(token).await?;
    }
    Ok(settled)
}

fn is_due(run: &Run, now: Timestamp) -> bool {
    run.status == Status::Waiting && run.wake_at.is_some_and(|wake_at| wake_at <= now)
}

/// Keeps what an answer holds: large values go to the blob store, as a step's own results do.
pub async fn done(ports: &Ports, token: &Token, json: String) -> Result<Answer> {
    let key = format!("runs/{}/callbacks/{}/{}", token.run, token.step, token.attempt);
    Ok(Answer::Done(Payload::keep(json, &key, &*ports.blobs).await?))
}

/// When the wait for an answer is over, unless one or a sign of life comes.
pub(crate) fn ends(until: Timestamp, alive_until: Option<Timestamp>) -> Timestamp {
    alive_until.map_or(until, |alive_until| alive_until.min(until))
}

/// Why the wait for an answer is over at the time `now`.
pub(crate) fn expired(until: Timestamp, silence: Option<Duration>, now: Timestamp) -> Error {
    match silence {
        Some(silence) if until > now => Error::new(format!("no sign of life for {silence:?}")),
        _ => Error::new("no answer came in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seconds;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn token(attempt: u32) -> Token {
        Token { run: RunId::of("w", "1"), step: StepId { name: "ask.them".into(), nth: 2 }, attempt }
    }

    fn record(attempts: u32, state: StepState) -> Checkpoint {
        let (step, kind) = (token(1).step, StepKind::Callback);
        Checkpoint { attempts, ..Checkpoint::new(step, kind, state, at(0)) }
    }

    fn listening() -> StepState {
        StepState::Listening { until: at(100), silence: Some(seconds(10)), alive_until: Some(at(10)) }
    }

    fn done() -> Answer {
        Answer::Done(Payload::Json("1".into()))
    }

    fn failed() -> Answer {
        Answer::Failed(Error::new("no"))
    }

    #[test]
    fn a_token_is_read_as_it_is_written() {
        assert_eq!(token(3).to_string().parse::<Token>().unwrap(), token(3));
        for text in ["", "a.b", "a.1.x.s", "a.1.2."] {
            assert!(text.parse::<Token>().unwrap_err().message().starts_with("token: expected"), "{text}");
        }
    }

    #[test]
    fn an_answer_is_recorded_and_wakes_the_run_even_before_it_waits() {
        for before in [None, Some(record(1, listening())), Some(record(1, StepState::Started))] {
            let Verdict::Record(after, true) = settle(before.as_ref(), &token(1), &done(), at(5)) else {
                panic!("{before:?}")
            };
            assert!(matches!(after.state, StepState::Completed { .. }));
            let Verdict::Record(after, true) = settle(before.as_ref(), &token(1), &failed(), at(5)) else {
                panic!("{before:?}")
            };
            assert!(matches!(after.state, StepState::Refused { .. }) && !after.state.is_final());
        }
    }

    #[test]
    fn a_sign_of_life_prolongs_the_wait_and_wakes_nobody() {
        let Verdict::Record(after, false) =
            settle(Some(&record(1, listening())), &token(1), &Answer::Alive, at(5))
        else {
            panic!("not prolonged")
        };
        let StepState::Listening { until, alive_until, .. } = after.state else {
            panic!("no longer listening")
        };
        assert_eq!((until, alive_until), (at(100), Some(at(15))));
    }

    #[test]
    fn an_answer_to_what_is_over_comes_too_late() {
        let final_record = record(1, StepState::Failed { error: Error::new("x") });
        let second = record(2, listening());
        let refused = record(1, StepState::Refused { error: Error::new("x") });
        let retrying = record(1, StepState::Retrying { until: at(9), error: Error::new("x") });
        for (before, answer) in [
            (&final_record, done()),
            (&second, done()),
            (&refused, done()),
            (&refused, failed()),
            (&retrying, failed()),
            (&retrying, Answer::Alive),
        ] {
            assert_eq!(settle(Some(before), &token(1), &answer, at(5)), Verdict::Late, "{before:?}");
        }
        assert_eq!(settle(None, &token(2), &done(), at(5)), Verdict::Late, "an attempt that never began");
        // It did come, before anybody else was asked: that is as good.
        assert!(matches!(settle(Some(&retrying), &token(1), &done(), at(5)), Verdict::Record(_, true)));
    }
}
