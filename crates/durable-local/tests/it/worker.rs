use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use durable::{
    Concurrency, Context, Envelope, Error, Journal, Result, Run, RunId, Runnable, Settings, Status, Workflow,
    minutes,
};
use durable_local::{Store, Worker};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// A worker on a file of its own; its sleeps are 600 times shorter.
struct Rig {
    store: Store,
    stop: Arc<Notify>,
    worker: tokio::task::JoinHandle<Result<()>>,
    _home: tempfile::TempDir,
}

impl Rig {
    #[allow(clippy::disallowed_methods, reason = "joined in `end`")]
    fn start(runnable: Runnable) -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path(), [runnable.definition()]).unwrap();
        let settings = Settings { time_scale: 600, ..Settings::default() };
        let worker = Worker::new(store.clone(), store.ports(None), settings, vec![runnable]).unwrap();
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        let worker = tokio::spawn(worker.run(async move { stopped.notified().await }));
        Self { store, stop, worker, _home: home }
    }

    async fn send(&self, id: &str, data: Value) -> RunId {
        let event = Envelope { id: id.into(), name: "go".into(), data, sent_at: Timestamp::UNIX_EPOCH };
        self.store.accept(event).await.unwrap().runs.remove(0)
    }

    #[allow(clippy::disallowed_methods, reason = "a real worker takes real time")]
    async fn ended(&self, run: &RunId) -> Run {
        for _ in 0..2_000 {
            let run = self.store.run(run).await.unwrap().unwrap();
            if run.status.is_final() {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{run} does not end: {:?}", self.store.run(run).await);
    }

    async fn end(self) {
        self.stop.notify_one();
        self.worker.await.unwrap().unwrap();
        assert!(!self.store.has_worker().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_sleep_and_take_turns() {
    async fn counts(ctx: Context<Value>, counter: Arc<AtomicU32>) -> Result<u32> {
        let before = ctx.step("count").run(async || Ok(counter.fetch_add(1, Ordering::Relaxed))).await?;
        ctx.sleep("nap", minutes(15)).await;
        let after = ctx.step("count").run(async || Ok(counter.fetch_add(1, Ordering::Relaxed))).await?;
        Ok(after - before)
    }
    let workflow = Workflow::new("counts", counts).on_event("go").concurrency(Concurrency::limit(1));
    let rig = Rig::start(workflow.with(Arc::default()));
    let mut runs = Vec::new();
    for n in 0..3 {
        runs.push(rig.send(&n.to_string(), json!({})).await);
    }
    for run in &runs {
        let run = rig.ended(run).await;
        assert_eq!(run.output, Some(durable::Payload::Json("1".into())), "nobody counts in between");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_workflow_fails_with_its_error() {
    async fn fails(_: Context<Value>, (): ()) -> Result<()> {
        Err(Error::fatal("no"))
    }
    let rig = Rig::start(Workflow::new("fails", fails).on_event("go").with(()));
    let run = rig.send("1", json!({})).await;
    let run = rig.ended(&run).await;
    assert!(rig.store.has_worker().unwrap());
    assert_eq!((run.status, run.error.unwrap().message()), (Status::Failed, "no"));
    rig.end().await;
}
