//! Workflows and flow control.

use axum::{
    Json,
    extract::{Path, State},
};

use crate::{
    access::{Identity, Operator},
    console::Shared,
    problem::{Problem, Result},
    query::Query,
    views::{KeyItem, KeyLine, Paged, StatisticsItem, ThrottleItem, ThrottleLedger, WorkflowItem},
};

/// Lists the workflows: what starts them, how their runs flow, which are paused.
#[utoipa::path(
    get, path = "/api/v1/workflows", tag = "workflows", operation_id = "list_workflows",
    responses(
        (status = 200, body = Vec<WorkflowItem>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn workflows(State(console): State<Shared>, _: Identity) -> Result<Json<Vec<WorkflowItem>>> {
    console.workflows().await.map(Json)
}

/// Shows a workflow.
#[utoipa::path(
    get, path = "/api/v1/workflows/{name}", tag = "workflows", operation_id = "show_workflow",
    params(("name" = String, Path, description = "The workflow's name.")),
    responses(
        (status = 200, body = WorkflowItem),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn workflow(
    State(console): State<Shared>,
    _: Identity,
    Path(name): Path<String>,
) -> Result<Json<WorkflowItem>> {
    console.workflow(&name).await.map(Json)
}

/// Numbers about each workflow over the last hours: how its runs ended, how long they took, hour by hour.
#[utoipa::path(
    get, path = "/api/v1/statistics", tag = "workflows", operation_id = "show_statistics",
    params(("hours" = Option<u16>, Query, description = "Over so many hours: 1 to 168, 24 when not given.", minimum = 1, maximum = 168)),
    responses(
        (status = 200, body = Vec<StatisticsItem>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn statistics(
    State(console): State<Shared>,
    _: Identity,
    query: Query,
) -> Result<Json<Vec<StatisticsItem>>> {
    console.statistics(query.hours()?).await.map(Json)
}

/// Keeps a workflow from starting runs. They queue up, and start when it is resumed; runs that have started go on.
#[utoipa::path(
    post, path = "/api/v1/workflows/{name}/pause", tag = "workflows", operation_id = "pause_workflow",
    params(("name" = String, Path, description = "The workflow's name.")),
    responses(
        (status = 200, body = WorkflowItem),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn pause(
    State(console): State<Shared>,
    Operator(identity): Operator,
    Path(name): Path<String>,
) -> Result<Json<WorkflowItem>> {
    console.pause(&identity.name, &name).await.map(Json)
}

/// Lets a workflow start runs again, beginning with those that waited.
#[utoipa::path(
    post, path = "/api/v1/workflows/{name}/resume", tag = "workflows", operation_id = "resume_workflow",
    params(("name" = String, Path, description = "The workflow's name.")),
    responses(
        (status = 200, body = WorkflowItem),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn resume(
    State(console): State<Shared>,
    Operator(identity): Operator,
    Path(name): Path<String>,
) -> Result<Json<WorkflowItem>> {
    console.resume(&identity.name, &name).await.map(Json)
}

/// Lists the concurrency keys that are in use.
#[utoipa::path(
    get, path = "/api/v1/keys", tag = "keys", operation_id = "list_keys",
    params(("prefix" = Option<String>, Query, description = "Only keys that start with this."), ("limit" = Option<u16>, Query, description = "At most so many: 1 to 1000, 50 when not given.", minimum = 1, maximum = 1000), ("cursor" = Option<String>, Query, description = "The `next` of the page before.")),
    responses(
        (status = 200, body = Paged<KeyItem>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn keys(
    State(console): State<Shared>,
    _: Identity,
    query: Query,
) -> Result<Json<Paged<KeyItem>>> {
    console.keys(&query).await.map(Json)
}

/// Who holds a concurrency key and who waits for it. Several keys when masked numbers look alike.
#[utoipa::path(
    get, path = "/api/v1/keys/{key}", tag = "keys", operation_id = "show_key",
    params(("key" = String, Path, description = "The key, as it is shown.")),
    responses(
        (status = 200, body = Vec<KeyLine>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn key(
    State(console): State<Shared>,
    _: Identity,
    Path(key): Path<String>,
) -> Result<Json<Vec<KeyLine>>> {
    console.key(&key).await.map(Json)
}

/// Lists the throttle keys that are in use.
#[utoipa::path(
    get, path = "/api/v1/throttles", tag = "keys", operation_id = "list_throttles",
    params(("prefix" = Option<String>, Query, description = "Only keys that start with this."), ("limit" = Option<u16>, Query, description = "At most so many: 1 to 1000, 50 when not given.", minimum = 1, maximum = 1000), ("cursor" = Option<String>, Query, description = "The `next` of the page before.")),
    responses(
        (status = 200, body = Paged<ThrottleItem>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn throttles(
    State(console): State<Shared>,
    _: Identity,
    query: Query,
) -> Result<Json<Paged<ThrottleItem>>> {
    console.throttles(&query).await.map(Json)
}

/// The starts of a throttle key: those that count, and those reserved. Several keys when masked numbers look alike.
#[utoipa::path(
    get, path = "/api/v1/throttles/{key}", tag = "keys", operation_id = "show_throttle",
    params(("key" = String, Path, description = "The key, as it is shown.")),
    responses(
        (status = 200, body = Vec<ThrottleLedger>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn throttle(
    State(console): State<Shared>,
    _: Identity,
    Path(key): Path<String>,
) -> Result<Json<Vec<ThrottleLedger>>> {
    console.throttle(&key).await.map(Json)
}
