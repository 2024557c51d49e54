//! A function without AWS: its runs are kept in SQLite, in the folder that `DURABLE_HOME` names, else `.fibreflow`. For
//! `cargo lambda invoke` on a developer's machine; `fibreflow dev` in the same folder sees the same runs.

use std::path::{Path, PathBuf};

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use durable::{Clock, Delivery, Error, Journal, Result, Run, RunId, Runnable, Wakeups, after, seconds};
use durable_local::{Store, Worker};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    SystemClock, lambda,
    message::{self, Message},
};

/// How often a run is looked at that others may be at work on.
const LOOK: std::time::Duration = std::time::Duration::from_millis(20);

/// The answer is given so long before the function's time ends.
const MARGIN: std::time::Duration = seconds(2);

/// Whether this is a developer's machine: no table is named, and Lambda is not around.
pub(crate) fn is_wanted() -> bool {
    std::env::var_os("DURABLE_TABLE").is_none() && std::env::var_os("AWS_EXECUTION_ENV").is_none()
}

/// A workflow's runs on this machine.
#[derive(Debug)]
pub(crate) struct Local {
    store: Store,
}

impl Local {
    pub(crate) fn from_env(runnable: &Runnable) -> Result<Self> {
        let home = std::env::var_os("DURABLE_HOME").unwrap_or_else(|| ".fibreflow".into());
        Self::open(&PathBuf::from(home), runnable)
    }

    fn open(home: &Path, runnable: &Runnable) -> Result<Self> {
        let store = Store::open(home, [runnable.definition()])?;
        tracing::info!(home = %home.display(), "no DURABLE_TABLE: runs are kept on this machine");
        Ok(Self { store })
    }

    /// Carries out an invocation as AWS would have it, and works on the run until it ends or the function's time does.
    pub(crate) async fn invoke(
        &self,
        runnable: &Runnable,
        payload: Value,
        request: &str,
        deadline: Timestamp,
    ) -> Result<Value> {
        if payload.get("Records").is_some() {
            return self.batch(runnable, payload, deadline).await;
        }
        let workflow = &runnable.definition().name;
        let asked = message::of_invocation(payload, workflow, request, SystemClock.now())?;
        let run = self.accept(runnable, asked).await?;
        self.work(runnable, std::slice::from_ref(&run), deadline).await?;
        let run =
            self.store.run(&run).await?.ok_or_else(|| Error::fatal(format!("there is no run {run}")))?;
        lambda::answer(&run, &self.store).await
    }

    async fn batch(&self, runnable: &Runnable, payload: Value, deadline: Timestamp) -> Result<Value> {
        let batch: SqsEvent = serde_json::from_value(payload)
            .map_err(|error| Error::fatal(format!("Records: {error}; expected an SQS batch")))?;
        let (mut runs, mut response) = (Vec::new(), SqsBatchResponse::default());
        for record in batch.records {
            let body = record.body.unwrap_or_default();
            let accepted = match message::of_text(&body, &runnable.definition().name) {
                Ok(asked) => self.accept(runnable, asked).await,
                Err(error) => Err(error),
            };
            match accepted {
                Ok(run) => runs.push(run),
                Err(error) => {
                    tracing::error!(message = record.message_id, %error, "a message that cannot be read");
                    response.add_failure(record.message_id.unwrap_or_default());
                }
            }
        }
        self.work(runnable, &runs, deadline).await?;
        Ok(serde_json::to_value(response)?)
    }

    async fn accept(&self, runnable: &Runnable, asked: Message) -> Result<RunId> {
        let run = asked.run(&runnable.definition().name);
        match asked.settled(&self.store.ports(None)).await? {
            None => Ok(run),
            Some(Delivery::Resume { run, .. }) => Ok(run),
            Some(Delivery::Start(event)) => {
                let workflow = &runnable.definition().name;
                let accepted = self.store.accept(event.clone()).await?;
                if accepted.runs.contains(&run) {
                    return Ok(run);
                }
                // An event that the workflow does not listen to, or a scheduled time: the run is made without it.
                let now = SystemClock.now();
                self.store.begin(Run::queued(workflow, event, now), now, now).await?;
                self.store.wake(workflow, &run, now).await?;
                Ok(run)
            }
        }
    }

    async fn work(&self, runnable: &Runnable, runs: &[RunId], deadline: Timestamp) -> Result<()> {
        let ports = self.store.ports(None);
        let worker =
            Worker::new(self.store.clone(), ports, durable::Settings::default(), vec![runnable.clone()])?;
        let end = deadline.checked_sub(MARGIN).unwrap_or(deadline);
        let ended = async {
            while SystemClock.now() < end && !self.all_ended(runs).await {
                SystemClock.sleep_until(after(SystemClock.now(), LOOK)).await;
            }
        };
        worker.run(ended).await
    }

    async fn all_ended(&self, runs: &[RunId]) -> bool {
        for run in runs {
            // One that cannot be read now is looked at again.
            let Ok(found) = self.store.run(run).await else { return false };
            if found.is_some_and(|run| !run.status.is_final()) {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use durable::{Context, Workflow};
    use serde_json::json;

    use super::*;

    async fn greet(ctx: Context<Value>, (): ()) -> Result<String> {
        let greeting = ctx.step("greet").run(async || Ok(format!("hello {}", ctx.event()["name"]))).await?;
        ctx.sleep("breathe", std::time::Duration::from_millis(1100)).await;
        Ok(greeting)
    }

    #[tokio::test]
    async fn a_function_runs_its_workflow_to_its_end_without_aws() {
        let home = tempfile::tempdir().unwrap();
        let runnable = Workflow::new("greet", greet).on_event("go").with(());
        let local = Local::open(home.path(), &runnable).unwrap();
        let deadline = after(SystemClock.now(), seconds(30));
        let event = json!({"name": "go", "data": {"name": "you"}, "id": "1"});
        let answer = local.invoke(&runnable, event, "r", deadline).await.unwrap();
        assert_eq!((&answer["status"], &answer["output"]), (&json!("completed"), &json!("hello \"you\"")));

        let scheduled = json!({"durable": "schedule", "workflow": "greet", "time": "2026-01-01T06:00:00Z"});
        let records = json!({"Records": [
            {"messageId": "good", "body": scheduled.to_string()}, {"messageId": "bad", "body": "{}"},
        ]});
        let answer = local.invoke(&runnable, records, "r", deadline).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "bad"}]}));
        let run = local.store.run(&RunId::of("greet", "greet@2026-01-01T06:00:00Z")).await.unwrap().unwrap();
        assert_eq!(run.status, durable::Status::Completed);
    }
}
