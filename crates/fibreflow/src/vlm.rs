//! The vision model: Qwen behind an OpenAI-compatible server.

mod answer;
mod criteria;
mod evaluation;
mod question;
mod review;

use durable::{Error, Result, minutes, seconds};
use serde::{Deserialize, Serialize};

pub use answer::Judgement;
pub use criteria::{Criteria, Step};
pub use evaluation::{Evaluation, Status, StepResult};
pub use review::{Answer, Review};

use crate::{
    http::{self, Endpoint},
    photos::{Photo, PhotoRef},
};

/// The most photos the model takes in a call.
const PHOTOS_PER_CALL: usize = 6;

/// Judges photos.
#[derive(Debug, Clone)]
pub struct Vlm {
    endpoint: Endpoint,
    /// The same server, for questions that it answers at once.
    quick: Endpoint,
    model: String,
    criteria: Criteria,
    photos_per_call: usize,
}

/// Whether the model is being served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It is.
    Serving,
    /// Nobody can be judged now, and that is nobody's failure: the server restarts, or runs without its model.
    Away {
        /// What shows it.
        reason: String,
    },
}

impl Health {
    fn away(reason: impl Into<String>) -> Self {
        Self::Away { reason: reason.into() }
    }
}

impl Vlm {
    /// The model of this name on a server, with FibreFlow's criteria and six photos a call.
    pub fn new(endpoint: Endpoint, model: impl Into<String>) -> Self {
        let (quick, endpoint) = (endpoint.clone().timeout(seconds(10)), endpoint.timeout(minutes(5)));
        let (criteria, photos_per_call) = (Criteria::default(), PHOTOS_PER_CALL);
        Self { endpoint, quick, model: model.into(), criteria, photos_per_call }
    }

    /// Judges by these steps and thresholds.
    #[must_use]
    pub fn criteria(mut self, criteria: Criteria) -> Self {
        self.criteria = criteria;
        self
    }

    /// Shows the model at most so many photos at once; 0 means 1.
    #[must_use]
    pub fn photos_per_call(mut self, photos: usize) -> Self {
        self.photos_per_call = photos.max(1);
        self
    }

    /// The review of a drop with these photos, none of them judged yet.
    pub fn review<'a>(&'a self, drop: &'a str, photos: &'a [PhotoRef]) -> Review<'a> {
        Review::new(&self.criteria, self.photos_per_call, drop, photos)
    }

    /// Asks whether the model is being served: the server answers, and the model is among those it has.
    ///
    /// An error is one that waiting does not mend, such as a server that wants to know who asks.
    pub async fn health(&self) -> Result<Health> {
        let reply = async {
            self.quick.get("/health").await?;
            self.quick.get("/v1/models").await
        };
        let models: Models = match reply.await {
            Ok(reply) => match http::json(&reply) {
                Ok(models) => models,
                Err(error) => return Ok(Health::away(error.message())),
            },
            // A proxy answers 404 while there is nothing behind it.
            Err(error) if error.is_retryable() || error.message().contains(": 404 ") => {
                return Ok(Health::away(error.message()));
            }
            Err(error) => return Err(error),
        };
        if models.data.iter().any(|model| model.id == self.model) {
            return Ok(Health::Serving);
        }
        let served: Vec<_> = models.data.into_iter().map(|model| model.id).collect();
        Ok(Health::away(format!("the server has {}, and not {}", served.join(", "), self.model)))
    }

    /// Has a drop judged by these photos, in one call.
    ///
    /// Whatever goes wrong is never a score. When the call fails and the model then turns out to be away, that is the
    /// answer; any other failure is an error, which says whether another attempt may help.
    pub async fn evaluate(&self, drop: &str, photos: &[Photo]) -> Result<Answer> {
        let request = question::request(&self.model, &self.criteria, drop, photos);
        let reply = match self.endpoint.post("/v1/chat/completions", &request).await {
            Ok(reply) => reply,
            Err(error) if is_too_much(&error) => return self.too_many(photos, error),
            Err(error) => return self.explain(error).await,
        };
        let completion: answer::Completion = http::json(&reply)?;
        if completion.is_cut_off() {
            return self.too_many(photos, Error::new("the model's answer was cut off"));
        }
        let steps = completion.judgements(&self.criteria)?;
        Ok(Answer::Judged { photos: photos.len(), steps })
    }

    /// With fewer photos there is less to read and less to say; with one there is nothing left to leave out.
    #[expect(clippy::unused_self, reason = "an answer like the others")]
    fn too_many(&self, photos: &[Photo], error: Error) -> Result<Answer> {
        match photos.len() {
            0 | 1 => Err(error),
            photos => Ok(Answer::TooMany { photos, reason: error.message().to_owned() }),
        }
    }

    /// What a call that failed means. The server is asked: it may have been restarted over the call.
    async fn explain(&self, error: Error) -> Result<Answer> {
        let is_missing = error.message().contains("NotFoundError");
        if !error.is_retryable() && !is_missing {
            return Err(error);
        }
        match self.health().await? {
            Health::Away { reason } => Ok(Answer::Away { reason: format!("{error}; {reason}") }),
            // The model is loaded while its server is answering already, so a model that is missing comes back.
            Health::Serving if is_missing => Err(Error::new(error.message())),
            Health::Serving => Err(error),
        }
    }
}

/// Whether a server refused a call because it was shown too much at once.
fn is_too_much(error: &Error) -> bool {
    ["maximum model length", "maximum context length", "image(s) may be provided"]
        .iter()
        .any(|words| error.message().contains(words))
}

#[derive(Debug, Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Debug, Deserialize)]
struct Model {
    id: String,
}
