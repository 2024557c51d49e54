//! The API, route by route.

use std::fs;

use axum::{
    body::Body,
    http::{Method, StatusCode, header},
};
use durable::{minutes, seconds};
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use crate::{
    rig::{ask, get, local, post, request, submit},
    scene,
};

/// The committed description; `UPDATE=1 ./test description` writes it anew.
const DESCRIPTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

#[test]
fn the_committed_description_is_that_of_the_code() {
    let described = console::description();
    #[expect(clippy::disallowed_methods, reason = "how the committed description is written anew")]
    if std::env::var("UPDATE").is_ok() {
        fs::write(DESCRIPTION, &described).unwrap();
    }
    let committed = fs::read_to_string(DESCRIPTION).unwrap_or_default();
    assert!(committed == described, "docs/openapi.json is old: UPDATE=1 ./test description");
}

#[tokio::test]
async fn the_description_is_served_and_names_every_route_once() {
    let router = local(&scene::quiet());
    let served = get(&router, "/api/v1/openapi.json").await.json();
    assert_eq!(served, serde_json::from_str::<Value>(&console::description()).unwrap());
    let paths = served["paths"].as_object().unwrap();
    let operations: Vec<_> = paths
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    let mut unique = operations.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!((operations.len(), unique.len()), (29, 29), "{operations:?}");
    // Each says how whoever asks says who they are; an event key is good for one alone.
    let schemes = served["components"]["securitySchemes"].as_object().unwrap();
    for operation in paths.values().flat_map(|path| path.as_object().unwrap().values()) {
        let ways = operation["security"].as_array().unwrap();
        let ways: Vec<_> = ways.iter().flat_map(|way| way.as_object().unwrap().keys()).collect();
        let mut expected = vec!["session", "signature"];
        expected.extend((operation["operationId"] == "send_event").then_some("event_key"));
        assert_eq!(ways, expected, "{}", operation["operationId"]);
        assert!(ways.iter().all(|way| schemes.contains_key(*way)), "{ways:?}");
    }
}

