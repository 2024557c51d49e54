//! Requests.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::any,
};
use durable::{ErrorKind, Result};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use worker::Config;

use crate::rig::Rig;

const SECRET: &str = "bridge-secret-1";

/// A service that echoes what it was asked, and goes astray where it is asked to.
async fn service() -> (String, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let log = seen.clone();
    let answer = move |request: Request| {
        let log = log.clone();
        async move {
            let path = request.uri().to_string();
            log.lock().unwrap().push(path.clone());
            let headers: Vec<_> = request
                .headers()
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            match request.uri().path() {
                "/api/away" => (StatusCode::FOUND, [(header::LOCATION, "/secret")]).into_response(),
                "/api/busy" => {
                    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "7")], "busy").into_response()
                }
                "/api/bytes" => vec![0xff_u8, 0xd8, 0].into_response(),
                "/api/hang" => std::future::pending().await,
                _ => {
                    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
                    format!("{path}\n{}\n{}", headers.join("\n"), String::from_utf8_lossy(&body))
                        .into_response()
                }
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/api", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(answer))).await });
    (address, seen)
}

fn config(rig: &Rig, base: &str) -> Config {
    std::fs::write(rig.path("key"), SECRET).unwrap();
    rig.config(&format!(
        "[services.bridge]\nbase = \"{base}\"\nheaders = {{ x-bridge-secret = {{ file = \"{}\" }} }}",
        rig.path("key").display()
    ))
}

async fn ask(rig: &Rig, config: &Config, request: Value) -> Result<Value> {
    let mut asked = json!({"service": "bridge", "method": "GET", "path": "/", "largest": 100_000});
    asked.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    let mut job = rig.job(&serde_json::from_value(json!({"http": asked})).unwrap());
    job.limit_ms = 2000;
    rig.done(config, &job).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_carries_the_secret_that_only_the_worker_has_and_the_answer_does_not() {
    let rig = Rig::new();
    let (base, _) = service().await;
    let config = config(&rig, &base);
    let asked = json!({"method": "POST", "path": "/send?x=1", "body": {"text": "{\"a\":1}"},
                       "headers": {"x-bridge-secret": "guessed", "idempotency-key": "k"}});
    let answer = ask(&rig, &config, asked).await.unwrap();
    assert_eq!(answer["status"], 200);
    let said = answer["body"]["text"].as_str().unwrap();
    assert!(said.starts_with("/api/send?x=1\n") && said.ends_with("{\"a\":1}"), "{said}");
    assert!(said.contains("idempotency-key: k") && said.contains("x-bridge-secret: [secret]"), "{said}");
    assert!(!answer.to_string().contains(SECRET) && !said.contains("guessed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_comes_back_as_it_is() {
    let rig = Rig::new();
    let (base, _) = service().await;
    let config = config(&rig, &base);
    let busy = ask(&rig, &config, json!({"path": "/busy"})).await.unwrap();
    assert_eq!((&busy["status"], &busy["headers"]["retry-after"]), (&json!(503), &json!("7")));
    let bytes = ask(&rig, &config, json!({"path": "/bytes"})).await.unwrap();
    assert_eq!(bytes["body"], json!({"base64": "/9gA"}));
    let cut = ask(&rig, &config, json!({"path": "/x", "largest": 10})).await.unwrap();
    assert_eq!(cut["body"]["text"].as_str().unwrap().len(), 11, "one more says that there is more");
    let large = ask(
        &rig,
        &config,
        json!({"path": "/x", "method": "POST", "largest": 10_000_000,
                                          "body": {"text": "x".repeat(3_000_000)}}),
    );
    let large = large.await.unwrap();
    assert!(large["body"]["text"].as_str().unwrap().len() > 3_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_where_the_configuration_says_and_nowhere_else() {
    let rig = Rig::new();
    let (base, seen) = service().await;
    let config = config(&rig, &base);
    for path in [
        "/../secret",
        "//evil.example/x",
        "/%2e%2e/secret",
        "@evil.example/x",
        "http://evil.example/",
        "/a\\..\\b",
    ] {
        let error = ask(&rig, &config, json!({"path": path})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fatal, "{path}");
        assert!(error.message().starts_with("bridge: path: "), "{error}");
    }
    let error = ask(&rig, &config, json!({"service": "metadata"})).await.unwrap_err();
    assert_eq!(error.message(), "service: this worker reaches bridge, not metadata");
    assert!(seen.lock().unwrap().is_empty(), "nothing was asked");

    let redirect = ask(&rig, &config, json!({"path": "/away"})).await.unwrap();
    assert_eq!(redirect["status"], 302);
    assert_eq!(*seen.lock().unwrap(), ["/api/away"], "a redirect is an answer, and is not followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_it_is_said_whether_the_request_may_have_had_its_effect() {
    let rig = Rig::new();
    let nobody = config(&rig, "http://127.0.0.1:1/api");
    let error = ask(&rig, &nobody, json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoEffect);
    let (base, _) = service().await;
    let error = ask(&rig, &config(&rig, &base), json!({"path": "/hang"})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retryable);
    let said = error.message();
    assert!(said.starts_with("bridge: ") && !said.contains("127.0.0.1") && !said.contains(SECRET), "{said}");
}
