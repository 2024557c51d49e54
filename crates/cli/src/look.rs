//! `fibreflow events`, `workflows`, `keys`, `health`, `dead-letters` and `audit`.

use std::time::Duration;

use durable::{
    ActionResult, AuditFilter, Counts, EventFilter, EventView, LineView, PageRequest, Pause, RunId,
    RunSummary, ThrottleView, WorkflowStatistics, WorkflowView,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::{
    args,
    failure::{Failure, Result},
    place::{Place, now},
    runs::short_id,
    terminal::{alarming, complain, faint, paint, rows, say, table},
    text,
};

/// How much of a value is shown in a line.
const SHORT: usize = 60;

pub(crate) fn print_json<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    say(serde_json::to_string_pretty(value)?);
    Ok(())
}

pub(crate) async fn events(place: &Place, order: args::Events) -> Result<()> {
    let (desk, now) = (place.desk().await?, now());
    if let Some(id) = order.id {
        let unknown =
            || Failure::new(format!("there is no event {id}: `fibreflow events` lists those there are"));
        let event = desk.event(&id).await?.ok_or_else(unknown)?;
        if order.json {
            return print_json(&event);
        }
        print_event(&event, now);
        return Ok(());
    }
    let filter = EventFilter {
        name: order.name,
        from: order.since.map(|when| when.from(now)),
        before: order.until.map(|when| when.from(now)),
    };
    let found = desk.events(&filter, &PageRequest::first(order.limit)).await?.items;
    if order.json {
        return print_json(&found);
    }
    if found.is_empty() {
        say("no such events: send one with `fibreflow send`");
        return Ok(());
    }
    let mut table = table(&["EVENT", "ID", "SENT", "STARTED"]);
    for event in &found {
        let started = match (&event.why_none, event.runs.as_slice()) {
            (Some(why), _) => faint(why),
            (None, runs) => runs.iter().map(named).collect::<Vec<_>>().join(", "),
        };
        let name = text::short(&event.event.name, SHORT);
        table.add_row([name, event.event.id.clone(), text::when(event.event.sent_at, now), started]);
    }
    say(rows(&table));
    Ok(())
}

fn named(run: &RunSummary) -> String {
    format!("{} {} {}", run.workflow, short_id(&run.run_id), run.status)
}

fn print_event(event: &EventView, now: Timestamp) {
    line("event", &event.event.name);
    line("id", &event.event.id);
    line("sent", &text::when(event.event.sent_at, now));
    if let Some(cause) = &event.caused_by {
        line("sent by", &format!("step {} of run {}", cause.step, cause.run_id));
    }
    line("data", &text::short(&text::masked(&event.event.data.to_string()), 4 * SHORT));
    for run in &event.runs {
        line("started", &format!("{} run {} {}", run.workflow, run.run_id, paint(run.status)));
    }
    if let Some(why) = &event.why_none {
        line("started", &format!("nothing: {why}"));
    }
}

pub(crate) fn line(name: &str, value: &str) {
    say(format_args!("{}  {value}", faint(format_args!("{name:<9}"))));
}

/// A workflow and how its runs have fared.
#[derive(Serialize)]
struct Standing<'a> {
    #[serde(flatten)]
    workflow: &'a WorkflowView,
    /// None when nobody can say now: see standard error.
    statistics: Option<&'a WorkflowStatistics>,
}

