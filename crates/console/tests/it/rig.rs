//! What every test needs: a console over a simulation, and ways to ask it.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use console::{Access, Console};
use durable::testing::Simulation;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

/// The console on this machine, as its user sees it.
pub(crate) fn local(simulation: &Simulation) -> Router {
    let access = Access::loopback(&*simulation.ports().random).unwrap();
    Console::new(simulation.desk(), access).router()
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}: no JSON: {}", self.status, self.body))
    }

    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The token of the page's forms.
    pub(crate) fn token(&self) -> &str {
        let (_, rest) = self.body.split_once(r#"name="token" value=""#).expect("a form");
        rest.split('"').next().unwrap()
    }
}

/// A request as a browser's on this machine.
pub(crate) fn request(method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:8288")
}

pub(crate) async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

pub(crate) async fn get(router: &Router, path: &str) -> Answer {
    ask(router, request(Method::GET, path).body(Body::empty()).unwrap()).await
}

/// Sends JSON.
pub(crate) async fn post(router: &Router, path: &str, body: &Value) -> Answer {
    let request = request(Method::POST, path).header(header::CONTENT_TYPE, "application/json");
    ask(router, request.body(Body::from(body.to_string())).unwrap()).await
}

/// Sends a form, with these fields.
pub(crate) async fn submit(router: &Router, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request =
        request(Method::POST, path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    ask(router, request.body(Body::from(body)).unwrap()).await
}
