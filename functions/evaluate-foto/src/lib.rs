//! evaluate-foto: has a vision model judge the photos of an installation, and tells the contractor.
//!
//! An evaluation that did not happen is no evaluation: whatever keeps a single photo from being judged ends in an error or
//! in waiting, and then there is no row and no message.

mod outage;
mod review;

use std::{sync::Arc, time::Duration};

use durable::{Concurrency, Context, Result, Singleton, Workflow, minutes};
use fibreflow::{
    config::Settings,
    events::{EvaluationRequested, MessageQueued},
    neon::Neon,
    photos::{PhotoRef, Photos},
    vlm::{Answer, Evaluation, Health, Vlm},
};

use outage::Outage;
use review::approved;

/// What an evaluation takes.
#[derive(Debug, Clone)]
pub struct Services {
    /// Where the photos are.
    pub photos: Photos,
    /// The model that judges them.
    pub vlm: Vlm,
    /// Where evaluations are stored.
    pub neon: Arc<dyn Neon>,
    /// How long a run waits for a model that is away.
    pub outage: Duration,
    /// How long a run waits for a person's decision before its contractor is told; without this, it needs none.
    pub review: Option<Duration>,
}

impl Services {
    /// The services that the settings name; one error says all that is missing.
    pub fn from_settings(settings: Settings<'_>) -> Result<Self> {
        settings.make(|settings| {
            let (photos, vlm, neon) = (settings.photos(), settings.vlm(), settings.neon());
            let (outage, review) = (settings.vlm_outage(), settings.foto_review());
            Some(Self { photos: photos?, vlm: vlm?, neon: neon?, outage, review })
        })
    }

    /// One call to the model, which is asked for first: while it is away there is nothing to try.
    async fn judge(&self, drop: &str, photos: &[PhotoRef]) -> Result<Answer> {
        if let Health::Away { reason } = self.vlm.health().await? {
            return Ok(Answer::Away { reason });
        }
        let photos = self.photos.load(photos).await?;
        self.vlm.evaluate(drop, &photos).await
    }
}

/// Five evaluations at once: more and the model's server answers none of them in time. A drop that is submitted again is
/// judged by its new photos only.
pub fn workflow() -> Workflow<Services> {
    Workflow::new("evaluate-foto", evaluate_foto)
        .on_event("foto/evaluation.requested")
        .on_event("vlm/evaluation.requested")
        .retries(3)
        .concurrency(Concurrency::limit(5))
        .singleton(Singleton::newest().key(EvaluationRequested::key))
}

async fn evaluate_foto(ctx: Context<EvaluationRequested>, services: Services) -> Result<Evaluation> {
    let request = ctx.event();
    let (drop, addresses) = (request.drop()?, request.photos()?);

    let photos = ctx.step("download-image").run(|| services.photos.check(&addresses)).await?;
    let (mut review, mut outage) = (services.vlm.review(&drop, &photos), Outage::default());
    while let Some(call) = review.next_call() {
        let answer = ctx.step("vlm-evaluate").timeout(minutes(5)).run(|| services.judge(&drop, call)).await?;
        if let Some(reason) = review.take(answer) {
            outage.wait(&ctx, &services, reason).await?;
        }
    }
    let evaluation = review.evaluation()?;
    ctx.step("store-result").run(|| services.neon.store(&evaluation)).await?;
    if let Some(phone) = &request.contractor_phone
        && approved(&ctx, &services, &evaluation).await?
    {
        ctx.send_event("queue-notification", MessageQueued::for_evaluation(phone, &evaluation)).await?;
    }
    Ok(evaluation)
}
