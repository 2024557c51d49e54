//! Death of a process: this test program starts itself as another process, and kills it.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use durable::{Context, Envelope, Journal, Result, Settings, Status, Workflow};
use durable_local::{Store, Worker};
use jiff::Timestamp;
use serde_json::{Value, json};

const HOME: &str = "DURABLE_LOCAL_TEST_HOME";

/// Hangs in the first process; in a later one, the folder says that it need not.
async fn hangs_once(ctx: Context<Value>, home: std::path::PathBuf) -> Result<&'static str> {
    ctx.step("hang")
        .run(async || {
            let first = home.join("first");
            if !first.exists() {
                std::fs::write(&first, "").unwrap();
                std::future::pending::<()>().await;
            }
            Ok(())
        })
        .await?;
    Ok("went on")
}

#[allow(clippy::disallowed_methods, reason = "a test of processes takes real time")]
async fn work_on(home: &std::path::Path) -> Status {
    let workflow = Workflow::new("hangs-once", hangs_once).on_event("go").with(home.to_owned());
    let store = Store::open(home, [workflow.definition()]).unwrap();
    let event =
        Envelope { id: "1".into(), name: "go".into(), data: json!({}), sent_at: Timestamp::UNIX_EPOCH };
    let run = store.accept(event).await.unwrap().runs.remove(0);
    // Were the restart to wait for it, this lease would outlast the test.
    let settings = Settings { lease: Duration::from_mins(10), ..Settings::default() };
    let worker = Worker::new(store.clone(), store.ports(None), settings, vec![workflow]).unwrap();
    let ended = async {
        while !store.run(&run).await.unwrap().unwrap().status.is_final() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    worker.run(ended).await.unwrap();
    store.run(&run).await.unwrap().unwrap().status
}

/// Not a test of its own: what the other process runs.
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "how the test finds out that it is the other process")]
async fn the_other_process() {
    if let Ok(home) = std::env::var(HOME) {
        work_on(home.as_ref()).await;
    }
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "a test of processes takes real time")]
async fn what_a_killed_process_held_is_free_at_once() {
    let home = tempfile::tempdir().unwrap();
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["processes::the_other_process", "--exact"])
        .env(HOME, home.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !home.path().join("first").exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    other.kill().unwrap();
    other.wait().unwrap();
    let killed = Instant::now();
    assert_eq!(work_on(home.path()).await, Status::Completed);
    assert!(killed.elapsed() < Duration::from_secs(20), "it took {:?}", killed.elapsed());
}
