//! 64 processes at once: each has ports, connections and caches of its own.

use std::sync::Arc;

use durable::{
    Begin, Checkpoint, Envelope, Gate, Journal, Lease, Payload, Run, RunId, Slot, StepId, StepKind,
    StepState, Written, after, seconds,
};
use durable_aws::Aws;
use futures::future::join_all;
use jiff::Timestamp;

use crate::stand_in::{Kind, StandIn};

fn at(second: u64) -> Timestamp {
    after(Timestamp::UNIX_EPOCH, seconds(1_800_000_000 + second))
}

fn queued(id: &str) -> Run {
    let event =
        Envelope { id: id.into(), name: "go".into(), data: serde_json::json!({"n": 1}), sent_at: at(0) };
    Run::queued("flow", event, at(0))
}

fn completed(step: &str, value: &str) -> Checkpoint {
    let state = StepState::Completed { output: Payload::Json(value.into()) };
    let step = StepId { name: step.into(), nth: 1 };
    Checkpoint { at: at(2), ..Checkpoint::new(step, StepKind::Run, state, at(1)) }
}

async fn processes(stand_in: &StandIn, name: &str) -> Vec<Arc<Aws>> {
    let settings = stand_in.set_up(name, &[]).await;
    join_all((0..64).map(|_| stand_in.aws(&settings))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_claimants_one_gets_the_lease_the_step_and_the_last_slot() {
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let processes = processes(&stand_in, "races").await;
    let begins = join_all(processes.iter().map(|aws| aws.begin(queued("1"), at(0), at(30)))).await;
    let leased = begins.iter().filter(|begin| matches!(begin, Ok(Begin::Leased(_)))).count();
    let busy = begins.iter().filter(|begin| **begin == Ok(Begin::Busy(at(30)))).count();
    assert_eq!((leased, busy), (1, 63));

    let lease = Lease { run: queued("1").id, epoch: 1 };
    let records: Vec<_> = (0..64).map(|n| completed("raced", &n.to_string())).collect();
    let written = processes.iter().zip(&records).map(|(aws, record)| aws.checkpoint(&lease, record));
    let written: Vec<_> = join_all(written).await.into_iter().map(Result::unwrap).collect();
    let kept = processes[0].checkpoints(&lease.run).await.unwrap();
    assert_eq!(kept.len(), 1);
    let told = written.iter().filter(|written| **written == Written::Done(Some(kept[0].clone()))).count();
    assert_eq!((told, written.iter().filter(|written| **written == Written::Done(None)).count()), (63, 1));

    let runs: Vec<_> = (0..64).map(|n| RunId::of("flow", &n.to_string())).collect();
    let slots = processes.iter().zip(&runs).map(|(aws, run)| aws.acquire("key", 3, run));
    let slots: Vec<_> = join_all(slots).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(slots.iter().filter(|slot| **slot == Slot::Held).count(), 3, "{slots:?}");

    // All leave at once, each woken one in turn: nobody is forgotten, and never more than three are in.
    let mut inside: Vec<_> =
        runs.iter().zip(&slots).filter(|(_, slot)| **slot == Slot::Held).map(|(run, _)| run).collect();
    let mut served = 0;
    while !inside.is_empty() {
        assert!(inside.len() <= 3);
        served += inside.len();
        let left = join_all(inside.iter().zip(&processes).map(|(run, aws)| aws.release("key", 3, run))).await;
        let mut woken: Vec<_> = left.into_iter().flat_map(Result::unwrap).collect();
        woken.sort_unstable();
        woken.dedup();
        inside = runs.iter().filter(|run| woken.contains(run)).collect();
        for run in &inside {
            assert_eq!(processes[1].acquire("key", 3, run).await.unwrap(), Slot::Held);
        }
    }
    assert_eq!(served, 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_was_fenced_off_changes_nothing() {
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let processes = processes(&stand_in, "fenced").await;
    let (old, new) = (&processes[0], &processes[1]);
    old.begin(queued("1"), at(0), at(30)).await.unwrap();
    let stale = Lease { run: queued("1").id, epoch: 1 };
    assert_eq!(old.checkpoint(&stale, &completed("a", "1")).await.unwrap(), Written::Done(None));
    new.resume(&stale.run, at(31), at(60)).await.unwrap();
    let records: Vec<_> = (0..20).map(|n| completed(&format!("late-{n}"), "1")).collect();
    let late = join_all(records.iter().map(|record| old.checkpoint(&stale, record))).await;
    assert!(late.iter().all(|written| *written == Ok(Written::Fenced)));
    assert_eq!(new.checkpoints(&stale.run).await.unwrap(), [completed("a", "1")]);
}
