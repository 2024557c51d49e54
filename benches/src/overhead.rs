//! The engine's overhead on one machine: runs of ten steps that do nothing, each step on disk before the next begins.
//!
//! The floor is what SQLite takes for one durable commit a step; the ratios to it are what to compare between machines.
//!
//! `cargo run --release -p benches --bin overhead`
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use durable::{Context, Envelope, Error, Observer, Result, Run, Settings, Workflow};
use durable_local::{Store, Worker};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

const STEPS: u32 = 10;

async fn ten_steps(ctx: Context<Value>, (): ()) -> Result<u32> {
    let mut sum = 0;
    for n in 0..STEPS {
        sum += ctx.step("add").run(async || Ok(n)).await?;
    }
    Ok(sum)
}

/// Tells when a run has ended.
#[derive(Debug)]
struct Ended(mpsc::UnboundedSender<()>);

impl Observer for Ended {
    fn observe(&self, _: &Run, happened: &durable::Happening<'_>) {
        if matches!(happened, durable::Happening::Finished(_)) {
            let _ = self.0.send(());
        }
    }
}

struct Figures {
    steps_a_second: f64,
    median: Duration,
    commits_a_run: f64,
}

/// Keeps `at_once` runs going until `runs` have ended.
async fn measure(at_once: usize, runs: usize) -> Result<Figures> {
    let home = tempfile::tempdir()?;
    let workflow = Workflow::new("ten-steps", ten_steps).on_event("go").with(());
    let store = Store::open(home.path(), [workflow.definition()])?;
    let (ended, mut endings) = mpsc::unbounded_channel();
    let ports = store.ports(Some(Arc::new(Ended(ended))));
    let worker = Worker::new(store.clone(), ports, Settings::default(), vec![workflow])?;
    let (stop, stopped) = oneshot::channel::<()>();
    let work = async {
        let stopped = async move {
            let _ = stopped.await;
        };
        worker.run(stopped).await
    };
    let load = async {
        let send = |n: usize| {
            let sent_at = durable::Clock::now(&durable_local::SystemClock);
            let event = Envelope { id: n.to_string(), name: "go".into(), data: json!({}), sent_at };
            let store = store.clone();
            async move { store.accept(event).await.map(drop) }
        };
        let before = store.commits();
        let began = Instant::now();
        let mut count = 0;
        for _ in 0..at_once {
            send(count).await?;
            count += 1;
        }
        for _ in 0..runs {
            endings.recv().await.ok_or_else(|| Error::new("the worker ended"))?;
            if count < runs {
                send(count).await?;
                count += 1;
            }
        }
        let elapsed = began.elapsed();
        let commits = store.commits() - before;
        let newest = durable::PageRequest::first(durable::LARGEST_PAGE);
        let ended = durable::History::runs(&store, &durable::RunFilter::default(), &newest).await?;
        let mut took: Vec<Duration> = ended
            .items
            .iter()
            .filter_map(|run| Some(durable::until(run.created_at, run.ended_at?)))
            .collect();
        took.sort_unstable();
        drop(stop);
        Ok(Figures {
            steps_a_second: f64::from(STEPS) * as_f64(runs) / elapsed.as_secs_f64(),
            median: took.get(took.len() / 2).copied().unwrap_or_default(),
            commits_a_run: as_f64(usize::try_from(commits)?) / as_f64(runs),
        })
    };
    let (figures, ended): (Result<Figures>, Result<()>) = tokio::join!(load, work);
    ended?;
    figures
}

/// Durable commits of one small row each, a second.
fn floor(home: &Path, commits: u32) -> Result<f64> {
    let db = rusqlite::Connection::open(home.join("floor.db"))?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.execute_batch("create table rows (id integer primary key, text text)")?;
    let began = Instant::now();
    for _ in 0..commits {
        db.prepare_cached("insert into rows (text) values (?)")?.execute(["x".repeat(150)])?;
    }
    Ok(f64::from(commits) / began.elapsed().as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match report().await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn report() -> Result<()> {
    println!(
        "| runs at once | steps a second | SQLite alone, commits a second | ratio | median of a run | commits a run |"
    );
    println!("| --: | --: | --: | --: | --: | --: |");
    for (at_once, runs) in [(1, 200), (16, 1_600)] {
        // Beside each measurement, since a disk's pace changes from minute to minute.
        let home = tempfile::tempdir()?;
        let before = floor(home.path(), 1_000)?;
        let Figures { steps_a_second, median, commits_a_run } = measure(at_once, runs).await?;
        let home = tempfile::tempdir()?;
        let floor = f64::midpoint(before, floor(home.path(), 1_000)?);
        println!(
            "| {at_once} | {steps_a_second:.0} | {floor:.0} | {:.2} | {median:.1?} | {commits_a_run:.1} |",
            steps_a_second / floor
        );
    }
    Ok(())
}
