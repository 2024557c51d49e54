//! How quick a console's pages are over a long history: 100,000 runs in SQLite, or as many as the first argument says.
//!
//! Prints the median and the 95th percentile of what each page asks. Fails when a 95th percentile is over 50 ms.
//!
//! `cargo run -p benches --bin history`
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use durable::{
    AuditFilter, Checkpoint, Concurrency, Context, Cursor, Definition, Desk, Envelope, Error, EventFilter,
    Lease, Outcome, PageRequest, Payload, Result, Run, RunFilter, RunId, Status, StepId, StepKind, StepState,
    Workflow, after, hours, seconds,
};
use durable_local::Store;
use futures::future::try_join_all;
use jiff::Timestamp;
use serde_json::json;

const RUNS: usize = 100_000;
const STEPS: u32 = 1_000;
const SAMPLES: usize = 100;
const LIMIT: Duration = Duration::from_millis(50);

/// The runs are spread over so long: what a week of one each six seconds makes.
const SPAN: Duration = hours(7 * 24);

async fn nothing(_: Context<serde_json::Value>, (): ()) -> Result<()> {
    Ok(())
}

fn definitions() -> Vec<Definition> {
    let workflow = |n: usize| {
        let key = |data: &serde_json::Value| data["key"].as_str().unwrap_or_default().to_owned();
        Workflow::<()>::new(format!("workflow-{n}"), nothing)
            .on_event(format!("event/{n}"))
            .concurrency(Concurrency::limit(5).key(key))
            .definition()
            .clone()
    };
    (0..4).map(workflow).collect()
}

/// A run of the past: nine of ten completed, a few failed, and the last hundred wait.
fn run(definitions: &[Definition], n: usize, runs: usize, now: Timestamp) -> Run {
    let age = SPAN.mul_f64(as_f64(runs - n) / as_f64(runs));
    let at = now.checked_sub(age).unwrap_or(now);
    let data = json!({ "key": format!("key-{}", n % 1_000), "text": "x".repeat(200) });
    let event = Envelope { id: format!("event-{n}"), name: format!("event/{}", n % 4), data, sent_at: at };
    definitions[n % 4].queued(event, at)
}

async fn fill(desk: &Desk, runs: usize, now: Timestamp) -> Result<()> {
    let numbers: Vec<_> = (0..runs).collect();
    for some in numbers.chunks(500) {
        try_join_all(some.iter().map(|n| finished(desk, *n, runs, now))).await?;
    }
    let long = run(&desk.definitions, 0, runs, now);
    let records: Vec<_> = (0..STEPS).map(|nth| record("step", nth, long.created_at)).collect();
    desk.history.create(&Run { id: RunId::from_text("f".repeat(32)), ..long }, &records).await?;
    for n in 0..200 {
        let deed = durable::AuditEntry {
            id: n.to_string(),
            at: now,
            who: "bench".into(),
            action: durable::Action::Cancel,
            target: format!("target-{}", n % 7),
            detail: json!(null),
            result: durable::ActionResult::Done,
        };
        desk.history.note(&deed).await?;
    }
    Ok(())
}

async fn finished(desk: &Desk, n: usize, runs: usize, now: Timestamp) -> Result<()> {
    let run = run(&desk.definitions, n, runs, now);
    let (at, journal) = (run.created_at, &desk.ports.journal);
    desk.history.record(std::slice::from_ref(&run.event)).await?;
    journal.begin(run.clone(), at, after(at, seconds(60))).await?;
    let lease = Lease { run: run.id.clone(), epoch: 1 };
    journal.checkpoint(&lease, &record("step", 1, at)).await?;
    if n + 100 >= runs {
        desk.ports.gate.acquire(run.key.as_deref().unwrap_or_default(), 5, &run.id).await?;
        return Ok(());
    }
    let ended_at = after(at, seconds(u64::try_from(n % 300)?));
    let outcome = if n.is_multiple_of(20) {
        Outcome::Failed(Error::fatal("no answer"))
    } else {
        Outcome::Completed(Payload::Json("{\"ok\":true}".into()))
    };
    journal.finish(&lease, &outcome, Some(at), ended_at).await.map(drop)
}

fn record(name: &str, nth: u32, at: Timestamp) -> Checkpoint {
    Checkpoint {
        step: StepId { name: name.into(), nth },
        kind: StepKind::Run,
        state: StepState::Completed { output: Payload::Json("{\"ok\":true}".into()) },
        attempts: 1,
        started_at: at,
        at,
        attempt_at: None,
        failures: Vec::new(),
    }
}