#[tokio::test]
async fn runs_are_listed_by_filter_and_by_page() {
    let (simulation, _) = scene::day();
    let router = local(&simulation);
    let all = simulation.runs().len();
    let (mut path, mut ids) = ("/api/v1/runs?limit=100".to_owned(), Vec::new());
    loop {
        let page = get(&router, &path).await.json();
        ids.extend(
            page["items"].as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/runs?limit=100&cursor={next}");
    }
    let seen = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((seen, ids.len()), (all, all));

    let failed = get(&router, "/api/v1/runs?status=failed&workflow=evaluate-foto&since=24h").await.json();
    let failed = failed["items"].as_array().unwrap();
    assert!(!failed.is_empty() && failed.iter().all(|run| run["status"] == "failed"), "{failed:?}");
    assert!(failed[0]["error"]["message"].as_str().unwrap().starts_with("404: the model"), "{}", failed[0]);
    let line = get(&router, "/api/v1/runs?key=build-agent:sharepoint&status=queued").await.json();
    assert_eq!(line["items"][0]["waits_for"][0]["position"], 1);
}

#[tokio::test]
async fn a_run_says_all_that_is_known_of_it() {
    let (simulation, cast) = scene::day();
    let router = local(&simulation);
    let run = get(&router, &format!("/api/v1/runs/{}", cast.completed)).await.json();
    assert_eq!(
        (&run["status"], &run["data"]["contractor_phone"]),
        (&json!("completed"), &json!("+27•••••4567"))
    );
    assert_eq!(run["sent"][0]["runs"][0]["workflow"], "send-whatsapp");
    let sent =
        get(&router, &format!("/api/v1/runs/{}", run["sent"][0]["runs"][0]["run_id"].as_str().unwrap()))
            .await;
    assert_eq!(sent.json()["caused_by"], json!({"run_id": cast.completed, "step": "queue-notification"}));

    let failed = get(&router, &format!("/api/v1/runs/{}", cast.failed)).await.json();
    let step = &failed["steps"][1];
    assert_eq!((&step["step"], &step["attempts"]), (&json!("vlm-evaluate"), &json!(3)));
    assert_eq!(step["failures"].as_array().unwrap().len(), 3);

    let waits = get(&router, &format!("/api/v1/runs/{}", cast.in_line)).await.json();
    let expected = json!({
        "key": "build-agent:sharepoint", "slots": 1, "holders": [cast.building], "position": 1, "waiting": 1,
    });
    assert_eq!(waits["line"], expected);
    let output = get(&router, &format!("/api/v1/runs/{}/output", cast.completed)).await.json();
    assert_eq!(output["overall_status"], "PASS");
    let path = format!("/api/v1/runs/{}/steps/build-feature%232/output", cast.building);
    assert_eq!(get(&router, &path).await.json()["id"], 2);
}

#[tokio::test]
async fn what_is_done_is_done_once_and_leaves_a_line() {
    let (mut simulation, cast) = scene::day();
    let router = local(&simulation);
    let cancel = format!("/api/v1/runs/{}/cancel", cast.building);
    assert_eq!(post(&router, &cancel, &json!({})).await.json()["status"], "cancelled");
    assert_eq!(post(&router, &cancel, &json!({})).await.status, StatusCode::CONFLICT);

    let rerun = format!("/api/v1/runs/{}/rerun", cast.failed);
    let order = json!({"from": "vlm-evaluate", "output": {"overall_status": "PASS"}, "request": "r-1"});
    let first = post(&router, &rerun, &order).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    assert_eq!(
        post(&router, &rerun, &order).await.json(),
        first.json(),
        "the same request is the same rerun"
    );
    simulation.run_for(minutes(1));
    let id = first.json()["run_id"].as_str().unwrap().to_owned();
    let run = get(&router, &format!("/api/v1/runs/{id}")).await.json();
    assert_eq!((&run["status"], &run["rerun_of"]), (&json!("completed"), &json!(cast.failed)));

    let resend = format!(
        "/api/v1/events/{}/resend",
        byte_serialize(run["event_id"].as_str().unwrap().as_bytes()).collect::<String>()
    );
    assert_eq!(post(&router, &resend, &json!({})).await.json()["runs"].as_array().unwrap().len(), 1);
    let paused = post(&router, "/api/v1/workflows/evaluate-foto/pause", &json!({})).await.json();
    assert_eq!(paused["paused_by"], "local");
    let resumed = post(&router, "/api/v1/workflows/evaluate-foto/resume", &json!({})).await.json();
    assert_eq!(resumed["paused_by"], Value::Null);
    let letters = get(&router, "/api/v1/dead-letters").await.json();
    let letter = format!("/api/v1/dead-letters/{}", letters["items"][0]["id"].as_str().unwrap());
    assert_eq!(post(&router, &format!("{letter}/redrive"), &json!({})).await.status, StatusCode::OK);
    let gone = ask(&router, request(Method::DELETE, &letter).body(Body::empty()).unwrap()).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);

    let audit = get(&router, "/api/v1/audit").await.json();
    let lines: Vec<_> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| format!("{} {}", line["action"].as_str().unwrap(), line["result"].as_str().unwrap()))
        .collect();
    for line in [
        "cancel done",
        "cancel failed",
        "rerun done",
        "resend done",
        "pause done",
        "resume done",
        "redrive done",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line}: {lines:?}");
    }
}

