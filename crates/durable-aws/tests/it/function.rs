//! A function as Lambda invokes it: batches from its queue, and direct invocations.

use std::{sync::Arc, time::Duration};

use durable::{
    Concurrency, Context, Envelope, Error, PageRequest, Result, Run, RunId, Status, Workflow, after, seconds,
};
use durable_aws::{Aws, Clients, Function, Settings};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::stand_in::{Kind, StandIn};

const MINUTE: Duration = seconds(60);

/// What the event asks for: a nap, a large result, a step that never ends, a panic.
async fn flow(ctx: Context<Value>, (): ()) -> Result<Value> {
    let event = ctx.event();
    let said = ctx.step("say").run(async || Ok(event["say"].clone())).await?;
    if event["nap"].is_number() {
        ctx.sleep("nap", Duration::from_millis(event["nap"].as_u64().unwrap())).await;
    }
    if event["large"].is_boolean() {
        return Ok("x".repeat(400_000).into());
    }
    if event["hang"].is_boolean() {
        ctx.step("hang").run(async || std::future::pending::<Result<()>>().await).await?;
    }
    assert!(!event["panic"].is_boolean(), "as the event says");
    Ok(said)
}

struct Rig {
    stand_in: StandIn,
    settings: Settings,
    aws: Arc<Aws>,
    clients: Clients,
    function: Function,
}

impl Rig {
    async fn new(workflow: Workflow<()>) -> Self {
        let stand_in = StandIn::start(Kind::MiniStack).await;
        let settings = stand_in.set_up("function", &["flow"]).await;
        let (aws, clients) = (stand_in.aws(&settings).await, stand_in.clients().await);
        let function = Function::on_aws(workflow.with(()), aws.clone());
        Self { stand_in, settings, aws, clients, function }
    }

    async fn invoke(&self, payload: Value, time: Duration) -> Result<Value> {
        self.function.invoke(payload, "request-1", after(Timestamp::now(), time)).await
    }

    /// The ids of the records that failed.
    async fn batch(&self, records: Vec<Value>, time: Duration) -> Vec<String> {
        let response = self.invoke(json!({"Records": records}), time).await.unwrap();
        let failures = response["batchItemFailures"].as_array().unwrap();
        failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
    }

    /// Receives what is on the queue within a few seconds, as records of a batch, and deletes it.
    async fn receive(&self) -> Vec<Value> {
        let url = &self.settings.queues["flow"].url;
        for _ in 0..5 {
            let request = self.clients.sqs().receive_message().queue_url(url).max_number_of_messages(10);
            let request = request.message_attribute_names("All").wait_time_seconds(1);
            let messages = request.send().await.unwrap().messages.unwrap_or_default();
            let mut records = Vec::new();
            for message in messages {
                let delete = self.clients.sqs().delete_message().queue_url(url);
                delete.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
                let deferrals = message.message_attributes.unwrap_or_default();
                let deferrals = deferrals.get("deferrals").and_then(|count| count.string_value.clone());
                records.push(json!({
                    "messageId": message.message_id, "body": message.body, "attributes": {"ApproximateReceiveCount": "1"},
                    "messageAttributes": deferrals
                        .map_or(json!({}), |count| json!({"deferrals": {"dataType": "Number", "stringValue": count}})),
                }));
            }
            if !records.is_empty() {
                return records;
            }
        }
        Vec::new()
    }

    async fn run(&self, event: &str) -> Run {
        self.aws.ports(None).journal.run(&RunId::of("flow", event)).await.unwrap().unwrap()
    }
}

fn plain() -> Workflow<()> {
    Workflow::new("flow", flow).on_event("go")
}

