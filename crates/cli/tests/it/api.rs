//! The HTTP interface, and what bad input gets.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::rig::{Dev, Home, Services, answer};

async fn server() -> (Home, Services, Dev) {
    let (home, services) = (Home::new(), Services::start(6000, 2).await);
    let dev = Dev::start(&home, &services, &["--time-scale", "600"]).await;
    (home, services, dev)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_accepted_once_and_its_run_can_be_watched() {
    let (_home, services, dev) = server().await;
    let event = json!({
        "name": "whatsapp/message.queued", "id": "m-1", "data": { "phone": "082 123 4567", "message": "Hello" },
    });
    let (status, accepted) = dev.post("/events", event.to_string()).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!((&accepted["event_id"], &accepted["duplicate"]), (&json!("m-1"), &json!(false)));
    assert_eq!((&accepted["starts"], accepted.get("message")), (&json!(["send-whatsapp"]), None));
    let id = accepted["runs"][0].as_str().unwrap();

    let (status, again) = dev.post("/events", event.to_string()).await;
    assert_eq!(
        (status, &again["duplicate"], &again["runs"]),
        (StatusCode::ACCEPTED, &json!(true), &accepted["runs"])
    );

    let run = dev.ended(id).await;
    assert_eq!((&run["status"], &run["event"]["data"]), (&json!("completed"), &event["data"]));
    let steps: Vec<_> = run["steps"].as_array().unwrap().iter().map(|step| &step["name"]).collect();
    assert_eq!(steps, ["check-service", "send-message"]);
    assert_eq!(services.sandbox.whatsapp().messages().len(), 1);

    let (_, listed) = dev.get("/runs?workflow=send-whatsapp&status=completed&limit=1").await;
    assert_eq!(listed[0]["run_id"], id);
    assert_eq!(dev.get("/runs?status=failed").await.1, json!([]));
    assert_eq!(dev.post(&format!("/runs/{id}/cancel"), "").await.0, StatusCode::CONFLICT);
    assert!(!dev.log().contains("82123") && !dev.log().contains("082 123"), "{}", dev.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_an_answer_that_names_the_field() {
    let (_home, _services, dev) = server().await;
    let large = format!(r#"{{"name": "x", "data": "{}"}}"#, "x".repeat(2_000_000));
    let larger = format!(r#"{{"name": "x", "data": "{}"}}"#, "x".repeat(8_000_000));
    for (path, body, status, field) in [
        ("/events", "{", 400, Value::Null),
        ("/events", "", 400, Value::Null),
        ("/events", "[]", 422, json!("event")),
        ("/events", r#"{"data": {}}"#, 422, json!("name")),
        ("/events", r#"{"name": "agent/build.requested"}"#, 422, json!("data")),
        ("/events", r#"{"name": "agent/build.requested", "data": {}}"#, 422, json!("agent_name")),
        (
            "/events",
            r#"{"name": "whatsapp/message.queued", "data": {"phone": 12, "message": "x"}}"#,
            422,
            json!("phone"),
        ),
        ("/events", r#"{"name": "", "data": {}}"#, 422, json!("name")),
        ("/events", r#"{"name": "x", "data": {}, "id": 7}"#, 422, json!("id")),
        ("/events", &large, 413, json!("data")),
        ("/tasks", "nonsense", 400, Value::Null),
        ("/tasks", "[]", 422, json!("task")),
        ("/tasks", r#"{"estimated_duration": "long"}"#, 422, json!("estimated_duration")),
        ("/tasks", r#"{"estimated_duration": 90}"#, 422, json!("agent")),
        (
            "/tasks",
            r#"{"estimated_duration": 90, "agent": "agent", "action": "build.requested"}"#,
            422,
            json!("agent_name"),
        ),
    ] {
        let (got, problem) = dev.post(path, body.to_owned()).await;
        let shown = &body[..body.len().min(80)];
        assert_eq!((got.as_u16(), &problem["field"]), (status, &field), "{path} {shown}: {problem}");
        assert!(!problem["error"].as_str().unwrap().is_empty());
    }
    // The server may stop reading before all was sent, so that the sender is cut off.
    if let Ok(answer) = dev.request(Method::POST, "/events").body(larger).send().await {
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    for (path, status) in
        [("/runs?status=lost", 400), ("/runs?limit=all", 400), ("/runs/none", 404), ("/none", 404)]
    {
        assert_eq!(dev.get(path).await.0.as_u16(), status, "{path}");
    }
    assert_eq!(dev.get("/events").await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(dev.get("/runs").await.1, json!([]), "nothing was accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_event_is_recorded_and_the_answer_says_that_it_starts_nothing() {
    let (_home, _services, dev) = server().await;
    let event = json!({ "name": "unheard/of", "id": "u-1", "data": [1, 2] }).to_string();
    let (status, accepted) = dev.post("/events", event.clone()).await;
    assert_eq!((status, &accepted["runs"]), (StatusCode::ACCEPTED, &json!([])));
    assert!(accepted["message"].as_str().unwrap().contains("no workflow listens to unheard/of"));
    assert_eq!(dev.post("/events", event).await.1["duplicate"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_known_before_fails_the_run_before_anything_is_sent() {
    let (_home, services, dev) = server().await;
    let run = dev.send("whatsapp/message.queued", json!({ "phone": "12", "message": "x" })).await;
    let run = dev.ended(&run).await;
    assert_eq!((&run["status"], run["steps"].as_array().map(Vec::len)), (&json!("failed"), Some(0)));
    assert!(run["error"]["message"].as_str().unwrap().starts_with("phone: expected"));
    assert_eq!(services.sandbox.whatsapp().requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_without_settings_is_left_out_and_its_runs_wait() {
    let (_home, _services, dev) = server().await;
    let (_, health) = dev.get("/health").await;
    let reason = |name: &str| {
        let workflows = health["workflows"].as_array().unwrap();
        workflows.iter().find(|workflow| workflow["name"] == name).unwrap()["left_out"].clone()
    };
    assert_eq!((&health["status"], reason("build-agent")), (&json!("ok"), Value::Null));
    assert_eq!(reason("sync-databases"), "NEON_DATABASE_URL is missing");
    assert!(dev.log().contains("sync-databases: NEON_DATABASE_URL is missing"));

    let event = json!({ "name": "databases/sync.requested", "data": {} }).to_string();
    let (status, accepted) = dev.post("/events", event).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert!(accepted["message"].as_str().unwrap().contains("NEON_DATABASE_URL is missing"));
    let path = format!("/runs/{}", accepted["runs"][0].as_str().unwrap());
    assert_eq!(dev.get(&path).await.1["status"], "queued");
    let (status, cancelled) = dev.post(&format!("{path}/cancel"), "").await;
    assert_eq!((status, &cancelled["status"]), (StatusCode::OK, &json!("cancelled")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_orchestrator_answers_at_once_and_queues_what_takes_long() {
    let (_home, services, dev) = server().await;
    let (status, answer) = dev.post("/tasks", r#"{"description": "CPU of the VPS"}"#).await;
    assert_eq!(
        (status, &answer["status"], &answer["agent"]["id"]),
        (StatusCode::OK, &json!("routed"), &json!("vps-monitor"))
    );

    let task = json!({
        "id": "t-1", "agent": "agent", "action": "build.requested", "estimated_duration": 1500, "agent_name": "sharepoint",
    });
    let (status, answer) = dev.post("/tasks", task.to_string()).await;
    assert_eq!((status, answer), (StatusCode::ACCEPTED, json!({ "status": "queued", "id": "t-1" })));
    let (_, runs) = dev.get("/runs?workflow=build-agent").await;
    let run = dev.ended(runs[0]["run_id"].as_str().unwrap()).await;
    assert_eq!((&run["status"], &run["event"]["data"]), (&json!("completed"), &task));
    // Initialized, two features, deployed.
    assert_eq!(services.sandbox.harness().sessions().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_elsewhere_cannot_steer_it() {
    let (_home, _services, dev) = server().await;
    let event = json!({ "name": "agent/build.requested", "data": { "agent_name": "x" } }).to_string();
    let post = |name: &str, value: &str| {
        let request = dev.request(Method::POST, "/events").header(name, value).body(event.clone());
        answer(request)
    };
    for (name, value) in [
        ("host", "evil.example"),
        ("host", "localhost.evil.example:80"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let (status, problem) = post(name, value).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{name}: {value}: {problem}");
    }
    assert_eq!(dev.get("/runs").await.1, json!([]), "nothing was accepted");
    let own = dev.url.clone();
    for (name, value) in [("host", "localhost:1"), ("host", "[::1]"), ("origin", own.as_str())] {
        assert_eq!(post(name, value).await.0, StatusCode::ACCEPTED, "{name}: {value}");
    }
}
