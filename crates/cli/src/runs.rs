//! `fibreflow runs` and `show`: runs, looked up and shown.

use durable::{
    Desk, LARGEST_PAGE, PageRequest, Ports, Run, RunDetail, RunFilter, RunId, RunSummary, RunView, StepView,
    until,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    args,
    failure::Result,
    look::print_json,
    place::{Place, find, now, unknown},
    terminal::{alarming, faint, paint, rows, say, status_cell, table},
    text,
    timeline::Scale,
    watch,
};

/// How much of a run's id is shown where a whole one is too long: two of 100,000 runs share it once in ten times.
const SHORT_ID: usize = 8;

/// How much of a value is shown in a line.
const SHORT_VALUE: usize = 80;

pub(crate) async fn list(place: &Place, runs: args::Runs) -> Result<()> {
    let desk = place.desk().await?;
    let filter = runs.matching.filter(now());
    if runs.watch {
        return watch::runs(place, &desk, &filter, runs.limit, runs.json).await;
    }
    let found = newest(&desk, &filter, runs.limit).await?;
    if runs.json {
        return print_json(&found.iter().map(RunSummary::of).collect::<Vec<_>>());
    }
    say(listed(&found, now()));
    Ok(())
}

/// A list of runs.
pub(crate) fn listed(found: &[Run], now: Timestamp) -> String {
    if found.is_empty() {
        return "no such runs: start one with `fibreflow send`".to_owned();
    }
    let mut table = table(&["RUN", "WORKFLOW", "STATUS", "EVENT", "ACCEPTED", "TOOK", "WAITS FOR"]);
    for run in found {
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
    rows(&table)
}

pub(crate) async fn show(place: &Place, show: args::Show) -> Result<()> {
    let desk = place.desk().await?;
    let id = find(&desk, &show.run).await?;
    if show.follow {
        return watch::follow(place, &desk, &id, show.json).await;
    }
    if show.json {
        return print_json(&view(&desk, &id, now()).await?);
    }
    say(shown(&desk, &id, now()).await?);
    Ok(())
}

/// A run with all that is known of it, large values included.
async fn view(desk: &Desk, id: &RunId, now: Timestamp) -> Result<RunView> {
    let run = desk.ports.journal.run(id).await?.ok_or_else(|| unknown(id.as_str()))?;
    let mut view = desk.run(id).await?.ok_or_else(|| unknown(id.as_str()))?;
    view.detail = detail(&desk.ports, &run, now).await?;
    Ok(view)
}

/// A run as people read it.
pub(crate) async fn shown(desk: &Desk, id: &RunId, now: Timestamp) -> Result<String> {
    Ok(text_of(&view(desk, id, now).await?, now))
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
    lasted(run.started_at, run.ended_at)
}

fn lasted(started_at: Option<Timestamp>, ended_at: Option<Timestamp>) -> String {
    let (Some(started), Some(ended)) = (started_at, ended_at) else { return String::new() };
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

fn text_of(view: &RunView, now: Timestamp) -> String {
    let (detail, run) = (&view.detail, &view.detail.summary);
    let mut lines = Vec::new();
    let mut line =
        |name: &str, value: &str| lines.push(format!("{}  {value}", faint(format_args!("{name:<9}"))));
    line("run", run.run_id.as_str());
    line("workflow", &run.workflow);
    line("status", &paint(run.status));
    line("event", &format!("{} {}", run.event_name, faint(&run.event_id)));
    if let Some(cause) = &view.caused_by {
        line("sent by", &format!("step {} of run {}", cause.step, cause.run_id));
    }
    if let Some(before) = &view.rerun_of {
        line("again", &format!("run {before} is run again with it"));
    }
    line("data", &value(&detail.event.data));
    line("accepted", &text::when(run.created_at, now));
    if let Some(started) = run.started_at {
        line("started", &text::when(started, now));
    }
    if run.ended_at.is_some() {
        line("took", &lasted(run.started_at, run.ended_at));
    }
    for wait in run.waiting_for.iter().filter(|_| !run.status.is_final()) {
        line("waits for", &text::waiting(wait, now));
    }
    for holder in view.line.iter().flat_map(|line| &line.holders) {
        line("held by", holder.as_str());
    }
    for sent in &view.sent {
        let started = sent.runs.iter().map(|run| format!("{} {}", run.workflow, short_id(&run.run_id)));
        let started: Vec<_> = started.collect();
        line("sent", &format!("{} → {}", sent.event_id, started.join(", ")));
    }
    if let Some(output) = &detail.output {
        line("output", &value(output));
    }
    if let Some(error) = &detail.error {
        line("error", &alarming(text::masked(error.message())));
    }
    if !detail.steps.is_empty() {
        lines.push(format!("\n{}", steps(detail, now)));
    }
    lines.join("\n")
}

fn steps(detail: &RunDetail, now: Timestamp) -> String {
    let run = &detail.summary;
    let scale = Scale::new(run.started_at.unwrap_or(run.created_at), run.ended_at.unwrap_or(now));
    let mut table = table(&["STEP", "STATUS", "ATTEMPTS", "TOOK", "TIMELINE", "RESULT"]);
    for step in &detail.steps {
        let name = if step.nth == 1 { step.name.clone() } else { format!("{}#{}", step.name, step.nth) };
        let (took, attempts) = (lasted(Some(step.started_at), step.ended_at), step.attempts.to_string());
        table.add_row([name, step.status.to_owned(), attempts, took, scale.bar(step, now), result(step)]);
        for failed in &step.failures {
            let took = text::duration(until(failed.started_at, failed.ended_at));
            let error = text::short(&text::masked(&failed.error), SHORT_VALUE);
            let attempt = failed.attempt.to_string();
            table.add_row([String::new(), faint("failed"), attempt, took, String::new(), error]);
        }
    }
    rows(&table)
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
