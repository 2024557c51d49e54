//! A run: its timeline, what it waits for, what each step did.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::HeaderMap,
    response::{Html, Response},
};
use durable::{FailedAttempt, StepKind};
use jiff::Timestamp;

use super::{
    Done, Page,
    form::{Form, go, path},
    shell::{Shell, Shown},
};
use crate::{
    access::Identity,
    console::{Console, Shared},
    live::{self, Told},
    markup::{Markup, render},
    problem::Result,
    query::Query,
    service::RerunOrder,
    timeline::{Axis, Life, Part, Span, spans},
    views::{RunDetail, RunItem, RunStatus, StepItem},
};

/// How many steps a page shows.
const STEPS: usize = 200;

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    shell: Shell,
    region: RunRegion,
    live: String,
}

/// The part of the page that is kept up to date.
#[derive(Template)]
#[template(path = "run_region.html")]
struct RunRegion {
    shell: Shell,
    run: RunDetail,
    scale: Markup,
    /// The run's own line: queued, then at work.
    whole: Markup,
    rows: Vec<Row>,
    /// What an invocation is doing just now: no step is recorded before it ends or fails.
    at_work: Option<Markup>,
    chosen: Option<StepItem>,
    first_step: usize,
    last_step: usize,
}

/// A step's line of the timeline.
struct Row {
    step: String,
    status: &'static str,
    kind: &'static str,
    attempts: u32,
    took: String,
    bars: Markup,
    current: bool,
}

impl RunRegion {
    fn of(console: &Console, who: Identity, run: RunDetail, query: &Query) -> Self {
        let now = console.now();
        let end = run.run.ended_at.unwrap_or(now);
        let axis = Axis::new(run.run.created_at, end);
        let wanted = query.text("step");
        let index = wanted.and_then(|wanted| run.steps.iter().position(|step| step.step == wanted));
        let first_step = match query.text("from").and_then(|from| from.parse::<usize>().ok()) {
            Some(from) => from.min(run.steps.len()),
            None => index.unwrap_or_default() / STEPS * STEPS,
        };
        let last_step = run.steps.len().min(first_step + STEPS);
        let mut shell = Shell::new(console, Some(who), "runs", title(&run.run));
        if let Some(request) = query.text("request") {
            request.clone_into(&mut shell.request);
        }
        let rows = run.steps[first_step..last_step].iter().map(|step| Row {
            step: step.step.clone(),
            status: step.status,
            kind: kind(step.kind),
            attempts: step.attempts,
            took: step.took_ms.map_or_else(|| shell.since(step.started_at), |took| shell.took(took)),
            bars: axis.bars(&life(step, now)),
            current: wanted == Some(step.step.as_str()),
        });
        let under_way = (run.run.status == RunStatus::Running).then(|| under_way(&run, now));
        Self {
            rows: rows.collect(),
            at_work: under_way.map(|span| axis.bars(&[span])),
            scale: axis.scale(),
            whole: axis.bars(&whole(&run.run, end)),
            chosen: index.map(|index| run.steps[index].clone()),
            first_step,
            last_step,
            shell,
            run,
        }
    }

    fn is_final(&self) -> bool {
        self.run.run.status.is_final()
    }

    fn is_running(&self) -> bool {
        self.run.run.status == RunStatus::Running
    }

    /// Where the page is, with another step, or none, looked at.
    fn at(&self, step: &str) -> String {
        let run = path("runs", &self.run.run.run_id);
        if step.is_empty() { run } else { format!("{run}?step={}", self.shell.part(step)) }
    }

    /// The page of steps that begins there.
    fn steps_from(&self, from: impl Shown<usize>) -> String {
        format!("{}?from={}", path("runs", &self.run.run.run_id), from.value())
    }

    /// Where the steps before those shown begin.
    fn before(&self) -> usize {
        self.first_step.saturating_sub(STEPS)
    }
}

/// Whether a step's output can be replaced when the run is run again.
fn is_editable(step: &StepItem) -> bool {
    matches!(step.kind, StepKind::Run | StepKind::Callback) && step.output_bytes.is_none()
}

fn title(run: &RunItem) -> String {
    format!("{} {}", run.workflow, run.short_id())
}