pub(crate) async fn workflows(place: &Place, order: args::Workflows) -> Result<()> {
    let (desk, now) = (place.desk().await?, now());
    let workflows = desk.workflows().await?;
    // On AWS the numbers come from another service than all else: without it, the rest is shown.
    let statistics = desk.statistics(order.since.from(now), now).await.unwrap_or_else(|error| {
        complain(format_args!("no numbers: {}", text::short(error.message(), 4 * SHORT)));
        Vec::new()
    });
    let statistics = statistics.iter().map(Some).chain(std::iter::repeat(None));
    if order.json {
        let all = workflows.iter().zip(statistics);
        return print_json(
            &all.map(|(workflow, statistics)| Standing { workflow, statistics }).collect::<Vec<_>>(),
        );
    }
    let mut table = table(&["WORKFLOW", "STARTED BY", "FLOW", "RUNS", "P50, P95", "NEXT"]);
    for (workflow, statistics) in workflows.iter().zip(statistics) {
        let took = statistics
            .map(|statistics| [statistics.p50_ms, statistics.p95_ms])
            .into_iter()
            .flatten()
            .flatten();
        let took: Vec<_> = took.map(|ms| text::duration(Duration::from_millis(ms))).collect();
        let cells = [
            triggers(workflow),
            flow(workflow),
            statistics.map(|statistics| fared(&statistics.totals)).unwrap_or_default(),
            took.join(", "),
        ];
        let cells = std::iter::once(workflow.workflow.clone()).chain(cells).chain([next(workflow, now)]);
        table.add_row(cells.collect::<Vec<_>>());
    }
    say(rows(&table));
    Ok(())
}

/// `12 completed, 1 failed, 3 retries`
fn fared(counts: &Counts) -> String {
    let Counts { started, completed, failed, cancelled, retried } = *counts;
    let parts =
        [(completed, "completed"), (failed, "failed"), (cancelled, "cancelled"), (retried, "retries")];
    let parts =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let parts: Vec<_> = parts.collect();
    match (parts.as_slice(), started) {
        ([], 0) => "none".to_owned(),
        ([], started) => format!("{started} started"),
        (parts, _) => parts.join(", "),
    }
}

fn triggers(workflow: &WorkflowView) -> String {
    let events = workflow.events.iter().cloned();
    events.chain(workflow.schedule.iter().map(|cron| format!("cron {cron}"))).collect::<Vec<_>>().join(", ")
}

fn flow(workflow: &WorkflowView) -> String {
    let by = |by_key: bool| if by_key { " a key" } else { "" };
    let concurrency = workflow
        .concurrency
        .iter()
        .map(|concurrency| format!("{} at once{}", concurrency.limit, by(concurrency.by_key)));
    let throttle = |throttle: &ThrottleView| {
        let windows = throttle.windows.iter().map(|window| {
            let period = Duration::from_millis(window.period_ms);
            format!("{} in {}", window.limit, text::duration(period))
        });
        format!("{}{}", windows.collect::<Vec<_>>().join(" and "), by(throttle.by_key))
    };
    concurrency.chain(workflow.throttles.iter().map(throttle)).collect::<Vec<_>>().join("; ")
}

fn next(workflow: &WorkflowView, now: Timestamp) -> String {
    match (&workflow.pause, workflow.next_at) {
        (Some(Pause { since, by, .. }), _) => {
            alarming(format_args!("paused {} by {by}", text::when(*since, now)))
        }
        (None, Some(next_at)) => text::when(next_at, now),
        (None, None) => String::new(),
    }
}

pub(crate) async fn keys(place: &Place, order: args::Keys) -> Result<()> {
    let (desk, now) = (place.desk().await?, now());
    let page = PageRequest::default();
    let lines = desk.keys.lines(&order.key, &page).await?.items;
    let ledgers = desk.keys.ledgers(&order.key, &page).await?.items;
    let line = if order.key.is_empty() { None } else { Some(desk.keys.line(&order.key).await?) };
    let line = line.filter(|line| !line.members.is_empty());
    if order.json {
        return print_json(&json!({ "concurrency": lines, "throttles": ledgers, "line": line }));
    }
    if let Some(line) = line {
        let view = LineView::of(&order.key, &line, &RunId::from_text(""));
        print_line(&view, &line.members.iter().map(|member| member.run.clone()).collect::<Vec<_>>());
        return Ok(());
    }
    if lines.is_empty() && ledgers.is_empty() {
        say("no key is in use");
        return Ok(());
    }
    let mut table = table(&["KEY", "HELD", "WAITING", "STARTED", "RESERVED", "NEXT"]);
    for line in lines {
        let held = format!("{} of {}", line.held, line.slots);
        let none = String::new;
        table.add_row([text::masked(&line.key), held, line.waiting.to_string(), none(), none(), none()]);
    }
    for ledger in ledgers {
        let next = ledger.next.map(|next| text::when(next, now)).unwrap_or_default();
        let (started, reserved) = (ledger.started.to_string(), ledger.reserved.to_string());
        table.add_row([text::masked(&ledger.key), String::new(), String::new(), started, reserved, next]);
    }
    say(rows(&table));
    Ok(())
}

