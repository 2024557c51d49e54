//! Events.

use axum::{
    Json,
    extract::{Extension, Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::body::Body;
use crate::{
    access::{HasEventKey, Identity, Operator},
    console::Shared,
    problem::{Problem, Result},
    query::Query,
    service::{EventOrder, Sent},
    views::{EventDetail, EventItem, Paged},
};

/// Lists events, the newest first, each with the runs it started.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", operation_id = "list_events",
    params(
        ("name" = Option<String>, Query, description = "Only of this name."),
        ("since" = Option<String>, Query, description = "Only those sent in the last 30m, 24h, 7d, …."),
        ("from" = Option<String>, Query, description = "Only those sent at this time (RFC 3339) or later."),
        ("before" = Option<String>, Query, description = "Only those sent before this time (RFC 3339)."),
        ("limit" = Option<u16>, Query, description = "At most so many: 1 to 1000, 50 when not given.", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before."),
    ),
    responses(
        (status = 200, body = Paged<EventItem>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(
    State(console): State<Shared>,
    _: Identity,
    query: Query,
) -> Result<Json<Paged<EventItem>>> {
    console.events(&query).await.map(Json)
}

/// Shows an event, its data and the runs it started.
#[utoipa::path(
    get, path = "/api/v1/events/{id}", tag = "events", operation_id = "show_event",
    params(("id" = String, Path, description = "The event's id.")),
    responses(
        (status = 200, body = EventDetail),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(
    State(console): State<Shared>,
    _: Identity,
    Path(id): Path<String>,
) -> Result<Json<EventDetail>> {
    console.event(&id).await.map(Json)
}

/// Sends an event. Whoever has an event key may: `Authorization: Bearer KEY`.
#[utoipa::path(
    post, path = "/api/v1/events", tag = "events", operation_id = "send_event",
    request_body = EventOrder,
    responses(
        (status = 202, body = Sent, description = "The event is durable; its runs queue."),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn send(
    State(console): State<Shared>,
    key: Option<Extension<HasEventKey>>,
    identity: Option<Extension<Identity>>,
    Body(order): Body<EventOrder>,
) -> Result<(StatusCode, Json<Sent>)> {
    let who = match (&identity, &key) {
        (Some(Extension(identity)), _) if identity.is_operator() => identity.name.as_str(),
        (None, Some(_)) => "event key",
        _ => {
            return Err(Problem::forbidden("only an operator, or whoever has an event key, may send events"));
        }
    };
    Ok((StatusCode::ACCEPTED, Json(console.send(who, order).await?)))
}

/// How an event is sent again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ResendOrder {
    /// A text of one's own choice: the same request made again sends the same event.
    request: Option<String>,
}

/// Sends an event of the past again, as an event of its own.
#[utoipa::path(
    post, path = "/api/v1/events/{id}/resend", tag = "events", operation_id = "resend_event",
    params(("id" = String, Path, description = "The event's id.")),
    request_body = Option<ResendOrder>,
    responses(
        (status = 202, body = Sent, description = "The event is durable; its runs queue."),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn resend(
    State(console): State<Shared>,
    Operator(identity): Operator,
    Path(id): Path<String>,
    Body(order): Body<ResendOrder>,
) -> Result<(StatusCode, Json<Sent>)> {
    Ok((StatusCode::ACCEPTED, Json(console.resend(&identity.name, &id, order.request).await?)))
}
