//! A folder with a queue, and a worker on it in this process.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use durable::{
    Clock, Jobs, Payload, Result, RunId, StepId, after,
    callback::{Answer, Token},
    hours,
    job::Job,
    minutes,
};
use durable_local::{Store, SystemClock};
use fibreflow::work::Work;
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};
use worker::{Config, LocalQueue, Queue, Worker, claim::State};

pub(crate) struct Rig {
    folder: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) queue: Arc<LocalQueue>,
    posted: AtomicU32,
}

/// A worker at work.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<()>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
    }
}

pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("home"), []).unwrap();
        let queue = Arc::new(LocalQueue::open(&folder.path().join("home")).unwrap());
        Self { folder, store, queue, posted: AtomicU32::new(0) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A program, in the words of a shell.
    pub(crate) fn program(&self, name: &str, script: &str) -> String {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    /// A configuration with one command, and what else is said.
    pub(crate) fn command(&self, script: &str, more: &str) -> Config {
        let program = self.program("program", script);
        self.config(&format!("[commands.work]\nprogram = [\"{program}\", \"an argument\"]\n{more}"))
    }

    pub(crate) fn config(&self, tables: &str) -> Config {
        self.named("one", tables)
    }

    pub(crate) fn named(&self, name: &str, tables: &str) -> Config {
        let (state, home) = (self.path(&format!("state-{name}")), self.path("home"));
        let text = format!(
            "name = \"{name}\"\nstate = \"{}\"\ngrace = \"1s\"\nlease = \"2s\"\nqueue = {{ home = \"{}\" }}\n{tables}",
            state.display(),
            home.display()
        );
        Config::parse(&text).unwrap()
    }

    pub(crate) fn start(&self, config: &Config) -> Running {
        let worker = Worker::new(config.clone(), self.queue.clone()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(worker.run(async {
            let _ = stopped.await;
        }));
        Running { stop, ended }
    }

    pub(crate) fn job(&self, work: &Work) -> Job {
        let nth = self.posted.fetch_add(1, Ordering::Relaxed) + 1;
        let step = StepId { name: "work/1.1".into(), nth };
        let now = SystemClock.now();
        Job {
            token: Token { run: RunId::of("w", "1"), step, attempt: 1 },
            workflow: "w".into(),
            at_most_once: false,
            start_by: after(now, minutes(10)),
            end_by: after(now, hours(1)),
            limit_ms: 600_000,
            work: Payload::Json(serde_json::to_string(work).unwrap()),
        }
    }

    /// A job for the command.
    pub(crate) fn asking(&self, input: Value) -> Job {
        self.job(&serde_json::from_value(json!({"command": {"name": "work", "input": input}})).unwrap())
    }

    pub(crate) async fn post(&self, job: &Job) {
        self.store.post(job).await.unwrap();
    }

    /// The answer to a job, once there is one.
    pub(crate) async fn answer(&self, job: &Job) -> Result<Value> {
        let name = name(job);
        let answer =
            eventually("an answer", async || match self.queue.claim(&name).await.unwrap()?.0.state {
                State::Answered(answer) => Some(answer),
                _ => None,
            })
            .await;
        match answer {
            Answer::Done(output) => output.load(&self.store).await,
            Answer::Failed(error) => Err(error),
            Answer::Alive | Answer::Received(_) => panic!("no end"),
        }
    }

    /// Has a worker do one job.
    pub(crate) async fn done(&self, config: &Config, job: &Job) -> Result<Value> {
        self.post(job).await;
        let running = self.start(config);
        let answer = self.answer(job).await;
        running.stop().await;
        answer
    }
}

/// By what a worker knows a job.
pub(crate) fn name(job: &Job) -> String {
    worker::claim::name(&job.token)
}