fn print_line(view: &LineView, members: &[RunId]) {
    line("key", &text::masked(&view.key));
    line("slots", &format!("{} of {} held", view.holders.len(), view.slots));
    for holder in &view.holders {
        line("held by", holder.as_str());
    }
    let waiting = members.iter().filter(|run| !view.holders.contains(run));
    for (place, run) in waiting.enumerate() {
        line("waiting", &format!("{} {run}", place + 1));
    }
}

pub(crate) async fn health(place: &Place, order: args::Health) -> Result<()> {
    let (desk, now) = (place.desk().await?, now());
    let health = desk.vitals.health(now).await?;
    if order.json {
        return print_json(&health);
    }
    match health.worker {
        Some(true) => line("worker", "alive"),
        Some(false) => line("worker", &alarming("none: `fibreflow dev` starts one")),
        None => {}
    }
    let swept = health.swept_at.map_or_else(|| alarming("never"), |at| text::when(at, now));
    line("swept", &swept);
    let overdue = if health.overdue == 0 { "nothing".to_owned() } else { alarming(health.overdue) };
    line("overdue", &overdue);
    if let Some(oldest) = &health.oldest_queued {
        let since = text::when(oldest.created_at, now);
        line(
            "oldest",
            &format!("{} run {} was accepted {since} and has not started", oldest.workflow, oldest.run_id),
        );
    }
    let mut table = table(&["QUEUE", "READY", "IN FLIGHT", "DELAYED", "DEAD LETTERS"]);
    for queue in &health.queues {
        let numbers =
            [queue.ready, queue.in_flight, queue.delayed, queue.dead].map(|number| number.to_string());
        table.add_row(std::iter::once(queue.workflow.clone()).chain(numbers));
    }
    say(format_args!("\n{}", rows(&table)));
    Ok(())
}

pub(crate) async fn dead_letters(place: &Place, order: args::DeadLetters) -> Result<()> {
    let (desk, now) = (place.desk().await?, now());
    let page = PageRequest::first(order.limit);
    let found = desk.dead_letters.dead_letters(order.workflow.as_deref(), &page).await?.items;
    if order.json {
        return print_json(&found);
    }
    if found.is_empty() {
        say("no dead letters");
        return Ok(());
    }
    let mut table = table(&["ID", "WORKFLOW", "RUN", "GIVEN UP", "REASON"]);
    for letter in &found {
        table.add_row([
            letter.id.clone(),
            letter.workflow.clone(),
            letter.run.as_ref().map(short_id).unwrap_or_default().to_owned(),
            letter.at.map(|at| text::when(at, now)).unwrap_or_default(),
            text::short(&text::masked(&letter.reason), 2 * SHORT),
        ]);
    }
    say(rows(&table));
    Ok(())
}

pub(crate) async fn audit(place: &Place, order: args::Audit) -> Result<()> {
    let (desk, now) = (place.desk().await?, now());
    let from = order.since.map(|when| when.from(now));
    let filter = AuditFilter { target: order.target, from, ..AuditFilter::default() };
    let found = desk.history.audit(&filter, &PageRequest::first(order.limit)).await?.items;
    if order.json {
        return print_json(&found);
    }
    if found.is_empty() {
        say("nobody has done anything");
        return Ok(());
    }
    let mut table = table(&["WHEN", "WHO", "WHAT", "TARGET", "RESULT"]);
    for entry in &found {
        let result = match &entry.result {
            ActionResult::Asked => alarming("not known"),
            ActionResult::Done => "done".to_owned(),
            ActionResult::Failed(reason) => alarming(text::short(&text::masked(reason), SHORT)),
        };
        let what = entry.action.as_str().to_owned();
        table.add_row([text::when(entry.at, now), entry.who.clone(), what, entry.target.clone(), result]);
    }
    say(rows(&table));
    Ok(())
}
