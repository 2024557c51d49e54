//! A workflow on the stand-in for AWS, and workers that reach nothing but their queue, its replies and the bucket.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use durable::{
    Clock, Context, Error, Result, Retry, RunId, Status, Workflow, after,
    callback::Answer,
    job::{self, Job},
    minutes, seconds,
};
use durable_aws::{Aws, Clients, Function, Settings, SystemClock};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};
use worker::{
    Config, Queue, SqsQueue, Worker,
    claim::{Claim, State},
    config::AwsQueue,
};

use crate::stand_in::{Kind, StandIn};

/// A step that leaves its work to a worker: what the event says, as often as it says.
async fn flow(ctx: Context<Value>, (): ()) -> Result<Value> {
    let event = ctx.event();
    let step = ctx.step("work").retry(Retry::fixed(2, Duration::from_millis(100)));
    let step = if event["once"].is_boolean() { step.at_most_once() } else { step };
    step.run(async || {
        let times = usize::try_from(event["times"].as_u64().unwrap_or(1)).unwrap();
        let input = json!({"say": event["say"].as_str().unwrap_or_default().repeat(times)});
        let work = json!({"command": {"name": "work", "input": input}});
        job::hand_over(job::Order { work, limit: minutes(1), patience: minutes(1) }).await
    })
    .await
}

struct Rig {
    _stand_in: StandIn,
    folder: tempfile::TempDir,
    clients: Clients,
    settings: Settings,
    queue: AwsQueue,
    function: Function,
    aws: Arc<Aws>,
}

struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<()>>,
}

impl Running {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
    }
}

impl Rig {
    async fn new() -> Self {
        let stand_in = StandIn::start(Kind::MiniStack).await;
        let mut settings = stand_in.set_up("worker", &["flow"]).await;
        let clients = stand_in.clients().await;
        let jobs =
            clients.sqs().create_queue().queue_name("worker-jobs").send().await.unwrap().queue_url.unwrap();
        settings.jobs = Some(jobs.clone());
        let replies = BTreeMap::from([("flow".to_owned(), settings.queues["flow"].url.clone())]);
        let queue = AwsQueue { jobs, replies, bucket: "worker".into() };
        let aws = stand_in.aws(&settings).await;
        let function = Function::on_aws(Workflow::new("flow", flow).on_event("go").with(()), aws.clone());
        let folder = tempfile::tempdir().unwrap();
        Self { _stand_in: stand_in, folder, clients, settings, queue, function, aws }
    }

    fn sqs(&self) -> SqsQueue {
        SqsQueue::new(self.queue.clone(), self.clients.clone())
    }

    /// A worker of this name whose command is in the words of a shell.
    fn start(&self, name: &str, script: &str) -> Running {
        let program = self.folder.path().join(format!("{name}.sh"));
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let (program, state) = (program.display(), self.folder.path().join(name));
        let config = format!(
            "name = \"{name}\"\nstate = \"{}\"\nlease = \"3s\"\ngrace = \"1s\"\nqueue = {{ home = \"unused\" }}\n\
             [commands.work]\nprogram = [\"{program}\"]\n",
            state.display()
        );
        let worker = Worker::new(Config::parse(&config).unwrap(), Arc::new(self.sqs())).unwrap();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(worker.run(async {
            let _ = stopped.await;
        }));
        Running { stop, ended }
    }

    async fn send(&self, id: &str, data: Value) {
        let event = json!({"name": "go", "id": id, "data": data});
        self.function.invoke(event, id, after(SystemClock.now(), minutes(1))).await.unwrap();
    }

    /// Lambda's part: batches from the workflow's queue, until the runs have ended.
    async fn pump(&self, runs: &[&str]) {
        for _ in 0..60 {
            if self.ended(runs).await {
                return;
            }
            self.take_messages().await;
        }
        panic!("{runs:?} do not end");
    }

