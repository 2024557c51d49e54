//! How quick a console's pages are over a long history: 100,000 runs in SQLite, or as many as the first argument says.
//!
//! Each page is asked of the console's own routes, as a browser asks, and drawn whole. Prints the median and the 95th
//! percentile. Fails when a 95th percentile is over 50 ms.
//!
//! `cargo run -p benches --bin history`
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use console::{Access, Console};
use durable::{
    Checkpoint, Concurrency, Context, Cursor, Definition, Desk, Envelope, Error, Lease, Outcome, Payload,
    Result, Run, RunId, StepId, StepKind, StepState, Workflow, after, hours, seconds,
};
use durable_local::Store;
use futures::future::try_join_all;
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::json;
use tower::ServiceExt;

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

/// Every page, asked of the console's own routes and drawn whole.
async fn measure(desk: Desk, runs: usize, now: Timestamp) -> Result<bool> {
    let middle = run(&desk.definitions, runs / 2, runs, now);
    let (id, at) = (middle.id.as_str(), Cursor::of(middle.created_at, middle.id.as_str()));
    let router = Console::new(desk.clone(), Access::loopback(&*desk.ports.random)?).router();
    let (from, to) = (ago(now, hours(48)), ago(now, hours(24)));
    let long = "f".repeat(32);
    let pages = [
        ("runs", "runs".to_owned()),
        ("runs, from the middle on", format!("runs?cursor={}", at.as_str())),
        ("runs that failed", "runs?status=failed".to_owned()),
        ("runs of a workflow", "runs?workflow=workflow-1".to_owned()),
        (
            "runs of a workflow that were cancelled: none",
            "runs?workflow=workflow-1&status=cancelled".to_owned(),
        ),
        ("runs of a day", format!("runs?from={from}&before={to}")),
        ("runs with a key", "runs?key=workflow-1:key-17".to_owned()),
        ("runs by an event's name that failed", "runs?event=event/0&status=failed".to_owned()),
        ("runs of an event", "runs?event_id=event-17".to_owned()),
        ("runs found by a start of an id", format!("runs?q={}", &id[..6])),
        ("runs found by a digit", format!("runs?q={}", &id[..1])),
        ("runs found by a bare key", "runs?q=key-17".to_owned()),
        ("runs found by nothing", "runs?q=nothing".to_owned()),
        ("a run of a thousand steps", format!("runs/{long}")),
        ("a run of a thousand steps, its last", format!("runs/{long}?step=step%23999")),
        ("a run", format!("runs/{id}")),
        ("events", "events".to_owned()),
        ("events of a name", "events?name=event/3".to_owned()),
        ("an event", "events/event-500".to_owned()),
        ("workflows", "workflows".to_owned()),
        ("a workflow", "workflows/workflow-1".to_owned()),
        ("keys", "keys".to_owned()),
        ("dead letters", "dead-letters".to_owned()),
        ("audit", "audit".to_owned()),
        ("health", "health".to_owned()),
    ];
    let mut quick = true;
    for (name, path) in pages {
        quick &= time(name, async || look(&router, &path).await).await?;
    }
    Ok(quick)
}

fn ago(now: Timestamp, time: Duration) -> Timestamp {
    now.checked_sub(time).unwrap_or(now)
}

/// Asks for a page and takes all of it.
async fn look(router: &Router, path: &str) -> Result<()> {
    let request = Request::get(format!("/console/{path}")).header(header::HOST, "127.0.0.1:8288");
    let request = request.body(Body::empty()).map_err(|error| Error::new(error.to_string()))?;
    let answer = router.clone().oneshot(request).await?;
    let status = answer.status();
    let page = answer.into_body().collect().await.map_err(|error| Error::new(error.to_string()))?;
    if status != StatusCode::OK || !page.to_bytes().ends_with(b"</html>") {
        return Err(Error::new(format!("{path}: {status}, expected a page")));
    }
    Ok(())
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
    measure(desk, runs, now).await
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
