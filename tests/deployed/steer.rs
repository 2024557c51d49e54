//! The command line over the deployed stack, as a person with its credentials uses it.

use serde_json::{Value, json};

use crate::stack::{Stack, eventually};

pub(crate) async fn from_the_command_line(stack: &Stack) {
    events_say_why_they_started_nothing(stack).await;
    some_runs_are_seen_before_they_are_cancelled(stack).await;
    a_workflow_is_paused_and_goes_on(stack);
    a_poison_message_is_a_dead_letter_with_its_reason(stack).await;

    let health = stack.command(&["health"]);
    assert_eq!(health["queues"].as_array().unwrap().len(), 5, "{health}");
    let keys = stack.command(&["keys", "whatsapp"]);
    assert!(keys["concurrency"].is_array() && keys["throttles"].is_array(), "{keys}");
    let audit = stack.command(&["audit"]);
    let deeds: Vec<_> =
        audit.as_array().unwrap().iter().map(|line| line["action"].as_str().unwrap()).collect();
    for deed in ["cancel", "pause", "resume", "discard"] {
        assert!(deeds.contains(&deed), "{deed} is not in the audit trail: {deeds:?}");
    }
    let who = audit[0]["who"].as_str().unwrap();
    assert!(who.starts_with("cli:"), "{who}");
}

async fn events_say_why_they_started_nothing(stack: &Stack) {
    stack.send("unheard/of", "unheard", &json!({}));
    let event = eventually("the event is on record", async || {
        let found = stack.command(&["events", "--name", "unheard/of"]);
        found.as_array().unwrap().iter().find(|event| event["id"] == "unheard").cloned()
    });
    assert_eq!(event.await["why_none"], "no workflow starts with unheard/of");
}

/// One of two builds of an agent is at work, and holds its key; the other waits for it.
async fn some_runs_are_seen_before_they_are_cancelled(stack: &Stack) {
    let data = json!({"agent_name": "unwanted"});
    for id in ["unwanted 1", "unwanted 2"] {
        stack.send("agent/build.requested", id, &data);
    }
    let some = ["cancel", "--key", "build-agent:unwanted"];
    let dry = eventually("both are there", async || {
        let dry = stack.command(&[&some[..], &["--dry-run"]].concat());
        (dry["runs"].as_array().unwrap().len() == 2).then_some(dry)
    })
    .await;
    let done = stack.command(&some);
    assert_eq!((&done["runs"], &done["failed"], &dry["dry_run"]), (&dry["runs"], &json!([]), &json!(true)));
    for run in dry["runs"].as_array().unwrap() {
        assert_eq!(stack.ended(run.as_str().unwrap()).await["status"], "cancelled");
    }
}

fn a_workflow_is_paused_and_goes_on(stack: &Stack) {
    let is_paused = || {
        let workflows = stack.command(&["workflows"]);
        let of = |workflow: &&Value| workflow["workflow"] == "sync-databases";
        let workflow =
            workflows.as_array().unwrap().iter().find(of).unwrap_or_else(|| panic!("{workflows:#}"));
        !workflow["pause"].is_null()
    };
    assert!(!is_paused());
    stack.command(&["pause", "sync-databases"]);
    assert!(is_paused());
    stack.command(&["resume", "sync-databases"]);
    assert!(!is_paused());
}

/// The last time that it is delivered, the function puts it there itself: SQS would keep no reason.
async fn a_poison_message_is_a_dead_letter_with_its_reason(stack: &Stack) {
    let record = json!({
        "messageId": "poison", "receiptHandle": "r", "eventSource": "aws:sqs", "awsRegion": "us-east-1",
        "body": json!({"phone": "0821234567"}).to_string(), "attributes": {"ApproximateReceiveCount": "5"},
    });
    let (function, payload) = (&stack.resources["SyncDatabasesFunction"], json!({ "Records": [record] }));
    let answer = stack.call(&json!({"call": "invoke", "function": function, "payload": payload}));
    assert_eq!(answer["answer"]["batchItemFailures"], json!([]), "{answer}");
    let letters = || stack.command(&["dead-letters", "--workflow", "sync-databases"]);
    let letter = letters()[0].clone();
    let reason = letter["reason"].as_str().unwrap_or_else(|| panic!("{letter}"));
    assert!(reason.starts_with("the message is an object with the fields [phone]"), "{reason}");
    // SQS was told twice, as always here.
    eventually("they are gone", async || {
        let letters = letters();
        for letter in letters.as_array().unwrap() {
            stack.command(&["discard", letter["id"].as_str().unwrap()]);
        }
        (letters == json!([])).then_some(())
    })
    .await;
}
