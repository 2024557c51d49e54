//! A person's look at an evaluation before its contractor hears of it.

use durable::{Context, Error, Result, after};
use fibreflow::{
    events::{EvaluationRequested, ReviewDecided, ReviewRequested},
    vlm::Evaluation,
};

use crate::Services;

/// Whether the contractor is told. Asks a person, where that is wanted, and waits out of line: nobody's evaluation waits for
/// another one's review. Fails when nobody decides in time: the row is stored, and neither a silence nor a message would be right.
pub(crate) async fn approved(
    ctx: &Context<EvaluationRequested>,
    services: &Services,
    evaluation: &Evaluation,
) -> Result<bool> {
    let Some(time) = services.review else { return Ok(true) };
    let dr_number = evaluation.dr_number.clone();
    let began = ctx.began("store-result").unwrap_or_else(|| ctx.now());
    let asked = ReviewRequested { dr_number, message: evaluation.message(), until: after(began, time) };
    ctx.send_event("request-review", asked).await?;
    let decided =
        ctx.wait_for_event::<ReviewDecided>("await-review").matching("dr_number", &evaluation.dr_number);
    let decided = decided.timeout(time).aside().receive().await?;
    decided.map(|decided| decided.approved).ok_or_else(|| {
        let hours = time.as_secs() / 3600;
        Error::fatal(format!(
            "nobody reviewed the evaluation within {hours} h: it is stored, and its contractor was not told; run it again from \
             request-review, and send foto/review.decided"
        ))
    })
}