    /// A batch of what is there.
    async fn take_messages(&self) {
        let url = &self.settings.queues["flow"].url;
        let request = self.clients.sqs().receive_message().queue_url(url).max_number_of_messages(10);
        for message in request.wait_time_seconds(1).send().await.unwrap().messages.unwrap_or_default() {
            let record = json!({"messageId": "m", "receiptHandle": message.receipt_handle, "body": message.body,
                                "attributes": {"ApproximateReceiveCount": "1"}});
            let end = after(SystemClock.now(), minutes(1));
            let answer = self.function.invoke(json!({"Records": [record]}), "batch", end).await.unwrap();
            assert_eq!(answer["batchItemFailures"], json!([]), "{}", record["body"]);
            let delete = self.clients.sqs().delete_message().queue_url(url);
            delete.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
        }
    }

    async fn ended(&self, runs: &[&str]) -> bool {
        for id in runs {
            let run = self.aws.ports(None).journal.run(&RunId::of("flow", id)).await.unwrap().unwrap();
            if !run.status.is_final() {
                return false;
            }
        }
        true
    }

    async fn output(&self, id: &str) -> Result<Value> {
        let ports = self.aws.ports(None);
        let run = ports.journal.run(&RunId::of("flow", id)).await.unwrap().unwrap();
        match run.error {
            None => {
                assert_eq!(run.status, Status::Completed);
                run.output.unwrap().load(&*ports.blobs).await
            }
            Some(error) => Err(error),
        }
    }

    /// What a console does, and what the function makes of the message that it sends.
    async fn cancel(&self, id: &str) {
        let (ports, run) = (self.aws.ports(None), RunId::of("flow", id));
        let cancelled = ports.journal.cancel(&run, SystemClock.now()).await.unwrap().unwrap();
        assert_eq!(cancelled.status, Status::Cancelled);
        ports.wakeups.wake("flow", &run, SystemClock.now()).await.unwrap();
        self.take_messages().await;
    }

    /// How many jobs there are, those included that a worker has.
    async fn visible_and_hidden(&self) -> u32 {
        use aws_sdk_sqs::types::QueueAttributeName::{
            ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible,
        };
        let names = [ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible];
        let request = self.clients.sqs().get_queue_attributes().queue_url(&self.queue.jobs);
        let counted = request.set_attribute_names(Some(names.to_vec())).send().await.unwrap();
        let counted = counted.attributes.unwrap_or_default();
        counted.values().map(|count| count.parse::<u32>().unwrap()).sum()
    }

