//! The vision model behind vLLM's OpenAI-compatible interface.

use std::{
    io::Cursor,
    sync::{
        Arc, Mutex, PoisonError,
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
use serde_json::{Map, Value, json};

use super::{
    Fault,
    desk::{Desk, switchable},
};
use crate::vlm::Criteria;

/// The model that is served.
const MODEL: &str = "Qwen/Qwen3-VL-8B-Instruct";

/// What else a server of this family may have instead.
const OTHER_MODEL: &str = "Qwen/Qwen3-VL-30B-A3B-Instruct";

/// The most photos in a call.
const PHOTOS: usize = 6;

/// The most tokens of a prompt.
const CONTEXT: u32 = 16_384;

/// See the module.
#[derive(Debug)]
pub struct VlmSandbox {
    pub(super) desk: Arc<Desk>,
    calls: AtomicUsize,
    at_work: AtomicUsize,
    most_at_work: AtomicUsize,
    /// The sizes of the photos of each call.
    seen: Mutex<Vec<Vec<(u32, u32)>>>,
}

switchable!(VlmSandbox);

#[derive(Deserialize)]
struct Request {
    model: String,
    messages: Vec<Chat>,
    #[serde(default)]
    response_format: Value,
}

#[derive(Deserialize)]
struct Chat {
    content: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    Text { text: String },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Deserialize)]
struct ImageUrl {
    url: String,
}

impl VlmSandbox {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        let zero = AtomicUsize::default;
        Self { desk, calls: zero(), at_work: zero(), most_at_work: zero(), seen: Mutex::default() }
    }

    pub(super) fn router(this: &Arc<Self>) -> Router {
        Router::new()
            .route("/health", get(async || StatusCode::OK))
            .route("/v1/models", get(models))
            .route("/v1/chat/completions", post(complete))
            .layer(DefaultBodyLimit::max(64 * 1024 * 1024))
            .with_state(this.clone())
    }

    /// How many judgements reached the model.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// How many judgements were asked for, those included that a fault kept from the model.
    pub fn asked(&self) -> u64 {
        self.desk.orders()
    }

    /// The width and height of the photos that the model was shown, call by call.
    pub fn seen(&self) -> Vec<Vec<(u32, u32)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

async fn models(fault: Option<Extension<Fault>>) -> Json<Value> {
    let is_missing = fault.is_some_and(|Extension(fault)| fault == Fault::ModelMissing);
    let id = if is_missing { OTHER_MODEL } else { MODEL };
    Json(json!({ "object": "list", "data": [{ "id": id, "object": "model", "owned_by": "vllm" }] }))
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
    let Some(photos) = photos.iter().map(|url| Shown::read(url)).collect::<Option<Vec<_>>>() else {
        return refuse(StatusCode::BAD_REQUEST, "cannot identify image file", "BadRequestError");
    };
    vlm.seen
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(photos.iter().map(|photo| (photo.width, photo.height)).collect());
    let tokens = match fault {
        Some(Fault::TooLong) => 17_203,
        _ => request.words() + photos.iter().map(Shown::tokens).sum::<u32>(),
    };
    if tokens > CONTEXT {
        let message = format!(
            "The decoder prompt (length {tokens}) is longer than the maximum model length of {CONTEXT}."
        );
        return refuse(StatusCode::BAD_REQUEST, &message, "BadRequestError");
    }
    let seed = photos.iter().fold(0, |seed: u64, photo| seed.wrapping_add(photo.seed));
    vlm.desk.take(seconds(15 + seed % 16)).await;
    let judged = judgement(seed, &request.steps());
    let (content, finish) = match fault {
        Some(Fault::CutOff) => (judged[..judged.len() / 2].to_owned(), "length"),
        Some(Fault::Prose) => ("The photo shows a wall with a white box on it.".to_owned(), "stop"),
        Some(Fault::Refusal) => (String::new(), "stop"),
        _ if seed % 3 == 0 => (format!("<think>\nThe label is legible.\n</think>\n\n{judged}"), "stop"),
        _ if seed % 3 == 1 => (format!("```json\n{judged}\n```"), "stop"),
        _ => (judged, "stop"),
    };
    let refusal = (fault == Some(Fault::Refusal)).then_some("I'm sorry, but I can't help with that.");
    Json(json!({
        "id": format!("chatcmpl-{seed:016x}"),
        "object": "chat.completion",
        "model": MODEL,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": content, "refusal": refusal },
            "finish_reason": finish,
        }],
        "usage": { "prompt_tokens": tokens, "completion_tokens": 412, "total_tokens": tokens + 412 },
    }))
    .into_response()
}

fn refuse(status: StatusCode, message: &str, kind: &str) -> Response {
    let error = json!({ "message": message, "type": kind, "param": null, "code": status.as_u16() });
    (status, Json(json!({ "error": error }))).into_response()
}

impl Request {
    /// The tokens of its text, about.
    fn words(&self) -> u32 {
        let parts = self.messages.iter().flat_map(|chat| &chat.content);
        let bytes: usize =
            parts.map(|part| if let Part::Text { text } = part { text.len() } else { 0 }).sum();
        u32::try_from(bytes / 4).unwrap_or(u32::MAX)
    }

    /// The fields that its schema asks for, as guided decoding keeps to them; FibreFlow's without one.
    fn steps(&self) -> Vec<String> {
        let required = self.response_format.pointer("/json_schema/schema/required").and_then(Value::as_array);
        match required {
            Some(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None => Criteria::default().steps().iter().map(|step| step.name.clone()).collect(),
        }
    }
}

/// A photo, as the model sees it.
struct Shown {
    width: u32,
    height: u32,
    /// A number that its bytes determine.
    seed: u64,
}

impl Shown {
    /// `None` for what is no photo.
    fn read(url: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(url.strip_prefix("data:image/jpeg;base64,")?).ok()?;
        let reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().ok()?;
        let (width, height) = reader.into_dimensions().ok()?;
        let seed =
            bytes.iter().fold(7, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        Some(Self { width, height, seed })
    }

    /// A token a square of 32 pixels.
    fn tokens(&self) -> u32 {
        self.width.div_ceil(32) * self.height.div_ceil(32)
    }
}

/// Scores that the photos determine: most steps pass, some do not.
fn judgement(seed: u64, steps: &[String]) -> String {
    let judged = |(index, step): (u64, &String)| {
        let score = 10 - (seed / 7 + index * index) % 5;
        let comment = if score >= 7 { "clear" } else { "blurred: take it again in daylight" };
        (step.clone(), json!({ "score": score, "comment": comment }))
    };
    Value::Object((0..).zip(steps).map(judged).collect::<Map<_, _>>()).to_string()
}
