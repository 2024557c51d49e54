//! Who has begun a job, and what that means for a worker that is given it: a plain function of the claim and the time.
//!
//! A queue gives a job to one worker at a time, most of the time. The claim makes that certain: it is written with a compare
//! and swap before a job begins, prolonged while it is worked on, and ends as the record of the answer. Whoever ends a run
//! writes over it that the job is withdrawn: the swap of whoever is at work then fails.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    after,
    callback::{Answer, Token},
};

/// A claim to a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The worker that made it.
    pub worker: String,
    /// How often the job was begun, from 1: fences off whoever began it before.
    pub epoch: u64,
    /// How far it has come.
    pub state: State,
}

/// How far a claimed job has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is being done; until then nobody else may begin.
    Held(Timestamp),
    /// It was given back before it had any effect, or may be begun again.
    Free,
    /// It is answered, for ever.
    Answered(Answer),
    /// Nobody waits for it any more, for ever.
    Withdrawn,
}

impl Claim {
    /// What is written over any claim to a job that nobody waits for any more.
    pub fn withdrawn() -> Self {
        Self { worker: String::new(), epoch: 0, state: State::Withdrawn }
    }
}

/// By what the claim to a job is known.
pub fn name(token: &Token) -> String {
    digest(&token.to_string())
}

/// Where a claim is, by its name, in a blob store that keeps claims.
pub fn key(name: &str) -> String {
    format!("worker/claims/{name}")
}

/// A name that any file system, queue and bucket takes, for any text.
pub fn digest(text: &str) -> String {
    let mut name = hex::encode(Sha256::digest(text));
    name.truncate(40);
    name
}

/// What a worker does with a job it was given.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Begin it, under this claim.
    Begin(Claim),
    /// It is this worker's own: it died over it, or is at work on it.
    Own(Claim),
    /// Another worker is at work on it, until then at least.
    Busy(Timestamp),
    /// Answer this (again).
    Answer(Answer),
    /// A worker began it and is gone; what it did is not known, and it must not be done twice.
    Lost(Claim),
    /// Nobody began it in time, and the step has stopped waiting.
    Overdue(Claim),
    /// Its run has ended: end what was begun of it, and forget it.
    Withdrawn,
}

/// What `worker` does at the time `now` with a job about which this claim stands.
pub fn judge(
    standing: Option<&Claim>,
    worker: &str,
    now: Timestamp,
    lease: Duration,
    start_by: Timestamp,
    at_most_once: bool,
) -> Verdict {
    let held = State::Held(after(now, lease));
    let mine = |epoch: u64| Claim { worker: worker.to_owned(), epoch, state: held.clone() };
    let epoch = standing.map_or(0, |claim| claim.epoch) + 1;
    let begin = || if now < start_by { Verdict::Begin(mine(epoch)) } else { Verdict::Overdue(mine(epoch)) };
    let Some(claim) = standing else { return begin() };
    match &claim.state {
        State::Answered(answer) => Verdict::Answer(answer.clone()),
        State::Withdrawn => Verdict::Withdrawn,
        State::Held(_) if claim.worker == worker => Verdict::Own(claim.clone()),
        State::Held(until) if *until > now => Verdict::Busy(*until),
        State::Held(_) if at_most_once => Verdict::Lost(mine(epoch)),
        State::Held(_) | State::Free => begin(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, seconds};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn claim(worker: &str, state: State) -> Claim {
        Claim { worker: worker.into(), epoch: 3, state }
    }

    fn judged(standing: Option<&Claim>, at_most_once: bool) -> Verdict {
        judge(standing, "me", at(100), seconds(60), at(200), at_most_once)
    }

    #[test]
    fn a_job_is_begun_by_one_and_only_when_nobody_else_may_be_at_it() {
        let mine = |epoch| Claim { worker: "me".into(), epoch, state: State::Held(at(160)) };
        assert_eq!(judged(None, true), Verdict::Begin(mine(1)));
        assert_eq!(judged(Some(&claim("other", State::Free)), true), Verdict::Begin(mine(4)));
        assert_eq!(judged(Some(&claim("other", State::Held(at(101)))), false), Verdict::Busy(at(101)));
        assert_eq!(judged(Some(&claim("other", State::Held(at(100)))), false), Verdict::Begin(mine(4)));
    }

    #[test]
    fn what_must_not_be_done_twice_is_not_begun_where_somebody_died_over_it() {
        let gone = claim("other", State::Held(at(100)));
        assert!(matches!(judged(Some(&gone), true), Verdict::Lost(Claim { epoch: 4, .. })));
    }

    #[test]
    fn a_worker_knows_its_own() {
        let own = claim("me", State::Held(at(0)));
        assert_eq!(judged(Some(&own), true), Verdict::Own(own.clone()));
    }

    #[test]
    fn an_answer_stands_whoever_asks() {
        for worker in ["me", "other"] {
            let answer = Answer::Failed(Error::new("x"));
            let answered = claim(worker, State::Answered(answer.clone()));
            assert_eq!(judged(Some(&answered), true), Verdict::Answer(answer));
        }
    }

    #[test]
    fn what_is_withdrawn_is_nobodys_any_more() {
        assert_eq!(judged(Some(&Claim::withdrawn()), true), Verdict::Withdrawn);
        assert_eq!(judged(Some(&Claim::withdrawn()), false), Verdict::Withdrawn);
    }

    #[test]
    fn what_nobody_waits_for_is_not_begun() {
        let late = judge(None, "me", at(200), seconds(60), at(200), false);
        assert!(matches!(late, Verdict::Overdue(Claim { epoch: 1, .. })));
    }
}
