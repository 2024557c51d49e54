//! What people see and steer on AWS: dead letters, pauses, events, health.

use std::sync::Arc;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, Target};
use aws_sdk_sqs::types::QueueAttributeName;
use durable::{
    ActionError, Context, Delivery, Desk, Disposition, Envelope, EventFilter, PageRequest, Pauses, Redriven,
    Result, RunFilter, RunId, Settings as Driving, Status, WaitingFor, Workflow, after, drive, minutes,
};
use durable_aws::{Aws, Settings, record, sweep};
use jiff::Timestamp;
use serde_json::json;

use crate::stand_in::{Kind, StandIn};

async fn nothing(_: Context<serde_json::Value>, (): ()) -> Result<()> {
    Ok(())
}

fn workflow() -> Workflow<()> {
    Workflow::new("flow", nothing).on_event("go")
}

fn desk(aws: &Arc<Aws>) -> Desk {
    aws.desk(aws.ports(None), Arc::from([workflow().definition().clone()]))
}

/// A stack whose workflow's queue has dead letters.
async fn set_up(stand_in: &StandIn, name: &str) -> (Settings, String) {
    let settings = stand_in.set_up(name, &["flow"]).await;
    let sqs = stand_in.clients().await.sqs().clone();
    let dead = sqs.create_queue().queue_name(format!("{name}-dead")).send().await.unwrap().queue_url.unwrap();
    let arn = settings.queue("flow").unwrap().arn.replace(&format!("{name}-flow"), &format!("{name}-dead"));
    let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 3 }).to_string();
    let queue = sqs.set_queue_attributes().queue_url(&settings.queue("flow").unwrap().url);
    queue.attributes(QueueAttributeName::RedrivePolicy, policy).send().await.unwrap();
    (settings, dead)
}

fn bridge(id: &str) -> String {
    let event =
        Envelope { id: id.into(), name: "go".into(), data: json!({ "n": 1 }), sent_at: Timestamp::now() };
    json!({
        "id": id, "source": "durable", "detail-type": "go", "time": event.sent_at, "detail": event,
    })
    .to_string()
}

