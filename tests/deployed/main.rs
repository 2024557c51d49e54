//! The real template on a local AWS: MiniStack runs the compiled functions, over their real clients, against stand-ins for
//! FibreFlow's services and a real PostgreSQL. Every event, and every message that a function or the worker sends to a queue, is
//! delivered twice. The harness (a command on a real git repository), the model and WhatsApp are reached by the worker, a process
//! of its own, and by nobody else: no function knows where they are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod console;
mod stack;
mod steer;

use fibreflow::sandbox::Fault;
use serde_json::json;

use stack::{REGISTRIES, Stack, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn the_deployed_template_carries_every_workflow_to_its_end() {
    let mut stack = Stack::deploy().await;
    every_workflow_completes(&stack).await;
    a_task_that_takes_long_becomes_an_event(&stack).await;
    a_new_registry_is_taken_up_without_a_deployment(&stack).await;
    a_process_that_dies_in_the_middle_of_a_step_loses_nothing(&stack).await;
    a_worker_that_dies_in_the_middle_of_a_send_sends_nothing_twice(&mut stack).await;
    a_malformed_message_fails_alone(&stack);
    console::shows_and_steers(&stack).await;
    console::lets_nobody_in_who_is_not_named(&stack);
    steer::from_the_command_line(&stack).await;
    a_switch_that_is_flipped_stops_what_is_sent(&stack).await;
    an_outage_is_one_alert(&stack).await;
    let sent_twice = stack.sent_twice();
    for kind in ["wake", "job", "answer"] {
        assert!(sent_twice.iter().any(|sent| sent == kind), "no {kind} was sent twice: {sent_twice:?}");
    }
    stack.neon.stop().await.unwrap();
}

async fn every_workflow_completes(stack: &Stack) {
    let events = [
        ("agent/build.requested", json!({"agent_name": "sharepoint"})),
        ("databases/sync.requested", json!({})),
        ("whatsapp/message.queued", json!({"phone": "0821234567", "message": "hello"})),
        (
            "foto/evaluation.requested",
            json!({"image_url": "s3://fibreflow-photos/DR1733758/house.jpg", "contractor_phone": "0831112222"}),
        ),
    ];
    let runs: Vec<_> = events
        .iter()
        .map(|(name, data)| stack.send(name, &format!("first {name}"), data).remove(0))
        .collect();
    let built = &runs[0];
    let group = &stack.resources["WakeUps"];
    eventually("a one-time schedule is to end the pause of the build", async || {
        let schedules = stack.call(&json!({"call": "schedules", "group": group}));
        let names = schedules.as_array().unwrap().iter().filter_map(|name| name.as_str());
        names.into_iter().any(|name| name.starts_with(built.as_str())).then_some(())
    })
    .await;
    a_person_approves(stack, &runs[3]).await;
    for run in &runs {
        let run = stack.ended(run).await;
        assert_eq!(run["status"], "completed", "{run:#}");
    }
    // The contractor's message is a run of its own, started by the event that the evaluation sent.
    let messages = eventually("both messages go out", async || {
        let messages = stack.sandbox.whatsapp().messages();
        (messages.len() >= 2).then_some(messages)
    });
    let mut texts: Vec<_> = messages.await.into_iter().map(|message| message.text).collect();
    texts.sort();
    assert!(texts[0].starts_with("DR1733758: ") && texts[1] == "hello" && texts.len() == 2, "{texts:?}");

    let each_once = ["initializer", "coding 1", "features", "coding 2", "features", "deploy", "smoke"];
    assert_eq!(stack.sessions(), each_once, "though each event and each job came twice");
    assert_eq!(stack.commits("sharepoint"), ["feature 2", "feature 1", "initialize"]);
    assert!(stack.sandbox.convex().rows("contractors").len() > 50);
    assert_eq!(stack.sandbox.slack().texts().len(), 1);
    assert_eq!(stack.sandbox.vlm().calls(), 1);
}

/// The evaluation waits for the event that says so.
pub(crate) async fn a_person_approves(stack: &Stack, run: &str) {
    eventually("the evaluation waits for a person", async || {
        let waits = stack.shown(run)?["waiting_for"].to_string();
        waits.contains("foto/review.decided").then_some(())
    })
    .await;
    let (id, decision) = (format!("review of {run}"), json!({"dr_number": "DR1733758", "approved": true}));
    stack.send("foto/review.decided", &id, &decision);
}

async fn a_task_that_takes_long_becomes_an_event(stack: &Stack) {
    let task = json!({
        "id": "task-1", "agent": "whatsapp", "action": "message.queued", "estimated_duration": 90,
        "phone": "0821234567", "message": "from a task",
    });
    let order =
        json!({"call": "invoke", "function": stack.resources["OrchestratorFunction"], "payload": task});
    let answer = stack.call(&order);
    assert_eq!(answer["answer"], json!({"status": "queued", "id": "task-1"}), "{answer}");
    eventually("the task's message goes out", async || {
        let messages = stack.sandbox.whatsapp().messages();
        messages.iter().any(|message| message.text == "from a task").then_some(())
    })
    .await;
}

async fn a_new_registry_is_taken_up_without_a_deployment(stack: &Stack) {
    let route = || {
        let (function, task) =
            (&stack.resources["OrchestratorFunction"], json!({"description": "make coffee"}));
        let answer = stack.call(&json!({"call": "invoke", "function": function, "payload": task}));
        assert!(answer["error"].is_null(), "{answer}");
        answer["answer"].clone()
    };
    assert_eq!(route()["status"], "no_match", "the one that is there at first");
    let registry =
        json!({"agents": [{"id": "barista", "name": "Barista", "status": "active", "triggers": ["coffee"]}]});
    let text = registry.to_string();
    stack.call(&json!({"call": "object", "bucket": REGISTRIES, "key": "registry.json", "text": text}));
    let answer = eventually("the new one is taken up", async || {
        Some(route()).filter(|answer| answer["status"] == "routed")
    });
    assert_eq!(answer.await["agent"]["id"], "barista");
}

/// The lease ends, the caretaker wakes the run, and the run goes on.
async fn a_process_that_dies_in_the_middle_of_a_step_loses_nothing(stack: &Stack) {
    let convex = stack.sandbox.convex();
    let (asked, told) = (convex.requests(), stack.sandbox.slack().texts().len());
    convex.break_down(Fault::Hang, Some(1));
    let run = stack.send("databases/sync.requested", "cut off", &json!({})).remove(0);
    let function = &stack.resources["SyncDatabasesFunction"];
    eventually("a request is under way", async || {
        (convex.requests() > asked).then(|| stack.process_of(function)).flatten()
    })
    .await;
    // Both deliveries may have a process: none survives.
    while let Some(process) = stack.process_of(function) {
        let killed = std::process::Command::new("kill").args(["-9", &process.to_string()]).status().unwrap();
        assert!(killed.success());
    }
    let run = stack.ended(&run).await;
    assert_eq!((&run["status"], &run["output"]["changed"]), (&json!("completed"), &json!(0)), "{run:#}");
    assert_eq!(stack.sandbox.slack().texts().len(), told + 1, "Slack is told once");
}

/// Nobody can tell whether it went out: nobody sends it again without looking.
async fn a_worker_that_dies_in_the_middle_of_a_send_sends_nothing_twice(stack: &mut Stack) {
    let asked = stack.sandbox.whatsapp().requests();
    stack.sandbox.whatsapp().break_down(Fault::Hang, Some(1));
    let data = json!({"phone": "0845556666", "message": "cut off"});
    let run = stack.send("whatsapp/message.queued", "cut off", &data).remove(0);
    // The service's health, and the send.
    eventually("the send is under way", async || {
        (stack.sandbox.whatsapp().requests() >= asked + 2).then_some(())
    })
    .await;
    stack.restart_worker();
    let run = stack.ended(&run).await;
    let sent = stack.sandbox.whatsapp().messages().iter().filter(|message| message.text == "cut off").count();
    assert_eq!((&run["status"], sent), (&json!("completed"), 1), "{run:#}");
    let names: Vec<_> = run["steps"].as_array().unwrap().iter().map(|step| step["name"].clone()).collect();
    assert!(names.contains(&json!("find-message")), "it is looked for first: {names:?}");
}

fn a_malformed_message_fails_alone(stack: &Stack) {
    let good = std::fs::read_to_string(system_tests::file("events/send-whatsapp/batch.json")).unwrap();
    let batch: serde_json::Value = serde_json::from_str(&good).unwrap();
    let order =
        json!({"call": "invoke", "function": stack.resources["SendWhatsappFunction"], "payload": batch});
    let answer = stack.call(&order);
    let failures = answer["answer"]["batchItemFailures"].as_array().unwrap();
    assert_eq!(failures.len(), 1, "{answer}");
}

/// Without a deployment: a note in the table.
async fn a_switch_that_is_flipped_stops_what_is_sent(stack: &Stack) {
    let flip = |text: &str| {
        let table = &stack.resources["Table"];
        stack.call(&json!({"call": "note", "table": table, "name": "whatsapp", "text": text}));
    };
    flip("banned again");
    let data = json!({"phone": "0821234567", "message": "not now"});
    let run = stack.send("whatsapp/message.queued", "switched off", &data).remove(0);
    eventually("the message waits for the switch", async || {
        let waits = |step: &serde_json::Value| step["name"] == "wait-for-the-switch";
        stack.shown(&run)?["steps"].as_array().unwrap().iter().any(waits).then_some(())
    })
    .await;
    let sent = || stack.sandbox.whatsapp().messages().iter().filter(|sent| sent.text == "not now").count();
    assert_eq!(sent(), 0);
    flip("on");
    let run = stack.ended(&run).await;
    assert_eq!((&run["status"], sent()), (&json!("completed"), 1), "{run:#}");
}

/// Somebody is told, elsewhere, and once, though each event came twice. The message waits on.
async fn an_outage_is_one_alert(stack: &Stack) {
    stack.sandbox.whatsapp().break_down(Fault::LoggedOut, None);
    let data = json!({"phone": "0821234567", "message": "nobody is paired"});
    let run = stack.send("whatsapp/message.queued", "logged out", &data).remove(0);
    let alerts = || {
        let texts = stack.sandbox.slack().texts();
        texts.into_iter().filter(|text| text.starts_with("WhatsApp is logged out")).count()
    };
    eventually("an alert", async || (alerts() > 0).then_some(())).await;
    let shown = stack.shown(&run).unwrap();
    assert_eq!((alerts(), &shown["status"]), (1, &json!("waiting")), "{shown:#}");
}
