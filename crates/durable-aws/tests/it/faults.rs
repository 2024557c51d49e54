//! Answers that are lost, and transactions that meet others.

use durable::{
    Begin, Checkpoint, Envelope, Gate, Journal, Lease, Outcome, Payload, Run, RunId, Slot, Status, StepId,
    StepKind, StepState, Written, after, seconds,
};
use jiff::Timestamp;

use crate::{
    stand_in::{Kind, StandIn},
    wire::Fault,
};

fn at(second: u64) -> Timestamp {
    after(Timestamp::UNIX_EPOCH, seconds(1_800_000_000 + second))
}

fn queued(id: &str) -> Run {
    let event = Envelope { id: id.into(), name: "go".into(), data: serde_json::json!({}), sent_at: at(0) };
    Run::queued("flow", event, at(0))
}

fn completed(step: &str) -> Checkpoint {
    let state = StepState::Completed { output: Payload::Json("1".into()) };
    let step = StepId { name: step.into(), nth: 1 };
    Checkpoint { at: at(2), ..Checkpoint::new(step, StepKind::Run, state, at(1)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_takes_nothing_from_whoever_asked() {
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let settings = stand_in.set_up("lost", &[]).await;
    let aws = stand_in.aws(&settings).await;
    let lose = |operation| stand_in.wire.fault(operation, Fault::LostAnswer);

    lose("PutItem");
    assert!(matches!(aws.begin(queued("1"), at(0), at(30)).await.unwrap(), Begin::Leased(_)));
    lose("UpdateItem");
    let Begin::Leased(run) = aws.resume(&queued("1").id, at(40), at(90)).await.unwrap() else {
        panic!("the lease was taken by its own first request")
    };
    let lease = Lease { run: run.id, epoch: run.epoch };
    assert_eq!(lease.epoch, 2);
    lose("TransactWriteItems");
    let written = aws.checkpoint(&lease, &completed("a")).await.unwrap();
    assert!(matches!(written, Written::Done(_)), "{written:?}");
    lose("UpdateItem");
    let outcome = Outcome::Completed(Payload::Json("2".into()));
    assert_eq!(aws.finish(&lease, &outcome, None, at(50)).await.unwrap(), Written::Done(()));
    assert_eq!(aws.run(&lease.run).await.unwrap().unwrap().status, Status::Completed);

    let runs: Vec<_> = (0..2).map(|n| RunId::of("flow", &format!("slot {n}"))).collect();
    lose("UpdateItem");
    assert_eq!(aws.acquire("key", 1, &runs[0]).await.unwrap(), Slot::Held);
    assert_eq!(aws.acquire("key", 1, &runs[1]).await.unwrap(), Slot::Waiting(1));
    lose("UpdateItem");
    lose("TransactWriteItems");
    assert_eq!(aws.release("key", 1, &runs[0]).await.unwrap(), [runs[1].clone()]);
    assert_eq!(stand_in.wire.faults_left(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_meets_another_is_made_again() {
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let settings = stand_in.set_up("meetings", &[]).await;
    let aws = stand_in.aws(&settings).await;
    aws.begin(queued("1"), at(0), at(30)).await.unwrap();
    let lease = Lease { run: queued("1").id, epoch: 1 };
    for _ in 0..3 {
        stand_in.wire.fault("TransactWriteItems", Fault::Conflict);
    }
    assert_eq!(aws.checkpoint(&lease, &completed("a")).await.unwrap(), Written::Done(None));
    assert_eq!(aws.checkpoints(&lease.run).await.unwrap(), [completed("a")]);
    for _ in 0..8 {
        stand_in.wire.fault("TransactWriteItems", Fault::Conflict);
    }
    let error = aws.checkpoint(&lease, &completed("b")).await.unwrap_err();
    assert!(error.is_retryable() && error.message().contains("at work on the same items"), "{error}");
}
