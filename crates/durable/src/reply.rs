//! What a person answers in place of whoever a run waits for.

use serde_json::{Value, json};

use crate::{
    Action, ActionError, Desk, Error, Payload, Result, RunId, StepState,
    callback::{self, Answer, Settled, Token},
};

/// What a person says to a step that waits for an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// It is done, with this result.
    Done(Value),
    /// It failed, and why. Whether it is tried again is for the workflow to say.
    Failed(String),
}

impl Desk {
    /// Gives the answer that a step waits for. The same answer given again finds itself given; another one comes too late.
    pub async fn answer(&self, who: &str, token: &Token, reply: &Reply) -> Result<(), ActionError> {
        let Token { run, step, attempt } = token;
        // The result may hold what nobody is to read in the audit trail: it stands with its step.
        let detail = match reply {
            Reply::Done(_) => json!({"step": step.to_string(), "attempt": attempt}),
            Reply::Failed(why) => json!({"step": step.to_string(), "attempt": attempt, "failed": why}),
        };
        self.audited(who, Action::Answer, run.as_str(), detail, async |_| self.give(token, reply).await).await
    }

    async fn give(&self, token: &Token, reply: &Reply) -> Result<(), ActionError> {
        let answer = match reply {
            Reply::Done(value) => callback::done(&self.ports, token, value.to_string()).await?,
            Reply::Failed(why) => Answer::Failed(Error::new(why.clone())),
        };
        match callback::answer(&self.ports, token, &answer).await? {
            Settled::Done(_) => Ok(()),
            Settled::Late if self.is_given(token, &answer).await? => Ok(()),
            Settled::Late => Err(ActionError::Conflict(callback::LATE.to_owned())),
            Settled::Missing => Err(no_run(&token.run)),
        }
    }

    /// Whether this very answer is on record already.
    async fn is_given(&self, token: &Token, answer: &Answer) -> Result<bool> {
        let records = self.ports.journal.checkpoints(&token.run).await?;
        let record = records.iter().find(|record| record.step == token.step);
        Ok(record.is_some_and(|record| record.attempts == token.attempt && holds(&record.state, answer)))
    }
}

/// Whether a record has become what this answer makes of it.
fn holds(state: &StepState, answer: &Answer) -> bool {
    match (state, answer) {
        (StepState::Completed { output }, Answer::Done(given)) => same(output, given),
        (StepState::Refused { error } | StepState::Failed { error }, Answer::Failed(given)) => {
            error.message() == given.message()
        }
        _ => false,
    }
}

/// Whether two payloads hold the same JSON: a store may write it in its own way.
fn same(one: &Payload, other: &Payload) -> bool {
    match (one, other) {
        (Payload::Json(one), Payload::Json(other)) => {
            let read = |json: &str| serde_json::from_str::<Value>(json).ok();
            one == other || read(one).is_some_and(|value| read(other) == Some(value))
        }
        _ => one == other,
    }
}

fn no_run(id: &RunId) -> ActionError {
    ActionError::NotFound { what: "run", id: id.as_str().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_again_on_record() {
        let done = |json: &str| Answer::Done(Payload::Json(json.into()));
        let completed = StepState::Completed { output: Payload::Json(r#"{"a": 1}"#.into()) };
        assert!(holds(&completed, &done(r#"{"a":1}"#)));
        assert!(
            !holds(&completed, &done(r#"{"a":2}"#)) && !holds(&completed, &Answer::Failed(Error::new("no")))
        );
        let refused = StepState::Refused { error: Error::new("no") };
        assert!(holds(&refused, &Answer::Failed(Error::new("no"))));
        assert!(!holds(&refused, &Answer::Failed(Error::new("never"))) && !holds(&refused, &done("1")));
    }
}