fn kind(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Run => "step",
        StepKind::Sleep => "sleep",
        StepKind::SendEvent => "sends an event",
        StepKind::Callback => "waits for an answer",
        StepKind::WaitForEvent => "waits for an event",
    }
}

fn life(step: &StepItem, now: Timestamp) -> Vec<Span> {
    let failures: Vec<_> = step
        .failures
        .iter()
        .map(|failure| FailedAttempt {
            attempt: failure.attempt,
            started_at: failure.started_at,
            ended_at: failure.ended_at,
            error: failure.error.clone(),
        })
        .collect();
    let life = Life {
        kind: step.kind,
        status: step.status,
        attempts: step.attempts,
        started_at: step.started_at,
        attempt_at: step.attempt_at,
        ended_at: step.ended_at,
        failures: &failures,
    };
    spans(&life, now)
}

/// The run as a whole: in the queue, then from its first step to its end.
fn whole(run: &RunItem, end: Timestamp) -> Vec<Span> {
    let span = |part, from, to, title: &str| Span { part, from, to, title: title.to_owned() };
    let Some(started) = run.started_at else {
        return vec![span(Part::Queued, run.created_at, end, "waited for its turn")];
    };
    let part = match run.status {
        RunStatus::Failed => Part::Failed,
        RunStatus::Completed => Part::Ok,
        RunStatus::Cancelled => Part::Queued,
        RunStatus::Waiting => Part::Sleep,
        _ => Part::Active,
    };
    let queued = span(Part::Queued, run.created_at, started, "waited for its turn");
    let run = span(part, started, end, "the run");
    if started > queued.from { vec![queued, run] } else { vec![run] }
}

/// From the last thing that is on record until now.
fn under_way(run: &RunDetail, now: Timestamp) -> Span {
    let ends = run.steps.iter().filter_map(|step| step.ended_at).filter(|ended| *ended <= now);
    let from = ends.max().or(run.run.started_at).unwrap_or(run.run.created_at);
    Span { part: Part::Active, from, to: now, title: "at work".to_owned() }
}

pub(super) async fn page(
    State(console): State<Shared>,
    who: Identity,
    Path(id): Path<String>,
    query: Query,
) -> Page {
    let run = console.run(&id).await?;
    let shell = Shell::new(&console, Some(who.clone()), "runs", title(&run.run));
    let shell = shell.noticing(query.text("notice"));
    // One for as long as the page is open: what has not changed is not drawn anew.
    let query = Query::of(&query.with(&[("notice", ""), ("request", &shell.request)]));
    let live = if run.run.status.is_final() {
        String::new()
    } else {
        format!("{}?{}", path("live/runs", &id), query.with(&[]))
    };
    let region = RunRegion::of(&console, who, run, &query);
    Ok(Html(render(&RunPage { shell, region, live })))
}

pub(super) async fn live(
    State(console): State<Shared>,
    who: Identity,
    Path(id): Path<String>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response> {
    console.run(&id).await?;
    let (live, query) = (console.liveness().clone(), Arc::new(query));
    Ok(live::stream(&live, &headers, "region", move || {
        let (console, who, id, query) = (console.clone(), who.clone(), id.clone(), query.clone());
        async move {
            let Ok(run) = console.run(&id).await else { return Told::Nothing };
            let is_last = run.run.status.is_final();
            let html = render(&RunRegion::of(&console, who, run, &query));
            if is_last { Told::Last(html) } else { Told::State(html) }
        }
    }))
}

pub(super) async fn cancel(State(console): State<Shared>, Path(id): Path<String>, form: Form) -> Done {
    console.cancel(&form.who.name, &id).await?;
    Ok(go(&path("runs", &id), "cancelled"))
}

pub(super) async fn rerun(State(console): State<Shared>, Path(id): Path<String>, form: Form) -> Done {
    let text = |name| form.fields.text(name).map(str::to_owned);
    let output = match form.fields.text("edit") {
        Some(_) => Some(form.json("output", "")?),
        None => None,
    };
    let order = RerunOrder { from: text("from"), output, request: text("request") };
    let run = console.rerun(&form.who.name, &id, order).await?;
    Ok(go(&path("runs", &run), "rerun"))
}
