//! The API under `/api/v1`: JSON in, JSON or problem details out, described by OpenAPI.

mod answers;
mod body;
mod care;
mod events;
mod flow;
mod runs;
mod security;

use axum::{Json, Router, middleware::from_fn_with_state, routing::get};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{access, console::Shared, problem::Problem};

/// The description's head; its paths come from the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "FibreFlow durable workflows",
        description = "See and steer runs of durable workflows. Lists come in pages: hand `next` back as `cursor`. What goes \
                       wrong is answered as problem details (RFC 9457) that name the field. Fields of payloads that are \
                       marked as sensitive are masked.",
        version = "1",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/")),
    tags(
        (name = "runs", description = "Runs of workflows and their steps"),
        (name = "events", description = "What starts runs, and what runs send"),
        (name = "workflows", description = "Definitions, numbers, pauses"),
        (name = "keys", description = "Flow control: who holds a key, who waits, what is reserved"),
        (name = "care", description = "Dead letters, health, the audit trail"),
    ),
    components(schemas(Problem)),
)]
struct Description;

fn described() -> (Router<Shared>, utoipa::openapi::OpenApi) {
    let (routes, mut description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(runs::list))
        .routes(routes!(runs::stream))
        .routes(routes!(runs::show))
        .routes(routes!(runs::stream_one))
        .routes(routes!(runs::output))
        .routes(routes!(runs::step_output))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::rerun))
        .routes(routes!(runs::bulk))
        .routes(routes!(answers::answer))
        .routes(routes!(events::list, events::send))
        .routes(routes!(events::show))
        .routes(routes!(events::resend))
        .routes(routes!(flow::workflows))
        .routes(routes!(flow::workflow))
        .routes(routes!(flow::statistics))
        .routes(routes!(flow::pause))
        .routes(routes!(flow::resume))
        .routes(routes!(flow::keys))
        .routes(routes!(flow::key))
        .routes(routes!(flow::throttles))
        .routes(routes!(flow::throttle))
        .routes(routes!(care::dead_letters))
        .routes(routes!(care::redrive))
        .routes(routes!(care::discard))
        .routes(routes!(care::redrive_all))
        .routes(routes!(care::health))
        .routes(routes!(care::audit))
        .split_for_parts();
    security::describe(&mut description);
    (routes, description)
}

/// The description of the API, as OpenAPI 3.1 in JSON.
pub fn description() -> String {
    let json = described().1.to_pretty_json();
    json.map(|mut json| {
        json.push('\n');
        json
    })
    .unwrap_or_default()
}

/// The routes of the API.
pub(crate) fn router(console: &Shared) -> Router<Shared> {
    let (routes, description) = described();
    let known = Router::new().route("/api/v1/openapi.json", get(async || Json(description)));
    routes
        .merge(known)
        .route("/api/v1/{*rest}", axum::routing::any(async || Problem::missing("such address in", "/api/v1")))
        .method_not_allowed_fallback(async || {
            Problem::new(
                axum::http::StatusCode::METHOD_NOT_ALLOWED,
                "there is no such method at this address",
            )
        })
        .layer(from_fn_with_state(console.clone(), access::for_api))
}
