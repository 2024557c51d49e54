//! The console's functions, asked as a function URL asks them.

use serde_json::{Value, json};

use crate::stack::{EVENT_KEY, Stack, eventually};

const ANA: &str = "arn:aws:iam::000000000000:user/ana";

/// What a function URL makes of a request.
struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: Value,
    body: Option<Value>,
    /// Who signed it.
    signer: Option<&'a str>,
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Self { method: "GET", path: "", query: "", headers: json!({}), body: None, signer: None }
    }
}

/// The status and the body.
fn ask(stack: &Stack, function: &str, asked: &Asked<'_>) -> (u64, String) {
    let mut headers = asked.headers.clone();
    headers["host"] = json!("console.example");
    if asked.body.is_some() {
        headers["content-type"] = json!("application/json");
    }
    let authorizer = asked.signer.map(|arn| json!({"iam": {"userArn": arn, "accountId": "000000000000"}}));
    let payload = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": asked.path, "rawQueryString": asked.query,
        "headers": headers, "isBase64Encoded": false, "body": asked.body.as_ref().map(Value::to_string),
        "requestContext": {
            "accountId": "anonymous", "apiId": "x", "domainName": "console.example", "domainPrefix": "console",
            "requestId": "r", "routeKey": "$default", "stage": "$default", "time": "01/Mar/2026:00:00:00 +0000",
            "timeEpoch": 0, "authorizer": authorizer,
            "http": {
                "method": asked.method, "path": asked.path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                "userAgent": "test",
            },
        },
    });
    let answer =
        stack.call(&json!({"call": "invoke", "function": stack.resources[function], "payload": payload}));
    let answer = &answer["answer"];
    let status =
        answer["statusCode"].as_u64().unwrap_or_else(|| panic!("{} {}: {answer}", asked.method, asked.path));
    (status, answer["body"].as_str().unwrap_or_default().to_owned())
}

pub(crate) async fn shows_and_steers(stack: &Stack) {
    let signed = |path, query| Asked { path, query, signer: Some(ANA), ..Asked::default() };
    let json = |asked: &Asked<'_>| -> Value {
        let (status, body) = ask(stack, "ConsoleApiFunction", asked);
        assert!(status < 300, "{}: {status} {body}", asked.path);
        serde_json::from_str(&body).unwrap()
    };
    let runs = json(&signed("/api/v1/runs", "status=completed&workflow=evaluate-foto"));
    let run = runs["items"][0]["run_id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/runs/{run}");
    let shown = json(&signed(&path, ""));
    let steps = shown["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap());
    // What the worker did of a step is recorded as parts of it.
    let steps: Vec<_> = steps.filter(|step| !step.contains('/')).collect();
    assert_eq!(
        steps,
        [
            "download-image",
            "vlm-evaluate",
            "store-result",
            "request-review",
            "await-review",
            "queue-notification"
        ]
    );
    assert_eq!(shown["data"]["contractor_phone"], "083•••2222", "{shown}");
    assert_eq!(json(&signed("/api/v1/workflows", "")).as_array().unwrap().len(), 5);
    assert!(json(&signed("/api/v1/health", ""))["queues"].as_array().unwrap().len() == 5);

    let again = format!("{path}/rerun");
    let order = json!({"from": "store-result", "request": "once"});
    let made = json(&Asked { method: "POST", body: Some(order), ..signed(&again, "") });
    let made = made["run_id"].as_str().unwrap();
    crate::a_person_approves(stack, made).await;
    let made = format!("/api/v1/runs/{made}");
    eventually("the run that was run again completes", async || {
        (json(&signed(&made, ""))["status"] == "completed").then_some(())
    })
    .await;
    let line = &json(&signed("/api/v1/audit", ""))["items"][0];
    assert_eq!(
        (&line["who"], &line["action"], &line["result"]),
        (&json!(ANA), &json!("rerun"), &json!("done"))
    );
}

pub(crate) fn lets_nobody_in_who_is_not_named(stack: &Stack) {
    let path = "/api/v1/runs";
    for signer in [None, Some("arn:aws:iam::000000000000:user/eve"), Some("arn:aws:iam::000000000000:root")] {
        let (status, body) = ask(stack, "ConsoleApiFunction", &Asked { path, signer, ..Asked::default() });
        assert_eq!(status, 403, "{signer:?}: {body}");
    }
    // Behind the URL for people, nobody's signature is asked for, and none is believed.
    for signer in [None, Some(ANA)] {
        assert_eq!(ask(stack, "ConsoleFunction", &Asked { path, signer, ..Asked::default() }).0, 401);
    }
    let page = |path| Asked { path, ..Asked::default() };
    assert_eq!(ask(stack, "ConsoleFunction", &page("/console/runs")).0, 303);
    let (status, html) = ask(stack, "ConsoleFunction", &page("/console/sign-in"));
    assert!(status == 200 && html.contains("Ask an operator for a link"), "{html}");
    let send = |key: &str| Asked {
        method: "POST",
        path: "/api/v1/events",
        headers: json!({"authorization": format!("Bearer {key}")}),
        body: Some(json!({"name": "unheard/of", "data": {}})),
        ..Asked::default()
    };
    assert_eq!(ask(stack, "ConsoleFunction", &send(EVENT_KEY)).0, 202);
    assert_eq!(ask(stack, "ConsoleFunction", &send("another-key-that-is-long-enough")).0, 401);
}
