//! `fibreflow runs`, `show` and `cancel`: runs, looked up and shown.

use durable::{Filter, Ports, Run, RunDetail, RunId, RunSummary, StepView, until};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    args,
    failure::{Failure, Result},
    place::{Place, now, unknown},
    terminal::{alarming, faint, paint, rows, say, status_cell, table},
    text,
};

/// How much of a run's id is shown where a whole one is too long: two of 100,000 runs share it once in ten times.
const SHORT_ID: usize = 8;

/// How much of a value is shown in a line.
const SHORT_VALUE: usize = 80;

pub(crate) async fn list(place: &Place, runs: args::Runs) -> Result<()> {
    let there = place.runs().await?;
    let filter = Filter { workflow: runs.workflow, status: runs.status, limit: runs.limit };
    let found = there.ports.journal.runs(&filter).await?;
    if runs.json {
        say(serde_json::to_string_pretty(&found.iter().map(RunSummary::of).collect::<Vec<_>>())?);
        return Ok(());
    }
    if found.is_empty() {
        say("no such runs: start one with `fibreflow send`");
        return Ok(());
    }
    let now = now();
    let mut table = table(&["RUN", "WORKFLOW", "STATUS", "EVENT", "ACCEPTED", "TOOK", "WAITS FOR"]);
    for run in &found {
        table.add_row(vec![
            short_id(&run.id).into(),
            run.workflow.clone().into(),
            status_cell(run.status),
            text::short(&run.event.name, 40).into(),
            text::when(run.created_at, now).into(),
            took(run).into(),
            waits_for(run, now).into(),
        ]);
    }
    say(rows(&table));
    Ok(())
}

pub(crate) async fn show(place: &Place, show: args::Show) -> Result<()> {
    let there = place.runs().await?;
    let run = there.find(&show.run).await?;
    let now = now();
    let detail = detail(&there.ports, &run, now).await?;
    if show.json {
        say(serde_json::to_string_pretty(&detail)?);
    } else {
        print(&run, &detail, now);
    }
    Ok(())
}

pub(crate) async fn cancel(place: &Place, cancel: args::Cancel) -> Result<()> {
    let there = place.runs().await?;
    let run = there.find(&cancel.run).await?;
    match end(&there.ports, &run.id).await? {
        Ended::Now(run) => say(format_args!("{} run {} is cancelled", run.workflow, run.id)),
        Ended::Before(run) => {
            return Err(Failure::new(format!(
                "run {} had ended already: it is {}; `fibreflow show {}` tells how",
                run.id,
                run.status,
                short_id(&run.id)
            )));
        }
        Ended::Unknown => return Err(unknown(&cancel.run)),
    }
    Ok(())
}

/// A run with its steps.
pub(crate) async fn detail(ports: &Ports, run: &Run, now: Timestamp) -> Result<RunDetail> {
    let records = ports.journal.checkpoints(&run.id).await?;
    Ok(RunDetail::of(run, &records, &*ports.blobs, now).await?)
}

/// How cancelling a run ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Now(Box<Run>),
    Before(Box<Run>),
    Unknown,
}

/// Cancels a run. What flow control holds for it is given back by whichever worker hears of it: here its services need
/// not be known.
pub(crate) async fn end(ports: &Ports, id: &RunId) -> Result<Ended> {
    let now = now();
    match ports.journal.run(id).await? {
        None => return Ok(Ended::Unknown),
        Some(run) if run.status.is_final() => return Ok(Ended::Before(Box::new(run))),
        Some(_) => {}
    }
    let Some(run) = ports.journal.cancel(id, now).await? else { return Ok(Ended::Unknown) };
    ports.wakeups.wake(&run.workflow, id, now).await?;
    // It may have ended by itself in between.
    let cancelled = run.status == durable::Status::Cancelled;
    Ok(if cancelled { Ended::Now(Box::new(run)) } else { Ended::Before(Box::new(run)) })
}

pub(crate) fn short_id(id: &RunId) -> &str {
    id.as_str().get(..SHORT_ID).unwrap_or(id.as_str())
}

/// How long a run took, from its start to its end.
pub(crate) fn took(run: &Run) -> String {
    let (Some(started), Some(ended)) = (run.started_at, run.ended_at) else { return String::new() };
    text::duration(until(started, ended))
}

fn waits_for(run: &Run, now: Timestamp) -> String {
    match run.waiting_for.as_slice() {
        _ if run.status.is_final() || run.status == durable::Status::Running => String::new(),
        [] if run.status == durable::Status::Queued => "a worker".to_owned(),
        [] => String::new(),
        [first, more @ ..] => {
            let more = if more.is_empty() { String::new() } else { format!(", and {} more", more.len()) };
            format!("{}{more}", text::short(&text::waiting(first, now), SHORT_VALUE))
        }
    }
}

fn print(run: &Run, detail: &RunDetail, now: Timestamp) {
    let line = |name: &str, value: &str| say(format_args!("{}  {value}", faint(format_args!("{name:<9}"))));
    line("run", run.id.as_str());
    line("workflow", &run.workflow);
    line("status", &paint(run.status));
    line("event", &format!("{} {}", run.event.name, faint(&run.event.id)));
    line("data", &value(&run.event.data));
    line("accepted", &text::when(run.created_at, now));
    if let Some(started) = run.started_at {
        line("started", &text::when(started, now));
    }
    if run.ended_at.is_some() {
        line("took", &took(run));
    }
    for wait in detail.summary.waiting_for.iter().filter(|_| !run.status.is_final()) {
        line("waits for", &text::waiting(wait, now));
    }
    if let Some(output) = &detail.output {
        line("output", &value(output));
    }
    if let Some(error) = &detail.error {
        line("error", &alarming(text::masked(error.message())));
    }
    if detail.steps.is_empty() {
        return;
    }
    let mut table = table(&["STEP", "STATUS", "ATTEMPTS", "TOOK", "RESULT"]);
    for step in &detail.steps {
        let name = if step.nth == 1 { step.name.clone() } else { format!("{}#{}", step.name, step.nth) };
        let took = step.ended_at.map(|ended| text::duration(until(step.started_at, ended)));
        let attempts = step.attempts.to_string();
        table.add_row([name, step.status.to_owned(), attempts, took.unwrap_or_default(), result(step)]);
    }
    say(format_args!("\n{}", rows(&table)));
}

fn result(step: &StepView) -> String {
    match (&step.error, &step.output) {
        (Some(error), _) => text::short(&text::masked(error.message()), SHORT_VALUE),
        (None, Some(output)) => text::short(&text::masked(output.get()), SHORT_VALUE),
        (None, None) => String::new(),
    }
}

fn value(value: &Value) -> String {
    text::short(&text::masked(&value.to_string()), 4 * SHORT_VALUE)
}
