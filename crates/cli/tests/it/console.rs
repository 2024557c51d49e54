//! The console of the local server, over the real store.

use std::time::Instant;

use reqwest::{Method, StatusCode, header};
use serde_json::json;

use crate::rig::{Dev, Home, LONG, Services, eventually};

async fn server() -> (Home, Services, Dev) {
    let (home, services) = (Home::new(), Services::start(6000, 2).await);
    let dev = Dev::start(&home, &services, &["--time-scale", "600"]).await;
    (home, services, dev)
}

async fn page(dev: &Dev, path: &str) -> (StatusCode, String) {
    let answer = dev.request(Method::GET, path).header(header::ACCEPT, "text/html").send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_pages_and_programs_get_json_of_the_same_runs() {
    let (home, _services, dev) = server().await;
    let (status, html) = page(&dev, "/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("No runs yet"), "{html}");
    assert!(
        page(&dev, "/none").await.1.contains("no such address"),
        "what is none of the console's is as before"
    );

    let event = json!({
        "name": "whatsapp/message.queued", "id": "m-1", "data": {"phone": "082 123 4567", "message": "Hello"},
    });
    let sent = dev.request(Method::POST, "/api/v1/events").json(&event).send().await.unwrap();
    assert_eq!(sent.status(), StatusCode::ACCEPTED);
    let run = home.json(&["runs"])[0]["run_id"].as_str().unwrap().to_owned();
    dev.ended(&run).await;
    let (_, listed) = dev.get("/api/v1/runs?status=completed&q=m-1").await;
    assert_eq!((&listed["items"][0]["run_id"], &listed["next"]), (&json!(run), &json!(null)));
    let (_, html) = page(&dev, &format!("/console/runs/{run}")).await;
    assert!(html.contains("send-message") && html.contains("082•••••4567"), "{html}");
    assert!(!html.contains("Hello") && !html.contains("082 123 4567"), "sensitive fields are masked: {html}");
    let (_, numbers) = dev.get("/api/v1/statistics?hours=1").await;
    assert!(
        numbers
            .as_array()
            .unwrap()
            .iter()
            .any(|of| of["workflow"] == "send-whatsapp" && of["completed"] == 1)
    );
    let (_, health) = dev.get("/api/v1/health").await;
    assert_eq!((&health["status"], &health["worker"]), (&json!("ok"), &json!(true)), "{health}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_run_again_and_a_paused_workflow_waits() {
    let (home, services, dev) = server().await;
    let post = async |path: &str| dev.request(Method::POST, path).send().await.unwrap().status();
    let run = dev.send("whatsapp/message.queued", json!({"phone": "0821234567", "message": "Hello"})).await;
    dev.ended(&run).await;
    assert_eq!(post("/api/v1/workflows/send-whatsapp/pause").await, StatusCode::OK);
    assert_eq!(post(&format!("/api/v1/runs/{run}/rerun")).await, StatusCode::ACCEPTED);
    eventually("the run waits for the end of the pause", LONG, async || {
        let (_, waits) = dev.get("/api/v1/runs?status=queued").await;
        Some(()).filter(|()| waits["items"][0]["waits_for"][0]["kind"] == "paused")
    })
    .await;
    assert_eq!(services.sandbox.whatsapp().messages().len(), 1);
    assert_eq!(post("/api/v1/workflows/send-whatsapp/resume").await, StatusCode::OK);
    eventually("the message is sent again", LONG, async || {
        Some(()).filter(|()| services.sandbox.whatsapp().messages().len() == 2)
    })
    .await;
    let (_, audit) = dev.get("/api/v1/audit").await;
    let actions: Vec<_> = audit["items"].as_array().unwrap().iter().map(|line| &line["action"]).collect();
    assert_eq!(actions, ["resume", "rerun", "pause"]);
    drop(home);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_does_not_keep_the_server_from_stopping() {
    let (_home, _services, dev) = server().await;
    let mut stream = dev.request(Method::GET, "/api/v1/runs/stream").send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some(), "it tells how things stand at once");
    let began = Instant::now();
    assert_eq!(dev.stop().await.code(), Some(0));
    assert!(began.elapsed().as_secs() < 4, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_elsewhere_cannot_steer_the_console() {
    let (_home, _services, dev) = server().await;
    for (name, value) in [
        ("host", "evil.example"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        for path in ["/api/v1/workflows/build-agent/pause", "/console/workflows/build-agent/pause"] {
            let answer = dev.request(Method::POST, path).header(name, value).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path} {name}: {value}");
        }
    }
    let (_, workflows) = dev.get("/api/v1/workflows").await;
    assert!(workflows.as_array().unwrap().iter().all(|workflow| workflow["paused_since"].is_null()));
}

#[test]
fn a_link_that_signs_in_is_made_with_the_consoles_key() {
    let home = Home::new();
    let key = "0123456789abcdef0123456789abcdef";
    let link = home.run(&[
        "console-link",
        "https://console.example",
        "--name",
        "ana@example.com",
        "--session-key",
        key,
    ]);
    assert!(link.starts_with("https://console.example/console/sign-in#") && !link.contains(key), "{link}");
    let arguments = ["console-link", "http://console.example", "--name", "ana", "--session-key", key];
    assert!(home.fails(2, &arguments).contains("expected https://NAME"));
    let arguments = ["console-link", "https://console.example", "--name", "ana", "--session-key", "short"];
    assert!(home.fails(1, &arguments).contains("session key: expected 32"));
}
