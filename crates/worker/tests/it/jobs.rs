//! Who does which job, whoever dies.

use std::{collections::BTreeMap, os::unix::process::CommandExt, process::Command, sync::Arc};

use durable::{Clock, Jobs, after, minutes, seconds};
use durable_local::SystemClock;
use serde_json::json;
use worker::{
    LocalQueue, Queue, Worker,
    claim::{Claim, State},
};

use crate::rig::{Rig, eventually, name};

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_on_one_queue_do_each_job_once() {
    let rig = Rig::new();
    let program = rig.program(
        "program",
        &format!(r#"echo "$(cat)" >> {}; sleep 0.02; echo 1"#, rig.path("did").display()),
    );
    let jobs: Vec<_> = (0..40).map(|n| rig.asking(json!(n))).collect();
    for job in &jobs {
        rig.post(job).await;
        // As a queue may do.
        rig.post(job).await;
    }
    let tables = format!("parallelism = 3\n[commands.work]\nprogram = [\"{program}\"]");
    let workers = ["one", "two"].map(|name| rig.start(&rig.named(name, &tables)));
    for job in &jobs {
        rig.answer(job).await.unwrap();
    }
    eventually("nothing is left", async || rig.store.oldest_job().await.unwrap().is_none().then_some(()))
        .await;
    for worker in workers {
        worker.stop().await;
    }
    let mut did: Vec<u32> = rig.read("did").lines().map(|line| line.parse().unwrap()).collect();
    did.sort_unstable();
    assert_eq!(did, (0..40).collect::<Vec<_>>());
    let mut by: BTreeMap<String, u32> = BTreeMap::new();
    for job in &jobs {
        *by.entry(rig.queue.claim(&name(job)).await.unwrap().unwrap().0.worker).or_default() += 1;
    }
    assert_eq!(by.len(), 2, "both worked: {by:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_never_share_a_folder() {
    let rig = Rig::new();
    let config = rig.command("echo 1", "");
    let first = Worker::new(config.clone(), rig.queue.clone()).unwrap();
    let error = Worker::new(config.clone(), rig.queue.clone()).unwrap_err();
    assert!(error.message().starts_with("state: another worker works in "), "{error}");
    drop(first);
    Worker::new(config, rig.queue.clone()).unwrap();
}

/// Puts a claim on a job, as a worker that began it would have left it.
async fn claimed(rig: &Rig, job: &durable::job::Job, worker: &str, state: State) {
    let claim = Claim { worker: worker.into(), epoch: 1, state };
    rig.queue.swap(&name(job), &claim, None).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_worker_that_has_gone_is_begun_again_unless_it_must_not_be() {
    let rig = Rig::new();
    let config = rig.command("echo 1", "");
    let (again, mut once) = (rig.asking(json!(1)), rig.asking(json!(2)));
    once.at_most_once = true;
    for job in [&again, &once] {
        claimed(&rig, job, "gone", State::Held(after(SystemClock.now(), seconds(1)))).await;
        rig.post(job).await;
    }
    let running = rig.start(&config);
    assert_eq!(rig.answer(&again).await.unwrap(), json!(1));
    let error = rig.answer(&once).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    running.stop().await;
}

/// It is fenced off, and what it had begun is ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_taken_for_dead_ends_what_it_began() {
    let rig = Rig::new();
    let folder = rig.path("").display().to_string();
    let script = r#"while true; do echo x >> "$PWD/alive"; sleep 0.05; done"#;
    let config = rig.command(script, &format!("folder = \"{folder}\""));
    let job = rig.asking(json!(1));
    rig.post(&job).await;
    let running = rig.start(&config);
    eventually("it has begun", async || (!rig.read("alive").is_empty()).then_some(())).await;
    let (claim, version) = rig.queue.claim(&name(&job)).await.unwrap().unwrap();
    let theirs = State::Held(after(SystemClock.now(), minutes(1)));
    let theirs = Claim { worker: "other".into(), epoch: claim.epoch + 1, state: theirs };
    rig.queue.swap(&name(&job), &theirs, Some(&version)).await.unwrap().unwrap();
    eventually("it has ended", async || {
        let before = rig.read("alive");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        (before == rig.read("alive")).then_some(())
    })
    .await;
    running.stop().await;
    assert_eq!(rig.queue.claim(&name(&job)).await.unwrap().unwrap().0, theirs, "and changed nothing");
}

/// It was cut off for longer than its claims last, and its command went on.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_comes_back_ends_what_is_somebody_elses_job_now() {
    let rig = Rig::new();
    let config = rig.command("echo 1", "");
    let job = rig.asking(json!(1));
    claimed(&rig, &job, "other", State::Held(after(SystemClock.now(), minutes(1)))).await;
    let mut orphan = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
    let room = rig.path("state-one/jobs").join(name(&job));
    std::fs::create_dir_all(&room).unwrap();
    let write = |file: &str, content: serde_json::Value| {
        std::fs::write(room.join(file), content.to_string()).unwrap();
    };
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    write("job.json", json!({"job": job, "receipt": "1"}));
    write(
        "process.json",
        json!({"pid": orphan.id(), "ticks": 1, "boot": boot.trim(), "started_at": SystemClock.now()}),
    );
    let running = rig.start(&config);
    eventually("it is ended", async || orphan.try_wait().unwrap()).await;
    running.stop().await;
    assert!(!room.exists());
}

/// The answer was on record, and its worker died before it could report it.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_on_record_is_reported_and_nothing_is_done_again() {
    let rig = Rig::new();
    let config = rig.command("echo 2", "");
    let job = rig.asking(json!(1));
    let answer = rig.queue.done(&job, json!(1)).await.unwrap();
    claimed(&rig, &job, "gone", State::Answered(answer)).await;
    assert_eq!(rig.done(&config, &job).await.unwrap(), json!(1));
    let running = rig.start(&config);
    eventually("it is gone", async || rig.store.oldest_job().await.unwrap().is_none().then_some(())).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_cannot_be_understood_fails_with_what_is_wrong() {
    let rig = Rig::new();
    let config = rig.command("echo 1", "");
    let mut job = rig.asking(json!(1));
    job.work = durable::Payload::Json(r#"{"shell": "rm -rf /"}"#.into());
    let error = rig.done(&config, &job).await.unwrap_err();
    assert!(error.message().starts_with("work: unknown variant `shell`"), "{error}");
    // Another process sees the same.
    let other: Arc<dyn Queue> = Arc::new(LocalQueue::open(&rig.path("home")).unwrap());
    assert!(other.claim(&name(&job)).await.unwrap().is_some());
}

/// It is asked to end, and then made to; nothing is left of it on the queue.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_nobody_waits_for_any_more_is_asked_to_end_and_then_ended() {
    let rig = Rig::new();
    let said = rig.path("said").display().to_string();
    let script =
        format!("trap 'echo asked >> {said}' TERM; echo begun >> {said}; while true; do sleep 0.05; done");
    let config = rig.command(&script, "grace = \"300ms\"");
    let job = rig.asking(json!(1));
    rig.post(&job).await;
    let running = rig.start(&config);
    eventually("it has begun", async || rig.read("said").contains("begun").then_some(())).await;
    rig.store.withdraw(&job.token).await.unwrap();
    let room = rig.path("state-one/jobs").join(name(&job));
    eventually("it is gone", async || (!room.exists()).then_some(())).await;
    assert_eq!(rig.read("said"), "begun\nasked\n");
    assert_eq!(rig.queue.claim(&name(&job)).await.unwrap().unwrap().0, Claim::withdrawn());
    running.stop().await;
    assert!(rig.store.receive_job(seconds(1)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withdrawn_is_not_begun_and_what_was_begun_of_it_before_a_restart_is_ended() {
    let rig = Rig::new();
    let config = rig.command(&format!("echo begun >> {}", rig.path("did").display()), "");
    let (queued, begun) = (rig.asking(json!(1)), rig.asking(json!(2)));
    for job in [&queued, &begun] {
        rig.store.withdraw(&job.token).await.unwrap();
        rig.post(job).await;
    }
    let mut orphan = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
    let room = rig.path("state-one/jobs").join(name(&begun));
    std::fs::create_dir_all(&room).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let process =
        json!({"pid": orphan.id(), "ticks": 1, "boot": boot.trim(), "started_at": SystemClock.now()});
    std::fs::write(room.join("process.json"), process.to_string()).unwrap();
    std::fs::write(room.join("job.json"), json!({"job": begun, "receipt": "2"}).to_string()).unwrap();
    let running = rig.start(&config);
    eventually("it is ended", async || orphan.try_wait().unwrap()).await;
    eventually("nothing is left", async || {
        (rig.store.oldest_job().await.unwrap().is_none() && !room.exists()).then_some(())
    })
    .await;
    running.stop().await;
    assert_eq!(rig.read("did"), "");
}

/// Whoever was to withdraw it died over it: the worker's next sign of life says that nobody waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_of_life_for_what_has_ended_withdraws_the_job() {
    let rig = Rig::new();
    let job = rig.asking(json!(1));
    let event =
        durable::Envelope { id: "1".into(), name: "go".into(), data: json!({}), sent_at: SystemClock.now() };
    let (run, now) = (durable::Run::queued("w", event, SystemClock.now()), SystemClock.now());
    let ports = rig.store.ports(None);
    ports.journal.begin(run.clone(), now, after(now, minutes(1))).await.unwrap();
    ports.journal.cancel(&run.id, now).await.unwrap();
    rig.queue.answer(&job, &durable::callback::Answer::Alive).await.unwrap();
    assert_eq!(rig.queue.claim(&name(&job)).await.unwrap().unwrap().0, Claim::withdrawn());
}
