use durable::{
    Begin, Checkpoint, Context, Envelope, Journal, Lease, Payload, Result, Run, RunId, Slot, StepId,
    StepKind, StepState, Workflow, Written, testing::conformance,
};
use durable_local::Store;
use jiff::Timestamp;
use serde_json::json;

fn open(home: &tempfile::TempDir) -> Store {
    Store::open(home.path(), []).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_conforms() {
    let home = tempfile::tempdir().unwrap();
    let store = open(&home);
    conformance::suite(&store.ports(None), "sqlite").await;
    let desk = store.desk(store.ports(None), std::sync::Arc::new([]));
    conformance::inspect_suite(&desk, "sqlite").await;
    conformance::statistics_suite(&desk, "sqlite").await;
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn queued() -> Run {
    let event = Envelope { id: "1".into(), name: "go".into(), data: json!({}), sent_at: at(0) };
    Run::queued("w", event, at(0))
}

/// 64 claimants in two stores, as two processes would have them.
#[tokio::test(flavor = "multi_thread")]
async fn two_stores_on_one_file_agree() {
    let home = tempfile::tempdir().unwrap();
    let stores = [open(&home).ports(None), open(&home).ports(None)];
    let mut claims = tokio::task::JoinSet::new();
    for n in 0..64 {
        let ports = stores[n % 2].clone();
        claims.spawn(async move {
            let leased =
                matches!(ports.journal.begin(queued(), at(0), at(30)).await.unwrap(), Begin::Leased(_));
            let held = ports
                .gate
                .acquire("k", 1, &Run::queued(&format!("w{n}"), queued().event, at(0)).id)
                .await
                .unwrap();
            let step = StepId { name: "s".into(), nth: 1 };
            let state = StepState::Completed { output: Payload::Json(n.to_string()) };
            let record = Checkpoint::new(step, StepKind::Run, state, at(1));
            let lease = Lease { run: queued().id, epoch: 1 };
            let written = ports.journal.checkpoint(&lease, &record).await.unwrap();
            (leased, held == Slot::Held, written == Written::Done(None))
        });
    }
    let won = claims.join_all().await;
    let count = |pick: fn(&(bool, bool, bool)) -> bool| won.iter().filter(|won| pick(won)).count();
    assert_eq!((count(|won| won.0), count(|won| won.1), count(|won| won.2)), (1, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_share_a_commit() {
    let home = tempfile::tempdir().unwrap();
    let store = open(&home);
    let ports = store.ports(None);
    let before = store.commits();
    let mut writes = tokio::task::JoinSet::new();
    for n in 0..500 {
        let blobs = ports.blobs.clone();
        writes.spawn(async move { blobs.put(&n.to_string(), vec![0; 10]).await.unwrap() });
    }
    writes.join_all().await;
    let commits = store.commits() - before;
    assert!(commits < 250, "{commits} commits for 500 writes");
}

#[tokio::test]
async fn an_event_is_accepted_once_and_its_runs_are_there_at_once() {
    async fn nothing(_: Context<serde_json::Value>, (): ()) -> Result<()> {
        Ok(())
    }
    let home = tempfile::tempdir().unwrap();
    let workflow = Workflow::new("w", nothing).on_event("go").with(());
    let store = Store::open(home.path(), [workflow.definition()]).unwrap();
    let first = store.accept(queued().event).await.unwrap();
    assert_eq!((first.runs.as_slice(), first.duplicate), (&[queued().id][..], false));
    let again = store.accept(queued().event).await.unwrap();
    assert_eq!((again.runs, again.duplicate), (first.runs, true));
    let run = store.run(&queued().id).await.unwrap().unwrap();
    assert_eq!(run.status, durable::Status::Queued);

    let stranger = Envelope { id: "2".into(), name: "unheard/of".into(), ..queued().event };
    assert_eq!(store.accept(stranger).await.unwrap().runs, []);
}

#[tokio::test]
async fn a_home_that_cannot_be_is_named() {
    let error = Store::open(std::path::Path::new("/proc/nowhere"), []).unwrap_err();
    assert!(error.message().starts_with("cannot open the store in /proc/nowhere"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_two_thousand_is_served_in_order() {
    const WAITERS: u32 = 2_000;
    let home = tempfile::tempdir().unwrap();
    let gate = open(&home).ports(None).gate;
    let run = |n: u32| RunId::of("w", &n.to_string());
    assert_eq!(gate.acquire("k", 1, &run(0)).await.unwrap(), Slot::Held);
    let arrivals = (1..=WAITERS).map(|n| (n, gate.clone()));
    let places = futures::future::join_all(
        arrivals.map(|(n, gate)| async move { gate.acquire("k", 1, &run(n)).await.unwrap() }),
    )
    .await;
    assert!(places.into_iter().eq((1..=WAITERS).map(Slot::Waiting)));
    for n in 0..100 {
        let next = run(n + 1);
        assert_eq!(gate.release("k", 1, &run(n)).await.unwrap(), std::slice::from_ref(&next));
        assert_eq!(gate.acquire("k", 1, &next).await.unwrap(), Slot::Held);
    }
    assert_eq!(gate.acquire("k", 1, &run(WAITERS)).await.unwrap(), Slot::Waiting(WAITERS - 100));
}
