//! Slack's incoming webhook.

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::Value;

use super::{
    Fault, KEY,
    desk::{Desk, switchable},
    effects::Effect,
};

/// See the module.
#[derive(Debug)]
pub struct SlackSandbox {
    pub(super) desk: Arc<Desk>,
}

switchable!(SlackSandbox);

impl SlackSandbox {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }

    pub(super) fn router(this: &Arc<Self>) -> Router {
        Router::new().route(&format!("/services/T000/B000/{KEY}"), post(webhook)).with_state(this.clone())
    }

    /// Every text that was posted, in order.
    pub fn texts(&self) -> Vec<String> {
        self.desk.log.pick(|effect| match effect {
            Effect::Notified { text, .. } => Some(text.clone()),
            _ => None,
        })
    }
}

async fn webhook(
    State(slack): State<Arc<SlackSandbox>>,
    fault: Option<Extension<Fault>>,
    body: Bytes,
) -> Response {
    if matches!(fault, Some(Extension(Fault::NoService))) {
        return (StatusCode::NOT_FOUND, "no_service").into_response();
    }
    let Ok(Value::Object(payload)) = serde_json::from_slice(&body) else {
        return (StatusCode::BAD_REQUEST, "invalid_payload").into_response();
    };
    let Some(Value::String(text)) = payload.get("text") else {
        return (StatusCode::BAD_REQUEST, "no_text").into_response();
    };
    let (text, at) = (text.clone(), slack.desk.now());
    slack.desk.log.act(|_| (Some(Effect::Notified { text, at }), ()));
    "ok".into_response()
}
