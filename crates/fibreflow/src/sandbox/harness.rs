//! The agent harness: sessions take their time, and a session asked for twice under one key is one session.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use durable::minutes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Fault, KEY, Session,
    desk::{Desk, has, switchable},
    effects::Effect,
};
use crate::harness::Review;

/// See the module.
#[derive(Debug)]
pub struct HarnessSandbox {
    pub(super) desk: Arc<Desk>,
    features: u32,
    /// What was marked for a person, by agent.
    reviews: Mutex<BTreeMap<String, Vec<Review>>>,
}

switchable!(HarnessSandbox);

#[derive(Deserialize)]
struct Order {
    agent_name: String,
    session_type: String,
    #[serde(default)]
    feature_id: Option<u32>,
}

impl HarnessSandbox {
    pub(super) fn new(desk: Arc<Desk>, features: u32) -> Self {
        Self { desk, features, reviews: Mutex::default() }
    }

    pub(super) fn router(this: &Arc<Self>) -> Router {
        Router::new()
            .route("/health", get(async || Json(json!({"status": "ok"}))))
            .route("/sessions", post(session))
            .route("/agents/{agent}/features", get(features))
            .route("/agents/{agent}/health", get(healthy))
            .route("/agents/{agent}/review", post(review))
            .with_state(this.clone())
    }

    /// Every session that was started, in order.
    pub fn sessions(&self) -> Vec<Session> {
        self.desk.log.pick(|effect| match effect {
            Effect::Session(session) => Some(session.clone()),
            _ => None,
        })
    }

    /// The session of this key that did not crash: the one that was started already, or a new one.
    fn attach(&self, key: &str, order: Order, crashes: bool) -> Session {
        let now = self.desk.now();
        let ends_at = self.desk.ends(minutes(match order.session_type.as_str() {
            "coding" => 20,
            "initializer" => 5,
            _ => 2,
        }));
        self.desk.log.act(|effects| {
            let known = effects.iter().find_map(|effect| match effect {
                Effect::Session(session) if session.key == key && !session.crashes => Some(session.clone()),
                _ => None,
            });
            if let Some(session) = known {
                return (None, session);
            }
            let session = Session {
                key: key.to_owned(),
                agent: order.agent_name,
                session_type: order.session_type,
                feature_id: order.feature_id,
                started_at: now,
                ends_at,
                crashes,
            };
            (Some(Effect::Session(session.clone())), session)
        })
    }

    /// What was marked for a person.
    pub fn reviews(&self, agent: &str) -> Vec<Review> {
        let reviews = self.reviews.lock().unwrap_or_else(PoisonError::into_inner);
        reviews.get(agent).cloned().unwrap_or_default()
    }

    fn passes(&self, agent: &str, feature: u32, now: Timestamp) -> bool {
        self.sessions().iter().any(|session| {
            session.agent == agent
                && session.feature_id == Some(feature)
                && !session.crashes
                && session.ends_at <= now
        })
    }

    fn feature_list(&self, agent: &str, now: Timestamp) -> Value {
        let reviews = self.reviews(agent);
        let categories = ["core", "tools", "quality"];
        let features: Vec<_> = (1..=self.features)
            .map(|id| {
                json!({
                    "id": id,
                    "category": categories[id as usize % categories.len()],
                    "description": format!("Feature {id} of {agent}"),
                    "validation_steps": [format!("pytest tests/test_{agent}.py -k feature_{id}")],
                    "passes": self.passes(agent, id, now),
                    "files_involved": [format!("agents/{agent}/agent.py")],
                    // Every third needs the one before it.
                    "manual_review_needed": reviews.iter().any(|review| review.feature_id == id),
                    "dependencies": if id % 3 == 0 { vec![id - 1] } else { vec![] },
                })
            })
            .collect();
        let open: Vec<_> = (1..=self.features).filter(|id| !self.passes(agent, *id, now)).collect();
        json!({
            "agent_name": agent,
            "agent_class": format!("{agent}_agent"),
            "total_features": self.features,
            "completed": self.features as usize - open.len(),
            "status": if open.is_empty() { "complete" } else { "in_progress" },
            "categories": { "core": [1] },
            "remaining_features": open,
            "features": features,
        })
    }

    fn result(&self, session: &Session) -> Value {
        let commit = |what: &str| format!("{:07x}", fnv(&format!("{}/{what}", session.agent)));
        match (session.session_type.as_str(), session.feature_id) {
            ("initializer", _) => self.feature_list(&session.agent, session.ends_at),
            ("rollback", _) => json!({}),
            ("coding", Some(id)) => json!({ "feature_id": id, "commit": commit(&id.to_string()) }),
            _ => json!({
                "version": commit("deploy"),
                "health_url": format!("http://agents.sandbox/{}/health", session.agent),
            }),
        }
    }
}

async fn session(
    State(harness): State<Arc<HarnessSandbox>>,
    fault: Option<Extension<Fault>>,
    headers: HeaderMap,
    Json(order): Json<Order>,
) -> Response {
    if !has(&headers, "authorization", &format!("Bearer {KEY}")) {
        return (StatusCode::UNAUTHORIZED, "unauthorized").into_response();
    }
    let known = matches!(
        (order.session_type.as_str(), order.feature_id),
        ("initializer" | "deploy" | "rollback", None) | ("coding", Some(_))
    );
    if !known {
        let problem = json!({"error": "session_type: expected initializer, deploy, rollback, or coding with a feature_id"});
        return (StatusCode::BAD_REQUEST, Json(problem)).into_response();
    }
    let Some(key) = headers.get("idempotency-key").and_then(|key| key.to_str().ok()) else {
        return (StatusCode::BAD_REQUEST, "idempotency-key: expected").into_response();
    };
    let crashes = matches!(fault, Some(Extension(Fault::SessionFails)));
    let session = harness.attach(key, order, crashes);
    harness.desk.until(session.ends_at).await;
    if session.crashes {
        let problem = json!({"error": "the session ended with exit code 1: API error 429"});
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(problem)).into_response();
    }
    Json(harness.result(&session)).into_response()
}

/// Whether whoever asks may.
fn is_known(headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    let known = has(headers, "authorization", &format!("Bearer {KEY}"));
    if known { Ok(()) } else { Err((StatusCode::UNAUTHORIZED, "unauthorized")) }
}

async fn features(
    State(harness): State<Arc<HarnessSandbox>>,
    Path(agent): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, (StatusCode, &'static str)> {
    is_known(&headers)?;
    Ok(Json(harness.feature_list(&agent, harness.desk.now())))
}

/// Fails while the agents are said to be ill.
async fn healthy(
    fault: Option<Extension<Fault>>,
    headers: HeaderMap,
) -> Result<Json<Value>, (StatusCode, &'static str)> {
    is_known(&headers)?;
    match fault {
        Some(Extension(Fault::AgentIll)) => Err((StatusCode::BAD_GATEWAY, "the agent does not answer")),
        _ => Ok(Json(json!({"status": "ok"}))),
    }
}

#[derive(Deserialize)]
struct Marked {
    features: Vec<Review>,
}

async fn review(
    State(harness): State<Arc<HarnessSandbox>>,
    Path(agent): Path<String>,
    headers: HeaderMap,
    Json(marked): Json<Marked>,
) -> Result<Json<Value>, (StatusCode, &'static str)> {
    is_known(&headers)?;
    harness.reviews.lock().unwrap_or_else(PoisonError::into_inner).insert(agent, marked.features);
    Ok(Json(json!({})))
}

/// A number that looks like a commit's: FNV-1a.
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
