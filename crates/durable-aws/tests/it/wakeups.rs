//! Messages to ourselves, and events out, as the services deliver them.

use std::time::{Duration, Instant};

use aws_sdk_eventbridge::types::Target;
use durable::{Bus, Envelope, RunId, Wakeups, after};
use durable_aws::{Clients, Settings};
use jiff::Timestamp;

use crate::stand_in::{Kind, StandIn};

/// The bodies that arrive at a queue within a time.
async fn receive(
    clients: &Clients,
    settings: &Settings,
    workflow: &str,
    count: usize,
    within: Duration,
) -> Vec<String> {
    let (began, mut bodies) = (Instant::now(), Vec::new());
    while bodies.len() < count && began.elapsed() < within {
        let request = clients.sqs().receive_message().queue_url(&settings.queues[workflow].url);
        let received = request.max_number_of_messages(10).wait_time_seconds(1).send().await.unwrap();
        for message in received.messages.unwrap_or_default() {
            let delete = clients.sqs().delete_message().queue_url(&settings.queues[workflow].url);
            delete.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
            bodies.push(message.body.unwrap());
        }
    }
    bodies
}

fn body(run: &RunId, due: Timestamp) -> String {
    format!(r#"{{"durable":"wake","run":"{run}","due":"{due}"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_up_arrives_once_its_time_has_come() {
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let settings = stand_in.set_up("wake", &["flow"]).await;
    let (aws, clients) = (stand_in.aws(&settings).await, stand_in.clients().await);
    let run = RunId::of("flow", "1");
    let due = after(Timestamp::now(), Duration::from_millis(1500));
    aws.wake("flow", &run, due).await.unwrap();
    assert_eq!(receive(&clients, &settings, "flow", 1, Duration::from_secs(10)).await, [body(&run, due)]);
    assert!(Timestamp::now() >= due, "never early");
    let error = aws.wake("unknown", &run, due).await.unwrap_err();
    assert!(error.message().contains("no queue of unknown"), "{error}");
}

/// A schedule that is due in 15 minutes is not waited for: it is read back, moved near, and seen to fire.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_wake_up_is_a_schedule_that_fires_once() {
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let settings = stand_in.set_up("late", &["flow"]).await;
    let (aws, clients) = (stand_in.aws(&settings).await, stand_in.clients().await);
    let run = RunId::of("flow", "1");
    let due = after(Timestamp::now(), Duration::from_hours(1));
    stand_in.wire.take();
    aws.wake("flow", &run, due).await.unwrap();
    aws.wake("flow", &run, due).await.unwrap();
    let requests = stand_in.wire.take();
    assert_eq!(requests.get("SendMessage"), None);
    assert_eq!(requests.get("CreateSchedule"), Some(&2), "the second is there already, and that is no error");

    let scheduler = clients.scheduler();
    let listed = scheduler.list_schedules().group_name("late").send().await.unwrap();
    let names: Vec<_> = listed.schedules().iter().map(|schedule| schedule.name().unwrap()).collect();
    assert_eq!(names, [format!("{run}-{}", due.as_millisecond())]);
    let made = scheduler.get_schedule().group_name("late").name(names[0]).send().await.unwrap();
    assert_eq!(made.action_after_completion().unwrap().as_str(), "DELETE");
    let soon = after(Timestamp::now(), Duration::from_secs(2)).strftime("at(%Y-%m-%dT%H:%M:%S)").to_string();
    scheduler
        .update_schedule()
        .group_name("late")
        .name(names[0])
        .schedule_expression(soon)
        .set_flexible_time_window(made.flexible_time_window().cloned())
        .set_target(made.target().cloned())
        .set_action_after_completion(made.action_after_completion().cloned())
        .send()
        .await
        .unwrap();
    assert_eq!(receive(&clients, &settings, "flow", 1, Duration::from_secs(45)).await, [body(&run, due)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_the_queue_of_their_rule_in_the_envelope_the_function_reads() {
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let settings = stand_in.set_up("bus", &["flow"]).await;
    let (aws, clients) = (stand_in.aws(&settings).await, stand_in.clients().await);
    let bridge = clients.eventbridge();
    let pattern = r#"{"detail-type":["go"]}"#;
    bridge.put_rule().name("go").event_bus_name("bus").event_pattern(pattern).send().await.unwrap();
    let target = Target::builder().id("q").arn(&settings.queues["flow"].arn).build().unwrap();
    bridge.put_targets().rule("go").event_bus_name("bus").targets(target).send().await.unwrap();
    let event = |n: usize| Envelope {
        id: format!("e-{n}"),
        name: if n == 3 { "stop".into() } else { "go".into() },
        data: serde_json::json!({"n": n}),
        sent_at: Timestamp::from_second(1_800_000_000).unwrap(),
    };
    let events: Vec<_> = (0..25).map(event).collect();
    stand_in.wire.take();
    aws.publish(&events).await.unwrap();
    assert_eq!(stand_in.wire.take().get("PutEvents"), Some(&3));
    let bodies = receive(&clients, &settings, "flow", 24, Duration::from_secs(20)).await;
    let mut received: Vec<Envelope> = bodies
        .iter()
        .map(|body| {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!((&body["source"], &body["detail-type"]), (&"durable".into(), &"go".into()));
            serde_json::from_value(body["detail"].clone()).unwrap()
        })
        .collect();
    received.sort_by_key(|event| event.data["n"].as_u64());
    let sent: Vec<_> = events.into_iter().filter(|event| event.name == "go").collect();
    assert_eq!(received, sent);
}
