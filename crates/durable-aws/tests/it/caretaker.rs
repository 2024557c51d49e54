//! What the caretaker finds after processes died, and what it does about it.

use std::time::Duration;

use durable::{
    Begin, Blobs, Checkpoint, Envelope, Gate, Journal, Lease, Outcome, Payload, Run, RunId, Slot, Status,
    StepId, StepKind, StepState, Suspension, after, hours,
};
use durable_aws::{Clients, Settings, Swept, sweep};
use jiff::Timestamp;

use crate::stand_in::{Kind, StandIn};

fn ago(time: Duration) -> Timestamp {
    Timestamp::now().checked_sub(time).unwrap()
}

fn queued(id: &str) -> Run {
    let event =
        Envelope { id: id.into(), name: "go".into(), data: serde_json::json!({}), sent_at: ago(hours(1)) };
    Run::queued("flow", event, ago(hours(1)))
}

async fn woken(clients: &Clients, settings: &Settings) -> Vec<String> {
    let request = clients.sqs().receive_message().queue_url(&settings.queues["flow"].url);
    let messages = request.max_number_of_messages(10).send().await.unwrap().messages.unwrap_or_default();
    let mut runs: Vec<_> = messages
        .into_iter()
        .map(|message| {
            let body: serde_json::Value = serde_json::from_str(&message.body.unwrap()).unwrap();
            body["run"].as_str().unwrap().to_owned()
        })
        .collect();
    runs.sort_unstable();
    runs
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_nothing_would_wake_are_woken_once() {
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let settings = stand_in.set_up("overdue", &["flow"]).await;
    let (aws, clients) = (stand_in.aws(&settings).await, stand_in.clients().await);
    let (dead, asleep, busy, done) = (queued("dead"), queued("asleep"), queued("busy"), queued("done"));
    aws.begin(dead.clone(), ago(hours(1)), ago(Duration::from_mins(5))).await.unwrap();
    aws.begin(busy, ago(hours(1)), after(Timestamp::now(), hours(1))).await.unwrap();
    for run in [&asleep, &done] {
        aws.begin(run.clone(), ago(hours(1)), after(Timestamp::now(), hours(1))).await.unwrap();
    }
    let suspension = Suspension {
        status: Status::Waiting,
        waiting_for: Vec::new(),
        wake_at: Some(ago(Duration::from_mins(10))),
        failures: 0,
        started_at: None,
        signals: 0,
    };
    aws.suspend(&Lease { run: asleep.id.clone(), epoch: 1 }, suspension, &[]).await.unwrap();
    let outcome = Outcome::Completed(Payload::Json("1".into()));
    let lease = Lease { run: done.id.clone(), epoch: 1 };
    aws.finish(&lease, &outcome, None, Timestamp::now()).await.unwrap();

    assert_eq!(sweep(&aws).await.unwrap(), Swept { woken: 2, ..Swept::default() });
    let mut expected = [dead.id.to_string(), asleep.id.to_string()];
    expected.sort_unstable();
    assert_eq!(woken(&clients, &settings).await, expected);
    assert_eq!(sweep(&aws).await.unwrap(), Swept::default(), "not again each minute");
    let resumed = aws.resume(&dead.id, Timestamp::now(), after(Timestamp::now(), hours(1))).await.unwrap();
    assert!(matches!(resumed, Begin::Leased(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slot_of_a_run_that_has_ended_goes_to_the_next_in_line() {
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let settings = stand_in.set_up("slots", &["flow"]).await;
    let (aws, clients) = (stand_in.aws(&settings).await, stand_in.clients().await);
    let (dead, next) = (queued("dead"), queued("next"));
    for run in [&dead, &next] {
        aws.begin(run.clone(), ago(hours(1)), after(Timestamp::now(), hours(1))).await.unwrap();
    }
    assert_eq!(aws.acquire("flow", 1, &dead.id).await.unwrap(), Slot::Held);
    assert_eq!(aws.acquire("flow", 1, &next.id).await.unwrap(), Slot::Waiting(1));
    assert_eq!(sweep(&aws).await.unwrap(), Swept::default(), "lines in use are left alone");
    // Ended, and its process died before it gave the slot back.
    aws.cancel(&dead.id, Timestamp::now()).await.unwrap();
    age_lines(&clients, Duration::from_mins(6)).await;
    assert_eq!(sweep(&aws).await.unwrap(), Swept { released: 1, handed: 1, ..Swept::default() });
    assert_eq!(woken(&clients, &settings).await, [next.id.to_string()]);
    assert_eq!(aws.acquire("flow", 1, &next.id).await.unwrap(), Slot::Held);

    aws.release("flow", 1, &next.id).await.unwrap();
    age_lines(&clients, hours(1)).await;
    sweep(&aws).await.unwrap();
    assert_eq!(heads(&clients, "slots").await, 0, "an idle line is forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_nobody_used_keeps_nobody_out() {
    let stand_in = StandIn::start(Kind::Moto).await;
    let settings = stand_in.set_up("slots", &["flow"]).await;
    let (aws, clients) = (stand_in.aws(&settings).await, stand_in.clients().await);
    let run = |n: u32| RunId::of("flow", &n.to_string());
    aws.acquire("flow", 1, &run(1)).await.unwrap();
    // Somebody draws a ticket, and dies.
    let key = |name: &str| aws_sdk_dynamodb::types::AttributeValue::S(name.into());
    let draw = clients
        .dynamodb()
        .update_item()
        .table_name("slots")
        .key("pk", key("line#flow"))
        .key("sk", key("head"));
    let one = aws_sdk_dynamodb::types::AttributeValue::N("1".into());
    draw.update_expression("ADD tickets :one").expression_attribute_values(":one", one).send().await.unwrap();
    aws.release("flow", 1, &run(1)).await.unwrap();
    assert_eq!(aws.acquire("flow", 1, &run(2)).await.unwrap(), Slot::Held, "through the line, at once");
    aws.release("flow", 1, &run(2)).await.unwrap();
    age_lines(&clients, hours(1)).await;
    sweep(&aws).await.unwrap();
    stand_in.wire.take();
    assert_eq!(aws.acquire("flow", 1, &run(3)).await.unwrap(), Slot::Held);
    assert_eq!(stand_in.wire.take().values().sum::<usize>(), 1, "and evened out, at the usual cost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_forgotten_with_its_steps_and_large_values_when_its_retention_has_passed() {
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let settings = stand_in.set_up("old", &["flow"]).await;
    let (aws, clients) = (stand_in.aws(&settings).await, stand_in.clients().await);
    let run = queued("old");
    aws.begin(run.clone(), ago(hours(50)), ago(hours(49))).await.unwrap();
    let lease = Lease { run: run.id.clone(), epoch: 1 };
    for n in 0..30 {
        let (key, bytes) = (format!("runs/{}/{n}", run.id), 1_000_000);
        aws.put(&key, vec![0; 10]).await.unwrap();
        let output = Payload::Blob { key, bytes, sha256: String::new() };
        let step = StepId { name: format!("step-{n}"), nth: 1 };
        let (state, at) = (StepState::Completed { output }, ago(hours(49)));
        let record = Checkpoint::new(step, StepKind::Run, state, at);
        aws.checkpoint(&lease, &record).await.unwrap();
    }
    let outcome = Outcome::Completed(Payload::Json("1".into()));
    aws.finish(&lease, &outcome, None, ago(hours(25))).await.unwrap();
    assert_eq!(sweep(&aws).await.unwrap(), Swept { forgotten: 1, ..Swept::default() });
    assert_eq!(aws.run(&run.id).await.unwrap(), None);
    assert_eq!(aws.checkpoints(&run.id).await.unwrap(), []);
    let left = clients.s3().list_objects_v2().bucket("old").send().await.unwrap();
    assert_eq!(left.contents().len(), 0);
}

/// Makes all lines of the table look as if they had last been used so long ago.
async fn age_lines(clients: &Clients, age: Duration) {
    let then = aws_sdk_dynamodb::types::AttributeValue::N(ago(age).as_millisecond().to_string());
    let key = |name: &str| aws_sdk_dynamodb::types::AttributeValue::S(name.into());
    let update = clients.dynamodb().update_item().table_name("slots");
    let update = update.key("pk", key("line#flow")).key("sk", key("head"));
    let update = update.update_expression("SET due_at = :then, used_at = :then");
    update.expression_attribute_values(":then", then).send().await.unwrap();
}

async fn heads(clients: &Clients, table: &str) -> usize {
    let items = clients.dynamodb().scan().table_name(table).send().await.unwrap().items.unwrap();
    items.iter().filter(|item| item["sk"].as_s().is_ok_and(|sk| sk == "head")).count()
}
