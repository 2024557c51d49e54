//! Every sample in events/ is what its function is really given, and its function understands it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{collections::BTreeMap, fs};

use aws_lambda_events::{event::sqs::SqsEvent, lambda_function_urls::LambdaFunctionUrlRequest};
use durable::{Definition, Envelope};
use orchestrator::{Answer, Decision, Registry, Task, route};
use serde_json::{Value, json};
use system_tests::{definitions, file};

/// The samples by `function/kind`.
fn samples() -> BTreeMap<String, Value> {
    let mut samples = BTreeMap::new();
    for function in fs::read_dir(file("events")).unwrap() {
        let function = function.unwrap();
        for sample in fs::read_dir(function.path()).unwrap() {
            let path = sample.unwrap().path();
            let kind = path.file_stem().unwrap().to_str().unwrap();
            let name = format!("{}/{kind}", function.file_name().to_str().unwrap());
            let json = serde_json::from_str(&fs::read_to_string(&path).unwrap());
            samples.insert(name.clone(), json.unwrap_or_else(|error| panic!("{name}: {error}")));
        }
    }
    samples
}

/// The event in a message of EventBridge's: whole in its detail when a workflow sent it, else the detail is its data.
fn event(message: &Value) -> (String, Value) {
    for field in ["version", "id", "detail-type", "source", "account", "time", "region"] {
        assert!(message[field].is_string(), "{field}: {message}");
    }
    assert!(message["resources"].is_array());
    let name = message["detail-type"].as_str().unwrap().to_owned();
    if message["source"] != "durable" {
        return (name, message["detail"].clone());
    }
    let envelope: Envelope = serde_json::from_value(message["detail"].clone()).unwrap();
    assert_eq!(envelope.name, name, "rules match on the name outside");
    (name, envelope.data)
}

fn starts(definition: &Definition, (name, data): &(String, Value)) {
    assert!(definition.events.contains(name), "{}: {name}", definition.name);
    definition.check(data).unwrap_or_else(|error| panic!("{}: {error}", definition.name));
}

#[test]
fn each_workflow_has_a_sample_of_each_of_its_events() {
    let samples = samples();
    for definition in definitions().unwrap() {
        let mut seen = Vec::new();
        for (name, sample) in &samples {
            if name.starts_with(&format!("{}/eventbridge", definition.name)) {
                let event = event(sample);
                starts(&definition, &event);
                seen.push(event.0);
            }
        }
        seen.sort_unstable();
        let mut events = definition.events.clone();
        events.sort_unstable();
        assert_eq!(seen, events, "{}", definition.name);

        let bare = &samples[&format!("{}/bare", definition.name)];
        starts(&definition, &(bare["name"].as_str().unwrap().to_owned(), bare["data"].clone()));
        assert!(bare.as_object().unwrap().keys().all(|key| ["name", "data", "id"].contains(&key.as_str())));
    }
}

#[test]
fn one_record_of_the_batch_is_bad_and_the_others_are_good() {
    let batch: SqsEvent = serde_json::from_value(samples()["send-whatsapp/batch"].clone()).unwrap();
    let definition = send_whatsapp::workflow().definition().clone();
    let mut bad = Vec::new();
    for record in &batch.records {
        match serde_json::from_str::<Value>(record.body.as_ref().unwrap()) {
            Ok(body) => starts(&definition, &event(&body)),
            Err(_) => bad.push(record.message_id.clone().unwrap()),
        }
    }
    assert_eq!((batch.records.len(), bad.len()), (3, 1));
}

#[test]
fn schedules_and_wake_ups_are_messages_of_ours() {
    let samples = samples();
    let schedule = &samples["sync-databases/schedule"];
    assert_eq!((&schedule["durable"], &schedule["workflow"]), (&json!("schedule"), &json!("sync-databases")));
    let is_sync = |definition: &Definition| definition.name == "sync-databases";
    let sync = definitions().unwrap().into_iter().find(is_sync).unwrap();
    assert!(sync.schedule.is_some() && sync.check(&json!({})).is_ok());
    let at = schedule["time"].as_str().unwrap();
    assert!(at.ends_with("T06:00:00Z"), "{at}: one of the schedule's times");
    let wake = &samples["evaluate-foto/wake"];
    assert_eq!((&wake["durable"], wake["run"].as_str().unwrap().len()), (&json!("wake"), 32));
}

#[test]
fn tasks_are_routed_or_queued() {
    let (samples, registry) = (samples(), Registry::shipped().unwrap());
    let decide = |task: &Value| route(&registry, &Task::from_json(task).unwrap()).unwrap();
    let routed = decide(&samples["orchestrator/task"]);
    assert!(matches!(routed, Decision::Answer(Answer::Routed { .. })), "{routed:?}");
    let several = decide(&samples["orchestrator/task-ambiguous"]);
    assert!(matches!(several, Decision::Answer(Answer::MultipleMatches { .. })), "{several:?}");

    // A queued task starts a workflow, when its name is that of an event one listens to.
    let queued = &samples["orchestrator/task-queued"];
    let Decision::Queue(name) = decide(queued) else { panic!("not queued") };
    starts(build_agent::workflow().definition(), &(name, queued.clone()));
}

#[test]
fn a_request_to_the_url_carries_a_task() {
    let sample = samples()["orchestrator/url"].clone();
    let request: LambdaFunctionUrlRequest = serde_json::from_value(sample).unwrap();
    assert_eq!(request.request_context.http.method.as_deref(), Some("POST"));
    assert!(request.request_context.authorizer.is_some(), "it was signed");
    let task = serde_json::from_str(&request.body.unwrap()).unwrap();
    let decision = route(&Registry::shipped().unwrap(), &Task::from_json(&task).unwrap()).unwrap();
    assert_eq!(decision, Decision::Queue("vps-monitor/audit".to_owned()));
}

#[test]
fn every_sample_is_known() {
    let folders: Vec<_> =
        samples().into_keys().map(|name| name.split('/').next().unwrap().to_owned()).collect();
    for function in fs::read_dir(file("functions")).unwrap() {
        let function = function.unwrap().file_name().into_string().unwrap();
        assert!(folders.contains(&function), "events/ has no sample for {function}");
    }
    assert_eq!(samples()["caretaker/schedule"], json!({}), "the caretaker reads nothing");
}

#[test]
fn the_recorder_is_given_events_of_every_kind() {
    let batch: SqsEvent = serde_json::from_value(samples()["recorder/batch"].clone()).unwrap();
    let names = batch.records.iter().map(|message| {
        let message: Value = serde_json::from_str(message.body.as_deref().unwrap()).unwrap();
        event(&message).0
    });
    assert_eq!(names.collect::<Vec<_>>(), ["whatsapp/message.queued", "agent/build.requested"]);
}
