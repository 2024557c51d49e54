//! Answers to steps that wait for one.

use axum::{
    extract::{Path, State},
    http::StatusCode,
};

use super::body::Body;
use crate::{
    access::Operator,
    console::Shared,
    problem::{Problem, Result},
    service::AnswerOrder,
};

/// Answers a step that waits for an answer from outside; the run goes on.
///
/// The token is that of the run's `waits_for`. The same answer sent again changes nothing; another one comes too late.
#[utoipa::path(
    post, path = "/api/v1/callbacks/{token}", tag = "runs", operation_id = "answer_step",
    params(("token" = String, Path, description = "Names the run, the step and its attempt.")),
    request_body = AnswerOrder,
    responses(
        (status = 204, description = "The answer is recorded, and the run goes on with it."),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn answer(
    State(console): State<Shared>,
    Operator(identity): Operator,
    Path(token): Path<String>,
    Body(order): Body<AnswerOrder>,
) -> Result<StatusCode> {
    console.answer(&identity.name, &token, order).await?;
    Ok(StatusCode::NO_CONTENT)
}
