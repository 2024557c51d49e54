//! What a run waits for from outside: an answer, or an event.

use durable::{Reply, RunId, StepKind, WaitingFor, callback::Token};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{EventOrder, Sent, runs::step_id};
use crate::{
    console::Console,
    problem::{Problem, Result},
    views::wanted_data,
};

/// What is answered: `{"done": …}` or `{"failed": "why"}`.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AnswerOrder {
    /// It is done, with this result: what the workflow expects of the step.
    #[schema(example = json!({"approved": true, "by": "Jan"}))]
    Done(Value),
    /// It failed, and why. Whether it is tried again is for the workflow to say.
    #[schema(example = "the line is dead")]
    Failed(String),
}

impl From<AnswerOrder> for Reply {
    fn from(order: AnswerOrder) -> Self {
        match order {
            AnswerOrder::Done(value) => Self::Done(value),
            AnswerOrder::Failed(why) => Self::Failed(why),
        }
    }
}

impl Console {
    /// Answers a step that has handed its work to somebody outside.
    pub(crate) async fn answer(&self, who: &str, token: &str, order: AnswerOrder) -> Result<()> {
        let token: Token = token.parse().map_err(|_| {
            Problem::parameter("token", "the text that was handed over with the work: run.attempt.n.step")
        })?;
        if matches!(&order, AnswerOrder::Failed(why) if why.trim().is_empty()) {
            return Err(Problem::body("failed: expected why it failed", "failed"));
        }
        // Whoever has the work may answer before the run has recorded that it waits; a person is told of a slip instead.
        let run = self.desk().run(&token.run).await?;
        let run = run.ok_or_else(|| Problem::missing("run", &token.run))?;
        let asked = |kind, name: &str, nth| {
            kind == StepKind::Callback && name == token.step.name && nth == token.step.nth
        };
        if !run.detail.steps.iter().any(|step| asked(step.kind, &step.name, step.nth)) {
            let of = format!("of run {} that asked for an answer", token.run);
            return Err(Problem::missing("step", format!("{} {of}", token.step)));
        }
        Ok(self.desk().answer(who, &token, &order.into()).await?)
    }

    /// Sends the event that a step of a run waits for. What is masked in its data may stay so, as far as it is waited for.
    pub(crate) async fn send_awaited(
        &self,
        who: &str,
        run: &str,
        step: &str,
        data: Value,
        request: String,
    ) -> Result<Sent> {
        let (id, step) = (RunId::from_text(run), step_id(step));
        let found = self.desk().ports.journal.run(&id).await?;
        let found = found.ok_or_else(|| Problem::missing("run", run))?;
        let wait =
            found.waiting_for.iter().filter(|_| !found.status.is_final()).find_map(|wait| match wait {
                WaitingFor::Event { step: waits, event, matching, .. } if *waits == step => {
                    Some((event, matching))
                }
                _ => None,
            });
        let Some((event, matching)) = wait else {
            return Err(Problem::conflict(format!("{step} of run {run} waits for no event any more")));
        };
        let data = self.masked().restore(data, &wanted_data(matching));
        self.send(who, EventOrder { name: event.clone(), data, id: Some(request) }).await
    }
}
