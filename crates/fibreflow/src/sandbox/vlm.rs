//! The vision model behind vLLM's OpenAI-compatible interface.

use std::{
    io::Cursor,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use durable::seconds;
use image::ImageReader;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Fault,
    desk::{Desk, switchable},
};
use crate::vlm::STEPS;

/// The model that is served.
const MODEL: &str = "Qwen/Qwen3-VL-8B-Instruct";

/// The most photos in a call.
const PHOTOS: usize = 6;

/// See the module.
#[derive(Debug)]
pub struct VlmSandbox {
    pub(super) desk: Arc<Desk>,
    calls: AtomicUsize,
    at_work: AtomicUsize,
    most_at_work: AtomicUsize,
}

switchable!(VlmSandbox);

#[derive(Deserialize)]
struct Request {
    model: String,
    messages: Vec<Chat>,
}

#[derive(Deserialize)]
struct Chat {
    content: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    Text {
        #[expect(dead_code, reason = "the stand-in judges by the photo alone")]
        text: String,
    },
    ImageUrl {
        image_url: ImageUrl,
    },
}

#[derive(Deserialize)]
struct ImageUrl {
    url: String,
}

impl VlmSandbox {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        let zero = AtomicUsize::default;
        Self { desk, calls: zero(), at_work: zero(), most_at_work: zero() }
    }

    pub(super) fn router(this: &Arc<Self>) -> Router {
        Router::new()
            .route("/health", get(async || StatusCode::OK))
            .route("/v1/models", get(async || Json(json!({"object": "list", "data": [{"id": MODEL}]}))))
            .route("/v1/chat/completions", post(complete))
            .layer(DefaultBodyLimit::max(64 * 1024 * 1024))
            .with_state(this.clone())
    }

    /// How many judgements were asked for.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// How many judgements were at work at once, at most.
    pub fn most_at_once(&self) -> usize {
        self.most_at_work.load(Ordering::Relaxed)
    }
}

/// Counts a judgement as being at work, until it is dropped.
struct AtWork<'a>(&'a VlmSandbox);

impl<'a> AtWork<'a> {
    fn start(vlm: &'a VlmSandbox) -> Self {
        vlm.calls.fetch_add(1, Ordering::Relaxed);
        let now = vlm.at_work.fetch_add(1, Ordering::Relaxed) + 1;
        vlm.most_at_work.fetch_max(now, Ordering::Relaxed);
        Self(vlm)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn complete(
    State(vlm): State<Arc<VlmSandbox>>,
    fault: Option<Extension<Fault>>,
    Json(request): Json<Request>,
) -> Response {
    let _at_work = AtWork::start(&vlm);
    let fault = fault.map(|Extension(fault)| fault);
    if request.model != MODEL || fault == Some(Fault::ModelMissing) {
        let message = format!("The model `{}` does not exist.", request.model);
        return refuse(StatusCode::NOT_FOUND, &message, "NotFoundError");
    }
    let parts = request.messages.iter().flat_map(|chat| &chat.content);
    let photos: Vec<_> = parts
        .filter_map(|part| match part {
            Part::ImageUrl { image_url } => Some(image_url.url.as_str()),
            Part::Text { .. } => None,
        })
        .collect();
    if photos.len() > PHOTOS {
        let message = format!("At most {PHOTOS} image(s) may be provided in one request.");
        return refuse(StatusCode::BAD_REQUEST, &message, "BadRequestError");
    }
    if fault == Some(Fault::TooLong) {
        let message = "The decoder prompt (length 17203) is longer than the maximum model length of 16384.";
        return refuse(StatusCode::BAD_REQUEST, message, "BadRequestError");
    }
    let Some(seed) = photos.iter().map(|url| seed_of(url)).collect::<Option<Vec<_>>>() else {
        return refuse(StatusCode::BAD_REQUEST, "cannot identify image file", "BadRequestError");
    };
    let seed = seed.into_iter().fold(0, u64::wrapping_add);
    vlm.desk.take(seconds(15 + seed % 16)).await;
    let judged = judgement(seed);
    let (content, finish) = match fault {
        Some(Fault::CutOff) => (judged[..judged.len() / 2].to_owned(), "length"),
        Some(Fault::Prose) => ("The photo shows a wall with a white box on it.".to_owned(), "stop"),
        _ if seed % 3 == 0 => (format!("<think>\nThe label is legible.\n</think>\n\n{judged}"), "stop"),
        _ if seed % 3 == 1 => (format!("```json\n{judged}\n```"), "stop"),
        _ => (judged, "stop"),
    };
    Json(json!({
        "id": format!("chatcmpl-{seed:016x}"),
        "object": "chat.completion",
        "model": MODEL,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": content },
            "finish_reason": finish,
        }],
        "usage": { "prompt_tokens": 1480, "completion_tokens": 412, "total_tokens": 1892 },
    }))
    .into_response()
}

fn refuse(status: StatusCode, message: &str, kind: &str) -> Response {
    let error = json!({ "message": message, "type": kind, "param": null, "code": status.as_u16() });
    (status, Json(json!({ "error": error }))).into_response()
}

/// A number that the photo's bytes determine; `None` when they are no photo.
fn seed_of(url: &str) -> Option<u64> {
    let bytes = BASE64_STANDARD.decode(url.strip_prefix("data:image/jpeg;base64,")?).ok()?;
    ImageReader::new(Cursor::new(&bytes)).with_guessed_format().ok()?.into_dimensions().ok()?;
    Some(bytes.iter().fold(7, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(*byte))))
}

/// Scores that the photo determines: most steps pass, some do not.
fn judgement(seed: u64) -> String {
    let step = |(index, step): (u64, crate::vlm::Step)| -> Value {
        let score = 10 - (seed / 7 + index * index) % 5;
        let comment = if score >= 7 { "clear" } else { "blurred: take it again in daylight" };
        json!({ "name": step.name, "score": score, "comment": comment })
    };
    json!({ "steps": (0..).zip(STEPS).map(step).collect::<Vec<_>>() }).to_string()
}