/// A record of a batch, with an event of ours in EventBridge's envelope.
fn record(id: &str, data: Value, receives: u32) -> Value {
    let event = Envelope { id: id.into(), name: "go".into(), data, sent_at: Timestamp::UNIX_EPOCH };
    let body =
        json!({"id": "b", "source": "durable", "detail-type": "go", "time": event.sent_at, "detail": event});
    json!({"messageId": id, "receiptHandle": "r", "body": body.to_string(), "eventSource": "aws:sqs",
           "attributes": {"ApproximateReceiveCount": receives.to_string()}})
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_what_is_malformed_fails_alone() {
    let rig = Rig::new(plain()).await;
    let mut malformed = record("bad", json!({}), 1);
    malformed["body"] = json!({"phone": "1"}).to_string().into();
    let records = vec![
        record("a", json!({"say": 1}), 1),
        malformed,
        record("twice", json!({"say": 2}), 1),
        record("twice", json!({"say": 2}), 1),
        record("panics", json!({"panic": true}), 1),
    ];
    assert_eq!(rig.batch(records, MINUTE).await, ["bad"]);
    let done = rig.run("a").await;
    assert_eq!(done.output.unwrap().load::<u32>(&*rig.aws.ports(None).blobs).await.unwrap(), 1);
    assert_eq!(rig.run("twice").await.status, Status::Completed);
    assert_eq!(rig.run("panics").await.error.unwrap().message(), "panicked: as the event says");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_comes_back_through_the_queue_and_a_message_for_a_busy_run_is_put_off() {
    let rig = Rig::new(plain()).await;
    assert_eq!(rig.batch(vec![record("a", json!({"say": 1, "nap": 1500}), 1)], MINUTE).await, [""; 0]);
    let wake = rig.receive().await;
    assert_eq!(wake.len(), 1, "the wake-up: {wake:?}");

    // Another invocation is at work on the run when it arrives.
    let (ports, now) = (rig.aws.ports(None), Timestamp::now());
    let until = after(now, seconds(2));
    ports.journal.resume(&RunId::of("flow", "a"), now, until).await.unwrap();
    assert_eq!(rig.batch(wake, MINUTE).await, [""; 0], "nothing has failed");
    let again = rig.receive().await;
    assert_eq!(again[0]["messageAttributes"]["deferrals"]["stringValue"], "1");
    tokio::time::sleep(durable::until(Timestamp::now(), until)).await;
    assert_eq!(rig.batch(again, MINUTE).await, [""; 0]);
    assert_eq!(rig.run("a").await.status, Status::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_that_frees_a_slot_wakes_the_next_through_the_queue() {
    let rig = Rig::new(plain().concurrency(Concurrency::limit(1))).await;
    rig.batch(vec![record("a", json!({"say": 1, "nap": 1200}), 1)], MINUTE).await;
    rig.batch(vec![record("b", json!({"say": 2}), 1)], MINUTE).await;
    assert_eq!(rig.run("b").await.status, Status::Queued);
    let wake = rig.receive().await;
    rig.batch(wake, MINUTE).await;
    assert_eq!((rig.run("a").await.status, rig.run("b").await.status), (Status::Completed, Status::Queued));
    let handed = rig.receive().await;
    rig.batch(handed, MINUTE).await;
    assert_eq!(rig.run("b").await.status, Status::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_deliveries_are_used_up_fails_its_run_with_the_reason() {
    let rig = Rig::new(plain().concurrency(Concurrency::limit(1))).await;
    // The store of large values is gone: an error that is nobody's fault, and that lasts.
    rig.clients.s3().delete_bucket().bucket("function").send().await.unwrap();
    let large = || json!({"say": 1, "large": true});
    assert_eq!(rig.batch(vec![record("a", large(), 1)], MINUTE).await, ["a"]);
    assert_eq!(rig.run("a").await.status, Status::Running, "it is tried again");
    assert_eq!(rig.batch(vec![record("a", large(), 3)], MINUTE).await, ["a"], "on to the dead letters");
    let failed = rig.run("a").await;
    assert_eq!(failed.status, Status::Failed);
    let error = failed.error.unwrap();
    assert!(
        error.message().starts_with("given up after 3 deliveries: S3: PutObject: NoSuchBucket"),
        "{error}"
    );
    // Its slot is free again.
    assert_eq!(rig.batch(vec![record("b", json!({"say": 1}), 1)], MINUTE).await, [""; 0]);
    assert_eq!(rig.run("b").await.status, Status::Completed);
}

/// What SQS moves by itself has no reason with it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_among_the_dead_letters_with_its_reason() {
    let mut rig = Rig::new(plain()).await;
    let place = rig.clients.sqs().create_queue().queue_name("function-dead").send().await.unwrap().queue_url;
    rig.settings.queues.get_mut("flow").unwrap().dead_letters = place;
    rig.aws = rig.stand_in.aws(&rig.settings).await;
    rig.function = Function::on_aws(plain().with(()), rig.aws.clone());
    rig.clients.s3().delete_bucket().bucket("function").send().await.unwrap();

    let poison = |receives| {
        let mut poison = record("poison", json!({}), receives);
        poison["body"] = json!({"phone": "0821234567"}).to_string().into();
        poison
    };
    let large = |receives| record("a", json!({"say": 1, "large": true}), receives);
    assert_eq!(rig.batch(vec![poison(2), large(2)], MINUTE).await, ["poison", "a"], "not yet");
    let desk = rig.aws.desk(rig.aws.ports(None), Arc::from([plain().with(()).definition().clone()]));
    let letters = async || desk.dead_letters.dead_letters(None, &PageRequest::default()).await.unwrap().items;
    assert_eq!(letters().await, []);

    assert_eq!(rig.batch(vec![poison(3), large(3)], MINUTE).await, [""; 0], "they are where they belong");
    let letters = letters().await;
    let of = |run: Option<RunId>| letters.iter().find(|letter| letter.run == run).unwrap();
    let (poison, large) = (of(None), of(Some(RunId::of("flow", "a"))));
    assert!(
        poison.reason.starts_with("the message is an object with the fields [phone]"),
        "{}",
        poison.reason
    );
    assert!(large.reason.starts_with("S3: PutObject: NoSuchBucket"), "{}", large.reason);
    assert_eq!((letters.len(), poison.receives, large.receives), (2, Some(3), Some(3)));
    assert_eq!(poison.body.as_deref(), Some(r#"{"phone":"0821234567"}"#), "nothing is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_outlasts_the_function_is_cut_off_alone_and_taken_up_again() {
    let rig = Rig::new(plain()).await;
    let records = vec![record("hangs", json!({"hang": true}), 1), record("a", json!({"say": 1}), 1)];
    assert_eq!(rig.batch(records, seconds(4)).await, ["hangs"]);
    assert_eq!(rig.run("a").await.status, Status::Completed);
    assert_eq!(rig.run("hangs").await.status, Status::Running);
    assert_eq!(rig.aws.ports(None).journal.checkpoints(&RunId::of("flow", "hangs")).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_invocation_answers_where_the_run_stands() {
    let rig = Rig::new(plain()).await;
    let bare = rig.invoke(json!({"name": "go", "data": {"say": "hello"}}), MINUTE).await.unwrap();
    assert_eq!((&bare["status"], &bare["output"]), (&json!("completed"), &json!("hello")));
    assert_eq!(bare["event_id"], "request-1");
    let again = rig.invoke(json!({"name": "go", "data": {"say": "hello"}}), MINUTE).await.unwrap();
    assert_eq!(again, bare, "Lambda's own retry starts nothing");

    let scheduled = json!({"durable": "schedule", "workflow": "flow", "time": "2026-01-01T06:00:00Z"});
    let scheduled = rig.invoke(scheduled, MINUTE).await.unwrap();
    assert_eq!(scheduled["event_id"], "flow@2026-01-01T06:00:00Z");

    let nap = json!({"id": "n", "source": "shop", "detail-type": "go", "time": "2026-01-01T06:00:00Z", "detail": {"nap": 1500}});
    let asleep = rig.invoke(nap, MINUTE).await.unwrap();
    assert_eq!((&asleep["status"], &asleep["waiting_for"][0]["for"]), (&json!("waiting"), &json!("sleep")));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let woken = rig.invoke(json!({"durable": "wake", "run": asleep["run_id"]}), MINUTE).await.unwrap();
    assert_eq!(woken["status"], "completed");

    let error: Error = rig.invoke(json!({"what": 1}), MINUTE).await.unwrap_err();
    assert!(error.message().contains("an object with the fields [what]"), "{error}");
    assert_eq!(rig.stand_in.wire.faults_left(), 0);
}
