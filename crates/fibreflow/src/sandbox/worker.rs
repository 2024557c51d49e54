//! A worker whose services are the sandbox's: what it does of the work that a simulation hands it.

use std::sync::Arc;

use axum::{Router, body::Body};
use durable::{Error, Result};
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{KEY, Sandbox};
use crate::work::{self, Command, Request, Response, Work};

impl Sandbox {
    /// A worker in this process: it makes requests, with the secrets of its services, and has the harness run its sessions.
    pub fn worker(&self) -> impl Fn(Value) -> BoxFuture<'static, Result<Value>> + 'static {
        let routers: Arc<Vec<_>> = Arc::new(self.routers().into());
        move |work| {
            let routers = routers.clone();
            Box::pin(async move {
                match serde_json::from_value(work)? {
                    Work::Http(request) => Ok(serde_json::to_value(answer(&routers, request).await?)?),
                    Work::Command(command) => run(&routers, command).await,
                }
            })
        }
    }
}

async fn answer(routers: &[(&'static str, Router)], request: Request) -> Result<Response> {
    let service = routers.iter().find(|(name, _)| *name == request.service);
    let (_, router) = service.ok_or_else(|| Error::fatal(format!("no service {}", request.service)))?;
    let mut asked = http::Request::builder().method(request.method.as_str()).uri(&request.path);
    for (name, value) in &request.headers {
        asked = asked.header(name, value);
    }
    asked = match request.service.as_str() {
        "harness" => asked.header("authorization", format!("Bearer {KEY}")),
        "convex" => asked.header("authorization", format!("Convex {KEY}")),
        _ => asked.header("x-bridge-secret", KEY),
    };
    let asked = asked.body(Body::from(request.body.into_bytes()?))?;
    let Ok(response) = router.clone().oneshot(asked).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| Error::new(error.to_string()))?.to_bytes().to_vec();
    let headers = work::readable(&parts.headers);
    Ok(Response { status: parts.status.as_u16(), headers, body: body.into() })
}

/// A session: the command's input is what the harness takes.
async fn run(routers: &[(&'static str, Router)], command: Command) -> Result<Value> {
    let key = command.key.unwrap_or_default();
    let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
    let agent = command.input["agent_name"].as_str().unwrap_or_default();
    let (method, path) = match command.input["session_type"].as_str() {
        Some("features") => ("GET", format!("/agents/{agent}/features")),
        Some("smoke") => ("GET", format!("/agents/{agent}/health")),
        Some("review") => ("POST", format!("/agents/{agent}/review")),
        _ => ("POST", "/sessions".to_owned()),
    };
    let request = Request {
        service: command.name,
        method: method.to_owned(),
        path,
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body: json!(command.input).to_string().into_bytes().into(),
        largest: usize::MAX,
    };
    let response = answer(routers, request).await?;
    let (status, body) = (response.status, response.body.into_bytes()?);
    if status == 200 {
        return Ok(serde_json::from_slice(&body)?);
    }
    Err(Error::new(String::from_utf8_lossy(&body).into_owned()))
}
