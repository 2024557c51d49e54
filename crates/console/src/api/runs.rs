//! Runs.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::Body;
use crate::{
    access::{Identity, Operator},
    console::{Console, Shared},
    live::{self, Told},
    problem::{Problem, Result},
    query::Query,
    service::{BulkOrder, BulkOutcome, RerunOrder},
    views::{Paged, RunDetail, RunItem, RunStatus},
};

/// Lists runs, the newest first.
#[utoipa::path(
    get, path = "/api/v1/runs", tag = "runs", operation_id = "list_runs",
    params(
        ("status" = Option<Vec<RunStatus>>, Query, description = "Only with one of these statuses; may be repeated."),
        ("workflow" = Option<Vec<String>>, Query, description = "Only of one of these workflows; may be repeated."),
        ("event_id" = Option<String>, Query, description = "Only those that the event with this id started, reruns included."),
        ("event" = Option<String>, Query, description = "Only those started by an event of this name."),
        ("key" = Option<String>, Query, description = "Only those with this flow-control key."),
        ("q" = Option<String>, Query, description = "The start of a run's id, or the whole of an event's id or a key."),
        ("since" = Option<String>, Query, description = "Only those accepted in the last 30m, 24h, 7d, …."),
        ("from" = Option<String>, Query, description = "Only those accepted at this time (RFC 3339) or later."),
        ("before" = Option<String>, Query, description = "Only those accepted before this time (RFC 3339)."),
        ("limit" = Option<u16>, Query, description = "At most so many: 1 to 1000, 50 when not given.", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before."),
    ),
    responses(
        (status = 200, body = Paged<RunItem>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(
    State(console): State<Shared>,
    _: Identity,
    query: Query,
) -> Result<Json<Paged<RunItem>>> {
    console.runs(&query).await.map(Json)
}

/// Tells of the runs of a list, at once and whenever they change.
///
/// Server-sent events named `runs`; each holds the page as `GET /api/v1/runs` with the same parameters answers it.
#[utoipa::path(
    get, path = "/api/v1/runs/stream", tag = "runs", operation_id = "stream_runs",
    params(
        ("status" = Option<Vec<RunStatus>>, Query, description = "Only with one of these statuses; may be repeated."),
        ("workflow" = Option<Vec<String>>, Query, description = "Only of one of these workflows; may be repeated."),
        ("q" = Option<String>, Query, description = "The start of a run's id, or the whole of an event's id or a key."),
        ("limit" = Option<u16>, Query, description = "At most so many: 1 to 1000, 50 when not given.", minimum = 1, maximum = 1000),
    ),
    responses(
        (status = 200, body = ServerSentEvent, content_type = "text/event-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn stream(
    State(console): State<Shared>,
    _: Identity,
    headers: HeaderMap,
    query: Query,
) -> Result<Response> {
    // What is wrong is said before anything is told.
    query.runs(console.now())?;
    query.page()?;
    let live = console.liveness().clone();
    let query = Arc::new(query);
    Ok(live::stream(&live, &headers, "runs", move || {
        let (console, query) = (console.clone(), query.clone());
        async move { told(console.runs(&query).await, |_| false) }
    }))
}

/// Shows a run with its steps, what caused it and what it caused.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}", tag = "runs", operation_id = "show_run",
    params(("id" = String, Path, description = "The run's id.")),
    responses(
        (status = 200, body = RunDetail),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(
    State(console): State<Shared>,
    _: Identity,
    Path(id): Path<String>,
) -> Result<Json<RunDetail>> {
    console.run(&id).await.map(Json)
}

/// Tells of a run, at once and whenever it changes, until it has ended.
///
/// Server-sent events named `run`; each holds the run as `GET /api/v1/runs/{id}` answers it. An event named `end` is the
/// last.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/stream", tag = "runs", operation_id = "stream_run",
    params(("id" = String, Path, description = "The run's id.")),
    responses(
        (status = 200, body = ServerSentEvent, content_type = "text/event-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn stream_one(
    State(console): State<Shared>,
    _: Identity,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response> {
    console.run(&id).await?;
    let live = console.liveness().clone();
    Ok(live::stream(&live, &headers, "run", move || {
        let (console, id): (Arc<Console>, _) = (console.clone(), id.clone());
        async move { told(console.run(&id).await, |run| run.run.status.is_final()) }
    }))
}

/// What a stream tells at one moment.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what a stream holds")]
pub(crate) struct ServerSentEvent {
    /// What is told: `runs`, `run` or `end`.
    event: Option<String>,
    /// Differs when what is told does: a client that comes back sends it as `Last-Event-ID`, and is told only news.
    id: Option<String>,
    /// JSON; empty with `end`.
    data: Option<String>,
    /// After how many milliseconds a client whose connection ended comes back.
    retry: Option<u64>,
}

fn told<T: Serialize>(looked: Result<T>, is_last: impl Fn(&T) -> bool) -> Told {
    let Ok(state) = looked else { return Told::Nothing };
    match serde_json::to_string(&state) {
        Ok(json) if is_last(&state) => Told::Last(json),
        Ok(json) => Told::State(json),
        Err(_) => Told::Nothing,
    }
}

/// What a run answered, however large.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/output", tag = "runs", operation_id = "show_run_output",
    params(("id" = String, Path, description = "The run's id.")),
    responses(
        (status = 200, body = Value),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn output(
    State(console): State<Shared>,
    _: Identity,
    Path(id): Path<String>,
) -> Result<Json<Value>> {
    console.output(&id, None).await.map(Json)
}

/// What a step of a run returned, however large.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/steps/{step}/output", tag = "runs", operation_id = "show_step_output",
    params(
        ("id" = String, Path, description = "The run's id."),
        ("step" = String, Path, description = "The step: `name`, or `name#n` for the n-th of that name."),
    ),
    responses(
        (status = 200, body = Value),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn step_output(
    State(console): State<Shared>,
    _: Identity,
    Path((id, step)): Path<(String, String)>,
) -> Result<Json<Value>> {
    console.output(&id, Some(&step)).await.map(Json)
}

/// Ends a run that has not ended.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/cancel", tag = "runs", operation_id = "cancel_run",
    params(("id" = String, Path, description = "The run's id.")),
    responses(
        (status = 200, body = RunItem),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn cancel(
    State(console): State<Shared>,
    Operator(identity): Operator,
    Path(id): Path<String>,
) -> Result<Json<RunItem>> {
    console.cancel(&identity.name, &id).await.map(Json)
}

/// A run that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Made {
    /// Its id.
    run_id: String,
}

/// Runs a run that has ended again: whole, or from a step.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/rerun", tag = "runs", operation_id = "rerun_run",
    params(("id" = String, Path, description = "The run's id.")),
    request_body = Option<RerunOrder>,
    responses(
        (status = 202, body = Made, description = "The new run queues."),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn rerun(
    State(console): State<Shared>,
    Operator(identity): Operator,
    Path(id): Path<String>,
    Body(order): Body<RerunOrder>,
) -> Result<(StatusCode, Json<Made>)> {
    let run_id = console.rerun(&identity.name, &id, order).await?;
    Ok((StatusCode::ACCEPTED, Json(Made { run_id })))
}

/// Cancels many runs, or runs them again. Without `dry_run: false` it only says which.
#[utoipa::path(
    post, path = "/api/v1/runs/bulk", tag = "runs", operation_id = "act_on_runs",
    request_body = BulkOrder,
    responses(
        (status = 200, body = BulkOutcome),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn bulk(
    State(console): State<Shared>,
    Operator(identity): Operator,
    Body(order): Body<BulkOrder>,
) -> Result<Json<BulkOutcome>> {
    console.bulk(&identity.name, order).await.map(Json)
}
