//! The vision model: Qwen behind an OpenAI-compatible server.

mod answer;
mod evaluation;

use durable::{Error, Result, minutes};
use serde_json::{Value, json};

pub use evaluation::{Evaluation, STEPS, Status, Step, StepResult};

use crate::{
    http::{self, Endpoint},
    photos::Photo,
};

/// Judges photos.
#[derive(Debug, Clone)]
pub struct Vlm {
    endpoint: Endpoint,
    model: String,
}

impl Vlm {
    /// The model of this name on a server.
    pub fn new(endpoint: Endpoint, model: impl Into<String>) -> Self {
        Self { endpoint: endpoint.timeout(minutes(5)), model: model.into() }
    }

    /// Judges a photo of a drop.
    ///
    /// Whatever goes wrong is an error, never a score: a missing model, an answer that is cut off or that leaves steps out.
    /// All of it can be tried again except a photo the model cannot take.
    pub async fn evaluate(&self, photo: &Photo, drop: &str) -> Result<Evaluation> {
        let reply = self.endpoint.post("/v1/chat/completions", &self.request(photo, drop)).await.map_err(
            |error| {
                // The server answers 404 while it is being restarted without its model, and the model comes back.
                if error.message().contains("NotFoundError") { Error::new(error.message()) } else { error }
            },
        )?;
        let completion: answer::Completion = http::json(&reply)?;
        Ok(Evaluation::of(drop, completion.judgements()?))
    }

    fn request(&self, photo: &Photo, drop: &str) -> Value {
        let steps: Vec<_> = STEPS.iter().map(|step| format!("- {}: {}", step.name, step.label)).collect();
        let question = format!(
            "This photo shows the fibre installation {drop}. Judge each step, also when the photo does not show it (score 0). \
             Answer with JSON only: {{\"steps\":[{{\"name\":…,\"score\":0 to 10,\"comment\":…}}]}}, with exactly these names:\n{}",
            steps.join("\n")
        );
        json!({
            "model": self.model,
            "temperature": 0.1,
            "max_tokens": 2000,
            "messages": [{ "role": "user", "content": [
                { "type": "text", "text": question },
                { "type": "image_url", "image_url": { "url": photo.data_url() } },
            ]}],
        })
    }
}
