//! evaluate-foto: has a vision model judge a photo of an installation, and tells the contractor.

use std::sync::Arc;

use durable::{Concurrency, Context, Result, Workflow, minutes};
use fibreflow::{
    config::Settings,
    events::{EvaluationRequested, MessageQueued},
    neon::Neon,
    photos::Photos,
    vlm::{Evaluation, Vlm},
};

/// What an evaluation takes.
#[derive(Debug, Clone)]
pub struct Services {
    /// Where the photos are.
    pub photos: Photos,
    /// The model that judges them.
    pub vlm: Vlm,
    /// Where evaluations are stored.
    pub neon: Arc<dyn Neon>,
}

impl Services {
    /// The services that the settings name; one error says all that is missing.
    pub fn from_settings(settings: Settings<'_>) -> Result<Self> {
        settings.make(|settings| {
            let (photos, vlm, neon) = (settings.photos(), settings.vlm(), settings.neon());
            Some(Self { photos: photos?, vlm: vlm?, neon: neon? })
        })
    }
}

/// Five evaluations at once: more and the model's server answers none of them in time.
pub fn workflow() -> Workflow<Services> {
    Workflow::new("evaluate-foto", evaluate_foto)
        .on_event("foto/evaluation.requested")
        .on_event("vlm/evaluation.requested")
        .retries(3)
        .concurrency(Concurrency::limit(5))
}

async fn evaluate_foto(ctx: Context<EvaluationRequested>, services: Services) -> Result<Evaluation> {
    let request = ctx.event();
    let drop = request.drop()?;

    let photo = ctx.step("download-image").run(|| services.photos.fetch(&request.image_url)).await?;
    let evaluation =
        ctx.step("vlm-evaluate").timeout(minutes(5)).run(|| services.vlm.evaluate(&photo, &drop)).await?;
    ctx.step("store-result").run(|| services.neon.store(&evaluation)).await?;
    if let Some(phone) = &request.contractor_phone {
        ctx.send_event("queue-notification", MessageQueued::for_evaluation(phone, &evaluation)).await?;
    }
    Ok(evaluation)
}