/// Times a page; whether it is quick enough.
async fn time<T>(name: &str, mut page: impl AsyncFnMut() -> Result<T>) -> Result<bool> {
    let mut took = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let began = Instant::now();
        page().await?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let (median, p95) = (took[SAMPLES / 2], took[SAMPLES * 95 / 100]);
    println!("| {name} | {:.1} | {:.1} |", median.as_secs_f64() * 1e3, p95.as_secs_f64() * 1e3);
    Ok(p95 < LIMIT)
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

async fn measure(desk: &Desk, runs: usize, now: Timestamp) -> Result<bool> {
    let page = PageRequest::first(50);
    let middle = run(&desk.definitions, runs / 2, runs, now);
    let deep = PageRequest { after: Some(Cursor::of(middle.created_at, middle.id.as_str())), ..page.clone() };
    let all = RunFilter::default;
    let one = || RunFilter { workflows: vec!["workflow-1".into()], ..all() };
    let lists = [
        ("runs", all(), &page),
        ("runs, from the middle on", all(), &deep),
        ("runs that failed", RunFilter { statuses: vec![Status::Failed], ..all() }, &page),
        ("runs of a workflow", one(), &page),
        (
            "runs of a workflow that were cancelled: none",
            RunFilter { statuses: vec![Status::Cancelled], ..one() },
            &page,
        ),
        (
            "runs of a day",
            RunFilter {
                from: now.checked_sub(hours(48)).ok(),
                before: now.checked_sub(hours(24)).ok(),
                ..all()
            },
            &page,
        ),
        ("runs with a key", RunFilter { key: Some("workflow-1:key-17".into()), ..all() }, &page),
        (
            "runs by an event's name that failed",
            RunFilter { event_name: Some("event/0".into()), statuses: vec![Status::Failed], ..all() },
            &page,
        ),
        ("runs of an event", RunFilter { event_id: Some("event-17".into()), ..all() }, &page),
        (
            "runs found by a start of an id",
            RunFilter { text: Some(middle.id.as_str()[..6].into()), ..all() },
            &page,
        ),
        ("runs found by a digit", RunFilter { text: Some(middle.id.as_str()[..1].into()), ..all() }, &page),
        ("runs found by a bare key", RunFilter { text: Some("key-17".into()), ..all() }, &page),
        ("runs found by nothing", RunFilter { text: Some("nothing".into()), ..all() }, &page),
    ];
    let mut quick = true;
    for (name, filter, page) in lists {
        quick &= time(name, async || desk.runs(&filter, page).await).await?;
    }
    let long = RunId::from_text("f".repeat(32));
    quick &= time("a run of a thousand steps", async || desk.run(&long).await).await?;
    quick &= time("a run", async || desk.run(&middle.id).await).await?;
    let event = |name: Option<&str>| EventFilter { name: name.map(Into::into), ..EventFilter::default() };
    quick &= time("events", async || desk.events(&event(None), &page).await).await?;
    quick &= time("events of a name", async || desk.events(&event(Some("event/3")), &page).await).await?;
    quick &= time("an event", async || desk.event("event-500").await).await?;
    for (name, span) in [("workflows, 24 hours", hours(24)), ("workflows, 7 days", SPAN)] {
        let from = now.checked_sub(span).unwrap_or(now);
        quick &= time(name, async || {
            desk.workflows().await?;
            desk.statistics(from, now).await
        })
        .await?;
    }
    quick &= time("keys", async || {
        desk.keys.ledgers("", &page).await?;
        desk.keys.lines("", &page).await
    })
    .await?;
    quick &= time("dead letters", async || desk.dead_letters.dead_letters(None, &page).await).await?;
    quick &= time("audit", async || desk.history.audit(&AuditFilter::default(), &page).await).await?;
    quick &= time("health", async || desk.vitals.health(now).await).await?;
    Ok(quick)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn report() -> Result<bool> {
    let runs = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(RUNS).max(1_000);
    let (home, now) = (tempfile::tempdir()?, Timestamp::now());
    let definitions = definitions();
    let store = Store::open(home.path(), &definitions)?;
    let desk = store.desk(store.ports(None), Arc::from(definitions));
    let began = Instant::now();
    fill(&desk, runs, now).await?;
    println!(
        "{runs} runs written in {:.0} s\n\n| page | median, ms | p95, ms |\n| --- | --- | --- |",
        began.elapsed().as_secs_f64()
    );
    measure(&desk, runs, now).await
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match report().await {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => {
            println!("\na page is slower than {LIMIT:?}");
            std::process::ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}
