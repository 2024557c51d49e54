//! The demo: an event for each workflow and two tasks, and a table of how they ended.

use std::time::Duration;

use durable::{Clock, Envelope, History, LARGEST_PAGE, PageRequest, Run, RunFilter, Status, after};
use durable_local::{Store, SystemClock};
use fibreflow::sandbox::BUCKET;
use jiff::Timestamp;
use orchestrator::Registry;
use serde_json::{Value, json};

use crate::{
    catalogue::Configured,
    failure::{Failure, Result},
    inbound,
    progress::Progress,
    runs::{self, short_id, took},
    terminal::{rows, say, status_cell, table},
    text,
};

/// How long the demo may take at a time scale of 1. At 60 that is less than a minute.
const LONGEST: Duration = Duration::from_mins(55);

/// How often it is looked whether the runs have ended.
const LOOK: Duration = Duration::from_millis(100);

/// One demo.
#[derive(Debug)]
pub(crate) struct Demo<'a> {
    pub(crate) store: &'a Store,
    pub(crate) registry: &'a Registry,
    pub(crate) configured: &'a Configured,
    pub(crate) progress: &'a Progress,
    pub(crate) time_scale: u32,
}

impl Demo<'_> {
    /// Sends, waits until all runs have ended, the ones they caused included, and sums up. Fails unless all completed.
    pub(crate) async fn run(&self) -> Result<()> {
        let began = SystemClock.now();
        self.send().await?;
        let end = after(began, LONGEST / self.time_scale);
        let runs = loop {
            let runs = self.since(began).await?;
            if runs.iter().all(|run| run.status.is_final()) {
                break runs;
            }
            if SystemClock.now() > end {
                break runs;
            }
            SystemClock.sleep_until(after(SystemClock.now(), LOOK)).await;
        };
        self.progress.clear();
        self.sum_up(&runs).await?;
        verdict(&runs)
    }

    async fn send(&self) -> Result<()> {
        let names = self.agent_names().await?;
        let [agent, other] = names.each_ref().map(String::as_str);
        let photo = format!("s3://{BUCKET}/DR1733758/power_meter.jpg");
        for (workflow, event, data) in [
            ("build-agent", "agent/build.requested", json!({ "agent_name": agent })),
            ("sync-databases", "databases/sync.requested", json!({})),
            (
                "send-whatsapp",
                "whatsapp/message.queued",
                json!({ "phone": "+27821234567", "message": "Drop DR1733758 is booked for Tuesday." }),
            ),
            (
                "evaluate-foto",
                "foto/evaluation.requested",
                json!({ "image_url": photo, "contractor_phone": "+27831234567" }),
            ),
        ] {
            if self.configured.has(workflow) {
                let event = Envelope::untyped(inbound::fresh_id(), event, data, SystemClock.now())?;
                self.progress.say(format_args!("event  {}", event.name));
                self.store.accept(event).await?;
            }
        }
        self.task(json!({
            "agent": "agent", "action": "build.requested", "description": format!("Build the agent {other}"),
            "estimated_duration": 1500, "agent_name": other,
        }))
        .await?;
        self.task(json!({ "description": "How much disk is left on the VPS?", "estimated_duration": 5 }))
            .await
    }

    async fn task(&self, task: Value) -> Result<()> {
        let description = task["description"].as_str().unwrap_or_default().to_owned();
        let (id, now) = (inbound::fresh_id(), SystemClock.now());
        let answer = orchestrator::handle(self.registry, self.store, task, &id, now).await?;
        let answer = serde_json::to_value(answer)?;
        let more = answer["agent"]["id"].as_str().map(|agent| format!(" to {agent}")).unwrap_or_default();
        let status = answer["status"].as_str().unwrap_or_default();
        self.progress.say(format_args!("task   {description} → {status}{more}"));
        Ok(())
    }

    /// Agents that the sandbox has not built before: of those it has, nothing is left to build.
    async fn agent_names(&self) -> Result<[String; 2]> {
        let filter = RunFilter { workflows: vec!["build-agent".into()], ..RunFilter::default() };
        let earlier = self.store.runs(&filter, &PageRequest::first(LARGEST_PAGE)).await?.items.len();
        let number = if earlier == 0 { String::new() } else { format!("_{}", earlier + 1) };
        Ok(["sharepoint", "knowledge_base"].map(|name| format!("{name}{number}")))
    }

    async fn since(&self, began: Timestamp) -> Result<Vec<Run>> {
        let filter = RunFilter { from: Some(began), ..RunFilter::default() };
        let mut runs = self.store.runs(&filter, &PageRequest::first(100)).await?.items;
        runs.reverse();
        Ok(runs)
    }

    async fn sum_up(&self, runs: &[Run]) -> Result<()> {
        let mut table = table(&["WORKFLOW", "RUN", "STATUS", "STEPS", "ATTEMPTS", "TOOK", "OUTPUT"]);
        for run in runs {
            let detail = runs::detail(&self.store.ports(None), run, SystemClock.now()).await?;
            let attempts: u32 = detail.steps.iter().map(|step| step.attempts).sum();
            let result = match (&detail.error, &detail.output) {
                (Some(error), _) => error.message().to_owned(),
                (None, output) => output.as_ref().map(Value::to_string).unwrap_or_default(),
            };
            table.add_row(vec![
                run.workflow.clone().into(),
                short_id(&run.id).into(),
                status_cell(run.status),
                detail.steps.len().into(),
                attempts.into(),
                took(run).into(),
                text::short(&text::masked(&result), 60).into(),
            ]);
        }
        say(format_args!("\n{}", rows(&table)));
        for left_out in &self.configured.left_out {
            say(format_args!("{} was left out: {}", left_out.workflow, left_out.reason));
        }
        Ok(())
    }
}

fn verdict(runs: &[Run]) -> Result<()> {
    let not: Vec<_> = runs.iter().filter(|run| run.status != Status::Completed).map(|run| &run.id).collect();
    match not.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(Failure::new(format!(
            "{} of {} runs did not complete: {}; `fibreflow show {}` tells why",
            not.len(),
            runs.len(),
            not.iter().map(|id| short_id(id)).collect::<Vec<_>>().join(", "),
            short_id(first)
        ))),
    }
}
