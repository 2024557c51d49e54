//! `fibreflow runs`, `show` and `cancel`: runs, looked up and shown.

use durable::{
    ActionError, Desk, LARGEST_PAGE, PageRequest, Ports, Run, RunDetail, RunFilter, RunId, RunSummary,
    StepView, until,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    args,
    environment::who,
    failure::{Failure, Result},
    place::{Place, find, now, unknown},
    terminal::{alarming, faint, paint, rows, say, status_cell, table},
    text,
};

/// How much of a run's id is shown where a whole one is too long: two of 100,000 runs share it once in ten times.
const SHORT_ID: usize = 8;

/// How much of a value is shown in a line.
const SHORT_VALUE: usize = 80;

pub(crate) async fn list(place: &Place, runs: args::Runs) -> Result<()> {
    let desk = place.desk().await?;
    let filter = RunFilter {
        workflows: runs.workflow.into_iter().collect(),
        statuses: runs.status.into_iter().collect(),
        ..RunFilter::default()
    };
    let found = newest(&desk, &filter, runs.limit).await?;
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
    let desk = place.desk().await?;
    let id = find(&desk, &show.run).await?;
    let run = desk.ports.journal.run(&id).await?.ok_or_else(|| unknown(&show.run))?;
    let mut view = desk.run(&id).await?.ok_or_else(|| unknown(&show.run))?;
    let now = now();
    view.detail = detail(&desk.ports, &run, now).await?;
    if show.json {
        say(serde_json::to_string_pretty(&view)?);
    } else {
        print(&run, &view.detail, now);
    }
    Ok(())
}

pub(crate) async fn cancel(place: &Place, cancel: args::Cancel) -> Result<()> {
    let desk = place.desk().await?;
    let id = find(&desk, &cancel.run).await?;
    let run = desk.cancel(&who(), &id).await.map_err(|error| match error {
        ActionError::Conflict(reason) => {
            Failure::new(format!("{reason}; `fibreflow show {}` tells how", short_id(&id)))
        }
        other => other.into(),
    })?;
    say(format_args!("{} run {} is cancelled", run.workflow, run.id));
    Ok(())
}

/// A run with its steps.
pub(crate) async fn detail(ports: &Ports, run: &Run, now: Timestamp) -> Result<RunDetail> {
    let records = ports.journal.checkpoints(&run.id).await?;
    Ok(RunDetail::of(run, &records, &*ports.blobs, now).await?)
}

/// The newest runs that a filter lets through, at most so many; 0 for all.
pub(crate) async fn newest(desk: &Desk, filter: &RunFilter, limit: usize) -> Result<Vec<Run>> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let request = PageRequest { limit: (limit - found.len()).min(LARGEST_PAGE), after };
        let page = desk.history.runs(filter, &request).await?;
        found.extend(page.items);
        if page.next.is_none() || found.len() >= limit {
            return Ok(found);
        }
        after = page.next;
    }
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