async fn dead_letters_are_seen_and_redriven(kind: Kind) {
    let stand_in = StandIn::start(kind).await;
    let (settings, dead) = set_up(&stand_in, "letters").await;
    let (aws, sqs) = (stand_in.aws(&settings).await, stand_in.clients().await.sqs().clone());
    let desk = desk(&aws);
    for body in [bridge("1"), bridge("2"), "no JSON".to_owned()] {
        sqs.send_message().queue_url(&dead).message_body(body).send().await.unwrap();
    }
    let list = async || desk.dead_letters.dead_letters(None, &PageRequest::default()).await.unwrap().items;
    let first = list().await;
    assert_eq!((first.len(), list().await.len()), (3, 3), "looking at them changes nothing");
    let of = |id: &str| first.iter().find(|letter| letter.run == Some(RunId::of("flow", id))).unwrap();
    let strange = first.iter().find(|letter| letter.run.is_none()).unwrap();
    assert!(strange.reason.contains("not JSON") && strange.workflow == "flow", "{strange:?}");
    assert_eq!(desk.vitals.health(Timestamp::now()).await.unwrap().queues[0].dead, 3);

    assert_eq!(desk.redrive("me", &of("1").id).await.unwrap(), Redriven::Sent);
    let again = desk.redrive("me", &of("1").id).await.unwrap_err();
    assert!(matches!(again, ActionError::NotFound { .. }), "it is gone: {again}");
    desk.discard("me", &strange.id).await.unwrap();
    let left = list().await;
    assert_eq!(left.iter().map(|letter| &letter.id).collect::<Vec<_>>(), [&of("2").id]);
    let queue = sqs.receive_message().queue_url(&settings.queue("flow").unwrap().url).send().await.unwrap();
    assert!(queue.messages()[0].body().unwrap().contains(r#""id":"1""#), "its message is in its queue");
    assert_eq!(desk.redrive_all("me", "flow").await.unwrap(), 1);
    assert_eq!(list().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_seen_and_redriven_on_ministack() {
    dead_letters_are_seen_and_redriven(Kind::MiniStack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_seen_and_redriven_on_moto() {
    dead_letters_are_seen_and_redriven(Kind::Moto).await;
}

/// Carries out what is in the workflow's queue; how many messages there were.
async fn work(stand_in: &StandIn, settings: &Settings, aws: &Arc<Aws>) -> usize {
    let (sqs, runnable) = (stand_in.clients().await.sqs().clone(), workflow().with(()));
    let url = &settings.queue("flow").unwrap().url;
    let received = sqs.receive_message().queue_url(url).max_number_of_messages(10).send().await.unwrap();
    for message in received.messages() {
        let body: serde_json::Value = serde_json::from_str(message.body().unwrap()).unwrap();
        let run = RunId::from_text(body["run"].as_str().unwrap());
        let driving = Driving { lease: minutes(1), renew: false, ..Driving::default() };
        let driven =
            drive(&runnable, &aws.ports(None), &driving, Delivery::Resume { run, due: Timestamp::MAX }, None)
                .await
                .unwrap();
        assert_eq!(driven, Disposition::Done);
        sqs.delete_message()
            .queue_url(url)
            .receipt_handle(message.receipt_handle().unwrap())
            .send()
            .await
            .unwrap();
    }
    received.messages().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_end_of_a_pause_is_woken_by_it() {
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let (settings, _) = set_up(&stand_in, "paused").await;
    let aws = stand_in.aws(&settings).await;
    let desk = desk(&aws);
    desk.pause("me", "flow").await.unwrap();
    let runnable = workflow().with(());
    let mut runs = Vec::new();
    for n in 0..7 {
        let event =
            Envelope { id: n.to_string(), name: "go".into(), data: json!({}), sent_at: Timestamp::now() };
        runs.push(RunId::of("flow", &event.id));
        let driving = Driving { lease: minutes(1), renew: false, ..Driving::default() };
        drive(&runnable, &aws.ports(None), &driving, Delivery::Start(event), None).await.unwrap();
    }
    let run = aws.ports(None).journal.run(&runs[3]).await.unwrap().unwrap();
    assert_eq!((run.status, run.waiting_for), (Status::Queued, vec![WaitingFor::Paused]));
    assert_eq!(sweep(&aws).await.unwrap().woken, 0, "nobody wakes what is paused");
    assert!(desk.vitals.health(Timestamp::now()).await.unwrap().swept_at.is_some());
    // Another process, which has not asked yet, is paused as well; this one would go by an answer up to 15 s old.
    assert!(stand_in.aws(&settings).await.is_paused("flow", false).await.unwrap());
    desk.resume("me", "flow").await.unwrap();
    let fresh = stand_in.aws(&settings).await;
    assert_eq!(work(&stand_in, &settings, &fresh).await, 7);
    let ended = RunFilter { statuses: vec![Status::Completed], ..RunFilter::default() };
    assert_eq!(desk.runs(&ended, &PageRequest::default()).await.unwrap().items.len(), 7);
    assert_eq!(sweep(&aws).await.unwrap().woken, 0, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_batch_are_recorded_and_what_is_none_is_left() {
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let (settings, _) = set_up(&stand_in, "recorded").await;
    let aws = stand_in.aws(&settings).await;
    let message = |id: &str, body: String| {
        let mut message = SqsMessage::default();
        (message.message_id, message.body) = (Some(id.to_owned()), Some(body));
        message
    };
    let mut batch = SqsEvent::default();
    batch.records =
        vec![message("a", bridge("1")), message("b", "no event".into()), message("c", bridge("2"))];
    assert!(record(&aws, batch.clone()).await.batch_item_failures.is_empty());
    assert!(record(&aws, batch).await.batch_item_failures.is_empty(), "a batch may come again");
    let found = desk(&aws).events(&EventFilter::default(), &PageRequest::default()).await.unwrap().items;
    let mut ids: Vec<_> = found.iter().map(|event| event.event.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["1", "2"]);
    assert_eq!(found[0].listeners, ["flow"]);
}

/// From a bus through the recorder's rule and queue into the history, as the template has it.
async fn every_event_of_the_bus_is_recorded(kind: Kind) {
    let stand_in = StandIn::start(kind).await;
    let settings = stand_in.set_up("all-events", &["recorder"]).await;
    let (aws, clients) = (stand_in.aws(&settings).await, stand_in.clients().await);
    let queue = settings.queue("recorder").unwrap();
    let rule = clients.eventbridge().put_rule().name("recorder").event_bus_name(&settings.bus);
    rule.event_pattern(r#"{"source":[{"prefix":""}]}"#).send().await.unwrap();
    let target = Target::builder().id("queue").arn(&queue.arn).build().unwrap();
    let targets = clients.eventbridge().put_targets().rule("recorder").event_bus_name(&settings.bus);
    targets.targets(target).send().await.unwrap();

    let sent_at = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap();
    let event = |id: &str, name: &str| Envelope {
        id: id.into(),
        name: name.into(),
        data: json!({ "n": 1 }),
        sent_at,
    };
    let ours = [event("1", "go"), event("2", "whatever/else")];
    aws.ports(None).bus.publish(&ours).await.unwrap();
    let theirs = PutEventsRequestEntry::builder().source("shop").detail_type("order/placed").detail("{}");
    let put = clients.eventbridge().put_events().entries(theirs.event_bus_name(&settings.bus).build());
    put.send().await.unwrap();

    for _ in 0..100 {
        let received =
            clients.sqs().receive_message().queue_url(&queue.url).max_number_of_messages(10).send().await;
        let mut batch = SqsEvent::default();
        batch.records = received
            .unwrap()
            .messages()
            .iter()
            .map(|received| {
                let mut message = SqsMessage::default();
                message.message_id.clone_from(&received.message_id);
                message.body.clone_from(&received.body);
                message
            })
            .collect();
        assert!(record(&aws, batch).await.batch_item_failures.is_empty());
        let found = desk(&aws).events(&EventFilter::default(), &PageRequest::default()).await.unwrap().items;
        if found.len() == 3 {
            for event in ours {
                assert_eq!(desk(&aws).history.event(&event.id).await.unwrap(), Some(event), "as it was sent");
            }
            assert!(found.iter().any(|found| found.event.name == "order/placed"), "whoever sent it");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("three events were put on the bus");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_the_bus_is_recorded_on_ministack() {
    every_event_of_the_bus_is_recorded(Kind::MiniStack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_the_bus_is_recorded_on_moto() {
    every_event_of_the_bus_is_recorded(Kind::Moto).await;
}

/// What functions write to their logs, CloudWatch makes metrics of; here they are put there. MiniStack takes each for one of
/// now, whatever time it has: the hours are looked at in `statistics`.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_come_from_the_metrics_that_are_written_anyway() {
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let (settings, _) = set_up(&stand_in, "numbers").await;
    let (aws, clients) = (stand_in.aws(&settings).await, stand_in.clients().await);
    let datum = |name: &str, workflow: &str, value: f64| {
        let dimension = Dimension::builder().name("workflow").value(workflow).build();
        MetricDatum::builder().metric_name(name).dimensions(dimension).value(value).build()
    };
    let data = [
        datum("RunsStarted", "flow", 1.0),
        datum("RunsStarted", "flow", 1.0),
        datum("RunsStarted", "flow", 2.0),
        datum("RunsCompleted", "flow", 3.0),
        datum("RunsFailed", "flow", 1.0),
        datum("StepsRetried", "flow", 4.0),
        datum("RunsRetried", "flow", 2.0),
        datum("RunDuration", "flow", 1_000.0),
        datum("RunDuration", "flow", 3_000.0),
        datum("RunDuration", "flow", 2_000.0),
        datum("RunsStarted", "another", 100.0),
    ];
    let put = clients.cloudwatch().put_metric_data().namespace("Durable");
    put.set_metric_data(Some(data.into())).send().await.unwrap();

    let soon = after(Timestamp::now(), minutes(1));
    let day = soon - jiff::SignedDuration::from_hours(24);
    let numbers = desk(&aws).statistics(day, soon).await.unwrap();
    let [flow] = &numbers[..] else { panic!("one workflow: {numbers:?}") };
    let totals = &flow.totals;
    assert_eq!((totals.started, totals.completed, totals.failed, totals.retried), (4, 3, 1, 6), "{flow:?}");
    assert_eq!((totals.success_rate(), flow.p50_ms), (Some(0.75), Some(2_000)));
    assert!(flow.p95_ms.is_some_and(|ms| (2_000..=3_000).contains(&ms)), "{:?}", flow.p95_ms);
    let by_the_hour: u64 = flow.hours.iter().map(|hour| hour.counts.started).sum();
    assert!(by_the_hour == 4 && flow.hours.len() >= 24, "{:?}", flow.hours);
}