#[tokio::test]
async fn what_a_run_waits_for_is_answered_once() {
    let (mut simulation, cast) = scene::day();
    let router = local(&simulation);
    let path = format!("/api/v1/runs/{}", cast.asking);
    let wait = get(&router, &path).await.json()["waits_for"][0].clone();
    assert_eq!(wait["kind"], "callback");
    let answer = format!("/api/v1/callbacks/{}", wait["token"].as_str().unwrap());
    let yes = json!({"done": {"approved": true}});
    assert_eq!(post(&router, &answer, &json!({"failed": " "})).await.json()["field"], "failed");
    assert_eq!(post(&router, &answer, &json!({"maybe": 1})).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    for _ in 0..2 {
        let answered = post(&router, &answer, &yes).await;
        assert_eq!(answered.status, StatusCode::NO_CONTENT, "{}", answered.body);
    }
    let other = post(&router, &answer, &json!({"failed": "no"})).await;
    assert_eq!(other.status, StatusCode::CONFLICT, "{}", other.body);
    for (token, status) in [
        ("nonsense".to_owned(), StatusCode::BAD_REQUEST),
        (format!("{}.1.1.never-asked", cast.asking), StatusCode::NOT_FOUND),
        ("0000.1.1.approve-deployment".to_owned(), StatusCode::NOT_FOUND),
    ] {
        let answer = post(&router, &format!("/api/v1/callbacks/{token}"), &yes).await;
        assert_eq!(answer.status, status, "{token}: {}", answer.body);
    }

    // Then it waits for an event: what that must hold is said, masked, and given back by the page unmasked.
    simulation.run_for(seconds(1));
    let wait = get(&router, &path).await.json()["waits_for"][0].clone();
    assert_eq!((&wait["kind"], &wait["event"]), (&json!("event"), &json!("foto/evaluation.reviewed")));
    let mut data = wait["data"].clone();
    assert_eq!(data["dr_number"], "DR1733790");
    assert_ne!(data["reviewer_phone"], "+27821234567");
    data["approved"] = json!(true);
    let page = get(&router, &format!("/console/runs/{}", cast.asking)).await;
    let form = format!("/console/runs/{}/event", cast.asking);
    let (token, data) = (page.token(), data.to_string());
    let fields = [("token", token), ("step", "review"), ("request", "r-1"), ("data", &data)];
    for _ in 0..2 {
        assert_eq!(submit(&router, &form, &fields).await.status, StatusCode::SEE_OTHER);
    }
    simulation.run_for(minutes(2));
    let run = get(&router, &path).await.json();
    assert_eq!((&run["status"], &run["output"]), (&json!("completed"), &json!(true)));
    assert_eq!(submit(&router, &form, &fields).await.status, StatusCode::CONFLICT);
    assert_eq!(get(&router, "/api/v1/events/r-1").await.json()["data"]["approved"], true);

    let audit = get(&router, &format!("/api/v1/audit?target={}", cast.asking)).await.json();
    let lines = audit["items"].as_array().unwrap().iter();
    let mut results: Vec<_> = lines.map(|line| line["result"].as_str().unwrap()).collect();
    results.sort_unstable();
    assert_eq!(results, ["done", "done", "failed"]);
}

#[tokio::test]
async fn many_runs_are_acted_on_after_a_dry_run() {
    let (simulation, _) = scene::day();
    let router = local(&simulation);
    let order =
        json!({"action": "rerun", "workflows": ["evaluate-foto"], "statuses": ["failed"], "limit": 5});
    let dry = post(&router, "/api/v1/runs/bulk", &order).await.json();
    assert_eq!((&dry["dry_run"], dry["runs"].as_array().unwrap().len()), (&json!(true), 5));
    let run = get(&router, &format!("/api/v1/runs/{}", dry["runs"][0].as_str().unwrap())).await.json();
    let (created, event) = (&run["created_at"], &run["event_id"]);
    for (only, expected) in [
        (json!({"from": created, "event_id": event}), 1),
        (json!({"before": created, "event_id": event}), 0),
        (json!({"before": "1999-01-01T00:00:00Z"}), 0),
    ] {
        let mut order = order.clone();
        order.as_object_mut().unwrap().extend(only.as_object().unwrap().clone());
        let found = post(&router, "/api/v1/runs/bulk", &order).await.json();
        assert_eq!(found["runs"].as_array().unwrap().len(), expected, "{only}");
    }
    let before = simulation.runs().len();
    let order = json!({
        "action": "rerun", "workflows": ["evaluate-foto"], "statuses": ["failed"], "limit": 5, "dry_run": false,
    });
    let done = post(&router, "/api/v1/runs/bulk", &order).await.json();
    assert_eq!((&done["dry_run"], &done["runs"]), (&json!(false), &dry["runs"]));
    assert_eq!(simulation.runs().len(), before + 5);
}

#[tokio::test]
async fn an_event_is_checked_before_it_is_accepted() {
    let mut simulation = scene::quiet();
    let router = local(&simulation);
    let sent = post(
        &router,
        "/api/v1/events",
        &json!({"name": "agent/build.requested", "data": {"agent_name": "x"}, "id": "e-1"}),
    )
    .await;
    assert_eq!((sent.status, &sent.json()["event_id"]), (StatusCode::ACCEPTED, &json!("e-1")));
    simulation.run_for(seconds(1));
    let event = get(&router, "/api/v1/events/e-1").await.json();
    assert_eq!(event["runs"][0]["workflow"], "build-agent");
    let unheard = post(&router, "/api/v1/events", &json!({"name": "unheard/of", "data": 1})).await.json();
    assert!(unheard["message"].as_str().unwrap().contains("no workflow starts with unheard/of"), "{unheard}");
    for (body, field) in [
        (json!({"name": "agent/build.requested", "data": {}}), "agent_name"),
        (json!({"name": "agent/build.requested"}), "data"),
        (json!({"name": "", "data": {}}), "name"),
        (json!({"name": "x", "data": {}, "id": ""}), "id"),
        (json!({"name": "x", "data": {}, "di": "x"}), "di"),
        (json!({"name": "x", "data": "x".repeat(300_000)}), "data"),
        (json!([]), "body"),
    ] {
        let problem = post(&router, "/api/v1/events", &body).await;
        assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", problem.body);
        assert_eq!(problem.json()["field"], field, "{}", problem.body);
    }
}

#[tokio::test]
async fn what_is_wrong_is_a_problem_that_names_the_field() {
    let (simulation, cast) = scene::day();
    let router = local(&simulation);
    let rerun = format!("/api/v1/runs/{}/rerun", cast.failed);
    for (path, body, status, field) in [
        ("/api/v1/runs?status=lost", None, 400, json!("status")),
        ("/api/v1/runs?limit=0", None, 400, json!("limit")),
        ("/api/v1/runs?cursor=x", None, 400, json!("cursor")),
        ("/api/v1/runs/stream?status=lost", None, 400, json!("status")),
        ("/api/v1/statistics?hours=999", None, 400, json!("hours")),
        ("/api/v1/runs/none", None, 404, Value::Null),
        ("/api/v1/runs/none/stream", None, 404, Value::Null),
        ("/api/v1/events/none", None, 404, Value::Null),
        ("/api/v1/workflows/none", None, 404, Value::Null),
        ("/api/v1/keys/none", None, 404, Value::Null),
        ("/api/v1/throttles/none", None, 404, Value::Null),
        ("/api/v1/none", None, 404, Value::Null),
        (rerun.as_str(), Some(json!({"from": "nowhere"})), 422, json!("from")),
        (rerun.as_str(), Some(json!({"output": 1})), 422, json!("from")),
        (rerun.as_str(), Some(json!({"from": 1})), 422, json!("from")),
        ("/api/v1/runs/bulk", Some(json!({"action": "burn"})), 422, json!("action")),
        ("/api/v1/runs/bulk", Some(json!({"action": "cancel", "limit": 0})), 422, json!("limit")),
        ("/api/v1/runs/bulk", Some(json!({"action": "cancel", "from": "soon"})), 422, json!("from")),
        ("/api/v1/workflows/none/pause", Some(json!({})), 404, Value::Null),
        ("/api/v1/workflows/build-agent/resume", Some(json!({})), 409, Value::Null),
        ("/api/v1/dead-letters/redrive", Some(json!({})), 422, json!("workflow")),
    ] {
        let answer = match &body {
            Some(body) => post(&router, path, body).await,
            None => get(&router, path).await,
        };
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.body);
        assert_eq!(answer.header(header::CONTENT_TYPE), "application/problem+json", "{path}");
        let problem = answer.json();
        assert_eq!((&problem["status"], &problem["field"]), (&json!(status), &field), "{path}: {problem}");
    }
    let wrong_method = ask(&router, request(Method::PUT, "/api/v1/runs").body(Body::empty()).unwrap()).await;
    assert_eq!(wrong_method.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong_method.header(header::CONTENT_TYPE), "application/problem+json");
    let form = request(Method::POST, "/api/v1/events").header(header::CONTENT_TYPE, "text/plain");
    let form = ask(&router, form.body(Body::from("{\"name\": \"x\", \"data\": 1}")).unwrap()).await;
    assert_eq!(form.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "a form on a page elsewhere can send this");
}

#[tokio::test]
async fn a_stream_tells_how_things_are_and_when_nothing_more_will_happen() {
    let (simulation, cast) = scene::day();
    let router = local(&simulation);
    let path = format!("/api/v1/runs/{}/stream", cast.completed);
    let told = get(&router, &path).await;
    assert_eq!(told.header(header::CONTENT_TYPE), "text/event-stream");
    let lines: Vec<_> = told.body.lines().collect();
    let data = lines.iter().find_map(|line| line.strip_prefix("data: {")).expect("the run");
    let run: Value = serde_json::from_str(&format!("{{{data}")).unwrap();
    assert_eq!(run, get(&router, &format!("/api/v1/runs/{}", cast.completed)).await.json());
    assert!(lines.contains(&"event: run") && lines.contains(&"event: end"), "{lines:?}");

    // Whoever comes back is told news only.
    let id = lines.iter().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let again = request(Method::GET, &path).header("last-event-id", id).body(Body::empty()).unwrap();
    let told = ask(&router, again).await.body;
    assert!(!told.contains("event: run") && told.contains("event: end"), "{told}");
}
