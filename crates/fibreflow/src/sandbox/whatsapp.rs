//! The WhatsApp service: the current bridge and the older sender.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use durable::{hours, seconds, until};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Fault, KEY, Message,
    desk::{Desk, has, switchable},
    effects::Effect,
};

/// See the module.
#[derive(Debug)]
pub struct WhatsAppSandbox {
    pub(super) desk: Arc<Desk>,
    is_bridge: bool,
}

switchable!(WhatsAppSandbox);

/// `POST /send-message`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ToGroup {
    group_jid: String,
    recipient_jid: String,
    message: String,
}

/// `POST /api/send`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ToPerson {
    recipient: String,
    message: String,
}

impl WhatsAppSandbox {
    /// The current service.
    pub(super) fn bridge(desk: Arc<Desk>) -> Self {
        Self { desk, is_bridge: true }
    }

    /// The older one.
    pub(super) fn sender(desk: Arc<Desk>) -> Self {
        Self { desk, is_bridge: false }
    }

    pub(super) fn router(this: &Arc<Self>) -> Router {
        let both = Router::new().route("/health", get(health)).route("/send-message", post(send_message));
        let bridge = if this.is_bridge {
            both.route("/api/send", post(api_send)).route("/list-recent", get(list_recent))
        } else {
            both
        };
        bridge.with_state(this.clone())
    }

    /// Every message that went out, in order.
    pub fn messages(&self) -> Vec<Message> {
        self.desk.log.pick(|effect| match effect {
            Effect::Message { service, message } if service == self.desk.name => Some(message.clone()),
            _ => None,
        })
    }

    fn is_allowed(&self, headers: &HeaderMap) -> bool {
        !self.is_bridge || has(headers, "x-bridge-secret", KEY)
    }

    /// Sends, unless the phone is not paired.
    async fn send(
        &self,
        to: String,
        mentioned: Option<String>,
        text: String,
    ) -> Result<String, &'static str> {
        self.desk.take(seconds(1)).await;
        match self.desk.state() {
            Some(Fault::LoggedOut) => return Err("the store doesn't contain a device JID"),
            Some(_) => return Err("websocket not connected"),
            None => {}
        }
        let (service, at) = (self.desk.name.to_owned(), self.desk.now());
        Ok(self.desk.log.act(|effects| {
            let id = format!("3EB0{:016X}", effects.len() + 1);
            let message = Message { id: id.clone(), to, mentioned, text, at };
            (Some(Effect::Message { service, message }), id)
        }))
    }
}

async fn health(State(service): State<Arc<WhatsAppSandbox>>) -> Json<Value> {
    let state = service.desk.state();
    let connected = state != Some(Fault::Disconnected);
    if !service.is_bridge {
        return Json(json!({ "status": "ok", "connected": state.is_none() }));
    }
    let logged_out = state == Some(Fault::LoggedOut);
    Json(json!({
        "status": "ok",
        "connected": connected,
        "session_valid": !logged_out,
        "needs_auth": logged_out,
        "device_jid": if logged_out { "" } else { "27710000000:12@s.whatsapp.net" },
        "phone_number": if logged_out { "" } else { "27710000000" },
        "pairing_state": if logged_out { "logged_out" } else { "paired" },
        "recent_count": recent(&service).len(),
    }))
}

async fn api_send(
    State(service): State<Arc<WhatsAppSandbox>>,
    headers: HeaderMap,
    Json(request): Json<ToPerson>,
) -> Response {
    let answer = |status, success: bool, message: &str| {
        (status, Json(json!({ "success": success, "message": message }))).into_response()
    };
    if !service.is_allowed(&headers) {
        return (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
    }
    if request.recipient.is_empty() || request.message.is_empty() {
        return (StatusCode::BAD_REQUEST, "Recipient and message are required").into_response();
    }
    let is_number = request.recipient.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number && !request.recipient.contains('@') {
        return answer(StatusCode::INTERNAL_SERVER_ERROR, false, "Error parsing JID");
    }
    let jid =
        if is_number { format!("{}@s.whatsapp.net", request.recipient) } else { request.recipient.clone() };
    match service.send(jid, None, request.message).await {
        Ok(_) => answer(StatusCode::OK, true, &format!("Message sent to {}", request.recipient)),
        Err(reason) => {
            answer(StatusCode::INTERNAL_SERVER_ERROR, false, &format!("Error sending message: {reason}"))
        }
    }
}

async fn send_message(
    State(service): State<Arc<WhatsAppSandbox>>,
    headers: HeaderMap,
    Json(request): Json<ToGroup>,
) -> Response {
    let refuse =
        |status, error: &str| (status, Json(json!({ "success": false, "error": error }))).into_response();
    if !service.is_allowed(&headers) {
        return refuse(StatusCode::UNAUTHORIZED, "unauthorized");
    }
    let ToGroup { group_jid, recipient_jid, message } = request;
    if group_jid.is_empty() || message.is_empty() || (!service.is_bridge && recipient_jid.is_empty()) {
        let fields =
            if service.is_bridge { "group_jid and message" } else { "group_jid, recipient_jid and message" };
        return refuse(StatusCode::BAD_REQUEST, &format!("{fields} are required"));
    }
    if !service.is_bridge && service.desk.state().is_some() {
        let error = "WhatsApp not connected. Please authenticate first via /pair endpoint.";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, error);
    }
    let mentioned = (!recipient_jid.is_empty()).then_some(recipient_jid);
    let text = match &mentioned {
        Some(jid) => format!("@{} {message}", jid.split('@').next().unwrap_or_default()),
        None => message,
    };
    match service.send(group_jid, mentioned, text).await {
        Ok(id) => Json(json!({ "success": true, "message_id": id, "message": "Message sent successfully" }))
            .into_response(),
        Err(reason) => refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("Failed to send: failed to send message: {reason}"),
        ),
    }
}

/// The last 100 messages of the last hour.
fn recent(service: &WhatsAppSandbox) -> Vec<Message> {
    let now = service.desk.now();
    let mut messages = service.messages();
    messages.retain(|message| until(message.at, now) <= hours(1));
    messages.drain(..messages.len().saturating_sub(100));
    messages
}

async fn list_recent(State(service): State<Arc<WhatsAppSandbox>>, headers: HeaderMap) -> Response {
    if !service.is_allowed(&headers) {
        return (StatusCode::UNAUTHORIZED, "unauthorized").into_response();
    }
    let entry = |message: Message| {
        let kept =
            String::from_utf8_lossy(&message.text.as_bytes()[..message.text.len().min(50)]).into_owned();
        json!({
            "message_id": message.id,
            "group_jid": message.to,
            "recipient_jid": message.mentioned.unwrap_or_default(),
            "message_text": kept,
            "sent_at": message.at,
        })
    };
    let messages: Vec<_> = recent(&service).into_iter().map(entry).collect();
    Json(json!({ "messages": messages })).into_response()
}
