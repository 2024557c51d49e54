//! Who gets in.

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use console::{Access, Console, EventKeys, Identity, Role, Seal, sign_in_link};
use durable::{AuditFilter, PageRequest, minutes, testing::Simulation};
use serde_json::json;

use crate::{
    rig::{Answer, ask},
    scene,
};

const ORIGIN: &str = "https://console.example";
const KEY: &str = "0123456789abcdef0123456789abcdef";

fn seal() -> Seal {
    Seal::new(&[9; 32]).unwrap()
}

fn guarded(simulation: &Simulation) -> Router {
    let access = Access::sessions(ORIGIN, seal()).event_keys(EventKeys::new([KEY]).unwrap());
    Console::new(simulation.desk(), access).router()
}

fn to(method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header(header::HOST, "console.example")
}

/// Signs in by a link; the cookie.
async fn cookie(router: &Router, simulation: &Simulation, role: Role) -> String {
    let link = sign_in_link(&seal(), ORIGIN, "ana@fibreflow.example", role, simulation.now(), minutes(5));
    let token = link.split_once('#').unwrap().1;
    let form = to(Method::POST, "/console/sign-in")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = ask(router, form.body(Body::from(format!("link={token}"))).unwrap()).await;
    assert_eq!((answer.status, answer.header(header::LOCATION)), (StatusCode::SEE_OTHER, "/console/runs"));
    let set = answer.header(header::SET_COOKIE);
    assert!(set.ends_with("HttpOnly; Secure; SameSite=Lax"), "{set}");
    set.split(';').next().unwrap().to_owned()
}

async fn send(router: &Router, request: axum::http::request::Builder, body: &str) -> Answer {
    let request = request.header(header::CONTENT_TYPE, "application/json");
    ask(router, request.body(Body::from(body.to_owned())).unwrap()).await
}

#[tokio::test]
async fn nobody_gets_in_by_default() {
    let (simulation, cast) = scene::day();
    let router = guarded(&simulation);
    for path in ["/console/runs", "/console/events/new", "/console/live/runs", "/console/none"] {
        let answer = ask(&router, to(Method::GET, path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
        assert!(answer.header(header::LOCATION).starts_with("/console/sign-in?back=%2Fconsole"), "{path}");
    }
    for path in ["/api/v1/runs", "/api/v1/runs/stream", "/api/v1/openapi.json", "/api/v1/none"] {
        let answer = ask(&router, to(Method::GET, path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    for path in
        [format!("/api/v1/runs/{}/cancel", cast.building), format!("/console/runs/{}/cancel", cast.building)]
    {
        let answer = send(&router, to(Method::POST, &path), "{}").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    for path in ["/console/sign-in", &format!("/console/assets/{}", style(&router).await)] {
        let answer = ask(&router, to(Method::GET, path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
}

/// The name of the style sheet.
async fn style(router: &Router) -> String {
    let page = ask(router, to(Method::GET, "/console/sign-in").body(Body::empty()).unwrap()).await.body;
    let (_, rest) = page.split_once("rel=\"stylesheet\" href=\"/console/assets/").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_viewer_looks_and_an_operator_acts() {
    let (simulation, cast) = scene::day();
    let router = guarded(&simulation);
    let viewer = cookie(&router, &simulation, Role::Viewer).await;
    let cancel = format!("/api/v1/runs/{}/cancel", cast.building);
    let with = |method, path: &str, cookie: &str| to(method, path).header(header::COOKIE, cookie);
    let looked = ask(&router, with(Method::GET, "/console/runs", &viewer).body(Body::empty()).unwrap()).await;
    assert_eq!(looked.status, StatusCode::OK);
    let answer = format!("/api/v1/callbacks/{}.1.1.approve-deployment", cast.asking);
    let refused =
        send(&router, with(Method::POST, &answer, &viewer), r#"{"done": {"approved": true}}"#).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let refused = send(&router, with(Method::POST, &cancel, &viewer), "{}").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("only an operator"), "{}", refused.body);
    let event = json!({"name": "x", "data": {}}).to_string();
    assert_eq!(
        send(&router, with(Method::POST, "/api/v1/events", &viewer), &event).await.status,
        StatusCode::FORBIDDEN
    );

    let operator = cookie(&router, &simulation, Role::Operator).await;
    // A page elsewhere has the browser send the cookie along: it is refused by where the request comes from.
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let request = with(Method::POST, &cancel, &operator).header(name, value);
        assert_eq!(send(&router, request, "{}").await.status, StatusCode::FORBIDDEN, "{name}");
    }
    let own = with(Method::POST, &cancel, &operator)
        .header("origin", ORIGIN)
        .header("sec-fetch-site", "same-origin");
    assert_eq!(send(&router, own, "{}").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_event_key_sends_events_and_nothing_else() {
    let (simulation, cast) = scene::day();
    let router = guarded(&simulation);
    let keyed = |method, path: &str, key: &str| {
        to(method, path).header(header::AUTHORIZATION, format!("Bearer {key}"))
    };
    let event = json!({"name": "unheard/of", "data": {}}).to_string();
    assert_eq!(
        send(&router, keyed(Method::POST, "/api/v1/events", KEY), &event).await.status,
        StatusCode::ACCEPTED
    );
    for (method, path, key) in [
        (Method::POST, "/api/v1/events".to_owned(), &KEY[1..]),
        (Method::GET, "/api/v1/events".to_owned(), KEY),
        (Method::GET, "/api/v1/runs".to_owned(), KEY),
        (Method::POST, format!("/api/v1/runs/{}/cancel", cast.building), KEY),
    ] {
        let answer = send(&router, keyed(method, &path, key), &event).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let audit =
        simulation.desk().history.audit(&AuditFilter::default(), &PageRequest::default()).await.unwrap();
    assert_eq!(audit.items[0].who, "event key");
}

#[tokio::test]
async fn whom_the_caller_has_authenticated_gets_in_as_what_they_are() {
    let (simulation, cast) = scene::day();
    let router = guarded(&simulation);
    let cancel = format!("/api/v1/runs/{}/cancel", cast.building);
    let signed = |role| {
        let identity = Identity::new("arn:aws:sts::1:assumed-role/ops/ana", role);
        to(Method::POST, &cancel).extension(identity)
    };
    assert_eq!(send(&router, signed(Role::Viewer), "{}").await.status, StatusCode::FORBIDDEN);
    assert_eq!(send(&router, signed(Role::Operator), "{}").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_sign_in_goes_on_to_a_page_of_ours_only() {
    let simulation = scene::quiet();
    let router = guarded(&simulation);
    let link = sign_in_link(&seal(), ORIGIN, "ana", Role::Viewer, simulation.now(), minutes(5));
    let token = link.split_once('#').unwrap().1;
    for (back, expected) in [
        ("/console/keys?prefix=a", "/console/keys?prefix=a"),
        ("https://evil.example", "/console/runs"),
        ("//evil.example", "/console/runs"),
        ("/console/\\evil", "/console/runs"),
    ] {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("link", token), ("back", back)])
            .finish();
        let form = to(Method::POST, "/console/sign-in").body(Body::from(body)).unwrap();
        assert_eq!(ask(&router, form).await.header(header::LOCATION), expected, "{back}");
    }
}
