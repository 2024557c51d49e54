//! Dead letters, health, and the audit trail.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use crate::{
    access::{Identity, Operator},
    console::Shared,
    problem::{Problem, Result},
    query::Query,
    views::{AuditItem, DeadLetterItem, HealthItem, Paged},
};

/// What became of a dead letter's work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Redriven {
    /// The run that goes on where the letter's own stood, if that had ended.
    run_id: Option<String>,
}

/// Whose dead letters get another chance.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedriveOrder {
    /// All of this workflow.
    workflow: String,
}

/// How many dead letters got another chance.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RedrivenAll {
    /// So many, as far as that is known now.
    count: u64,
}

/// Lists dead letters: messages that were given up.
#[utoipa::path(
    get, path = "/api/v1/dead-letters", tag = "care", operation_id = "list_dead_letters",
    params(("workflow" = Option<String>, Query, description = "Only of this workflow."), ("limit" = Option<u16>, Query, description = "At most so many: 1 to 1000, 50 when not given.", minimum = 1, maximum = 1000), ("cursor" = Option<String>, Query, description = "The `next` of the page before.")),
    responses(
        (status = 200, body = Paged<DeadLetterItem>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn dead_letters(
    State(console): State<Shared>,
    _: Identity,
    query: Query,
) -> Result<Json<Paged<DeadLetterItem>>> {
    console.dead_letters(&query).await.map(Json)
}

/// Gives a dead letter another chance.
#[utoipa::path(
    post, path = "/api/v1/dead-letters/{id}/redrive", tag = "care", operation_id = "redrive_dead_letter",
    params(("id" = String, Path, description = "The dead letter's id.")),
    responses(
        (status = 200, body = Redriven),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn redrive(
    State(console): State<Shared>,
    Operator(identity): Operator,
    Path(id): Path<String>,
) -> Result<Json<Redriven>> {
    let run_id = console.redrive(&identity.name, &id).await?;
    Ok(Json(Redriven { run_id }))
}

/// Drops a dead letter for good.
#[utoipa::path(
    delete, path = "/api/v1/dead-letters/{id}", tag = "care", operation_id = "discard_dead_letter",
    params(("id" = String, Path, description = "The dead letter's id.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn discard(
    State(console): State<Shared>,
    Operator(identity): Operator,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    console.discard(&identity.name, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives all dead letters of a workflow another chance.
#[utoipa::path(
    post, path = "/api/v1/dead-letters/redrive", tag = "care", operation_id = "redrive_dead_letters",
    request_body = RedriveOrder,
    responses(
        (status = 200, body = RedrivenAll),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn redrive_all(
    State(console): State<Shared>,
    Operator(identity): Operator,
    Body(order): Body<RedriveOrder>,
) -> Result<Json<RedrivenAll>> {
    let count = console.redrive_all(&identity.name, &order.workflow).await?;
    Ok(Json(RedrivenAll { count }))
}

/// How things stand: queues, the oldest run that waits, what is overdue.
#[utoipa::path(
    get, path = "/api/v1/health", tag = "care", operation_id = "show_health",
    responses(
        (status = 200, body = HealthItem),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn health(State(console): State<Shared>, _: Identity) -> Result<Json<HealthItem>> {
    console.health().await.map(Json)
}

/// Lists what people did, the newest first.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "care", operation_id = "list_audit",
    params(("target" = Option<String>, Query, description = "Only what was done to this run, event, workflow or dead letter."), ("since" = Option<String>, Query, description = "Only in the last 30m, 24h, 7d, …."), ("limit" = Option<u16>, Query, description = "At most so many: 1 to 1000, 50 when not given.", minimum = 1, maximum = 1000), ("cursor" = Option<String>, Query, description = "The `next` of the page before.")),
    responses(
        (status = 200, body = Paged<AuditItem>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn audit(
    State(console): State<Shared>,
    _: Identity,
    query: Query,
) -> Result<Json<Paged<AuditItem>>> {
    console.audit(&query).await.map(Json)
}