    /// The jobs that are on the queue, without taking them.
    async fn jobs(&self) -> Vec<Job> {
        let request = self.clients.sqs().receive_message().queue_url(&self.queue.jobs);
        let request = request.max_number_of_messages(10).visibility_timeout(0).wait_time_seconds(1);
        let messages = request.send().await.unwrap().messages.unwrap_or_default();
        messages.iter().map(|message| serde_json::from_str(message.body.as_ref().unwrap()).unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_out_and_its_result_comes_back_however_large_and_however_often_delivered() {
    let rig = Rig::new().await;
    rig.send("small", json!({"say": "hello"})).await;
    rig.send("large", json!({"say": "0123456789", "times": 60_000})).await;
    let jobs = rig.jobs().await;
    assert_eq!(jobs.len(), 2);
    // As a queue may do.
    for job in &jobs {
        let again = rig.clients.sqs().send_message().queue_url(&rig.queue.jobs);
        again.message_body(serde_json::to_string(job).unwrap()).send().await.unwrap();
    }
    let did = rig.folder.path().join("did").display().to_string();
    let script = format!("echo \"$FIBREFLOW_TOKEN\" >> {did}; cat");
    let workers = ["one", "two"].map(|name| rig.start(name, &script));
    rig.pump(&["small", "large"]).await;
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!(rig.output("small").await.unwrap(), json!({"say": "hello"}));
    assert_eq!(rig.output("large").await.unwrap()["say"].as_str().unwrap().len(), 600_000);
    let mut did: Vec<_> = fs::read_to_string(did).unwrap().lines().map(str::to_owned).collect();
    did.sort();
    did.dedup();
    assert_eq!(did.len(), 2, "each once: {did:?}");
    assert!(rig.jobs().await.is_empty());
    let left = rig.clients.s3().list_objects_v2().bucket("worker").prefix("durable/worker/jobs/");
    let left = left.send().await.unwrap().key_count.unwrap_or_default();
    assert_eq!(left, 0, "what a job was given is deleted");
    // What is large is kept with its run, not where it was in transit.
    let records = rig.aws.ports(None).journal.checkpoints(&RunId::of("flow", "large")).await.unwrap();
    let kept = serde_json::to_string(&records).unwrap();
    assert!(kept.contains("runs/") && !kept.contains("worker/answers"), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_retried_as_the_step_says() {
    let rig = Rig::new().await;
    let mark = rig.folder.path().join("failed").display().to_string();
    let worker = rig.start("one", &format!("[ -e {mark} ] && cat && exit; touch {mark}; exit 3"));
    rig.send("again", json!({"say": "x"})).await;
    rig.pump(&["again"]).await;
    assert_eq!(rig.output("again").await.unwrap(), json!({"say": "x"}));
    worker.stop().await;
}

/// Whoever held it is gone; what it did is not known.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_worker_that_has_gone_is_begun_again_unless_it_must_not_be() {
    let rig = Rig::new().await;
    rig.send("again", json!({"say": "x"})).await;
    rig.send("once", json!({"say": "x", "once": true})).await;
    for job in rig.jobs().await {
        let state = State::Held(after(SystemClock.now(), seconds(1)));
        let claim = Claim { worker: "gone".into(), epoch: 1, state };
        assert!(rig.sqs().swap(&name(&job), &claim, None).await.unwrap().is_some());
    }
    let worker = rig.start("one", "cat");
    rig.pump(&["again", "once"]).await;
    assert_eq!(rig.output("again").await.unwrap(), json!({"say": "x"}));
    let error: Error = rig.output("once").await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    worker.stop().await;
}

/// Withdrawn as it is at work: by its function, which alone hears of the cancellation, through the bucket.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_ends_its_command_and_what_is_still_queued_is_never_begun() {
    let rig = Rig::new().await;
    let did = rig.folder.path().join("did").display().to_string();
    let worker = rig.start("one", &format!("echo $$ >> {did}; exec sleep 120"));
    rig.send("running", json!({"say": "x"})).await;
    let read = || fs::read_to_string(&did).unwrap_or_default();
    wait("it begins", async || !read().is_empty()).await;
    let pid = read().trim().to_owned();
    rig.cancel("running").await;
    wait("it has ended", async || !Path::new("/proc").join(&pid).exists()).await;
    worker.stop().await;

    rig.send("queued", json!({"say": "x"})).await;
    assert_eq!(rig.jobs().await.len(), 1, "the other one is off the queue");
    rig.cancel("queued").await;
    let worker = rig.start("two", &format!("echo begun >> {did}"));
    wait("the queue is empty", async || rig.visible_and_hidden().await == 0).await;
    worker.stop().await;
    assert_eq!(read().trim(), pid, "never begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_makes_a_claim_and_whoever_saw_an_older_one_changes_nothing() {
    let rig = Rig::new().await;
    let queue = rig.sqs();
    let claim = |worker: u32, state| Claim { worker: worker.to_string(), epoch: 1, state };
    let claims: Vec<_> = (0..16).map(|worker| claim(worker, State::Free)).collect();
    let made = futures::future::join_all(claims.iter().map(|claim| queue.swap("job", claim, None))).await;
    let made: Vec<_> = made.into_iter().filter_map(|made| made.unwrap()).collect();
    assert_eq!(made.len(), 1);
    let (standing, version) = queue.claim("job").await.unwrap().unwrap();
    assert_eq!((standing.state, &version), (State::Free, &made[0]));
    let answered = claim(1, State::Answered(Answer::Alive));
    let next = queue.swap("job", &answered, Some(&version)).await.unwrap();
    assert!(next.is_some());
    assert_eq!(queue.swap("job", &claim(2, State::Free), Some(&version)).await.unwrap(), None, "too late");
    assert_eq!(queue.claim("job").await.unwrap().unwrap().0, answered);
    assert_eq!(queue.claim("other").await.unwrap(), None);
}

#[allow(clippy::disallowed_methods, reason = "a test of processes takes real time")]
async fn wait(what: &str, holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// By what a worker knows a job.
fn name(job: &Job) -> String {
    worker::claim::name(&job.token)
}
