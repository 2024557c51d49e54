//! The pages under `/console`: the same questions and deeds as the API's, for people.

mod answers;
mod bulk;
mod care;
mod events;
mod form;
mod keys;
mod run;
mod runs;
mod shell;
mod sign_in;
mod workflows;

use askama::Template;
use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use shell::Shell;

use crate::{
    access::{self, Identity},
    console::{Console, Shared},
    markup::render,
    problem::{Problem, Result},
};

/// What a page answers: HTML, or what is wrong, which [`explained`] makes a page of.
type Page = Result<Html<String>>;

/// What a form answers: where to go on.
type Done = Result<Redirect>;

pub(crate) fn router(console: &Shared) -> Router<Shared> {
    let pages = Router::new()
        .route("/console/runs", get(runs::page))
        .route("/console/runs/bulk", get(bulk::ask).post(bulk::act))
        .route("/console/live/runs", get(runs::live))
        .route("/console/runs/{id}", get(run::page))
        .route("/console/live/runs/{id}", get(run::live))
        .route("/console/runs/{id}/cancel", post(run::cancel))
        .route("/console/runs/{id}/rerun", post(run::rerun))
        .route("/console/runs/{id}/answer", post(answers::answer))
        .route("/console/runs/{id}/event", post(answers::event))
        .route("/console/events", get(events::list).post(events::send))
        .route("/console/events/new", get(events::new))
        .route("/console/events/{id}", get(events::show))
        .route("/console/events/{id}/resend", post(events::resend))
        .route("/console/workflows", get(workflows::list))
        .route("/console/workflows/{name}", get(workflows::show))
        .route("/console/workflows/{name}/pause", post(workflows::pause))
        .route("/console/workflows/{name}/resume", post(workflows::resume))
        .route("/console/keys", get(keys::list))
        .route("/console/keys/line", get(keys::line))
        .route("/console/keys/throttle", get(keys::throttle))
        .route("/console/dead-letters", get(care::dead_letters))
        .route("/console/dead-letters/redrive", post(care::redrive_all))
        .route("/console/dead-letters/{id}/redrive", post(care::redrive))
        .route("/console/dead-letters/{id}/discard", post(care::discard))
        .route("/console/health", get(care::health))
        .route("/console/audit", get(care::audit))
        .route("/console/sign-out", post(sign_in::sign_out))
        .route("/console/{*rest}", get(async || nothing_here()))
        .layer(from_fn_with_state(console.clone(), explained))
        .layer(from_fn_with_state(console.clone(), access::for_pages));
    let open = Router::new()
        .route("/console/sign-in", get(sign_in::page).post(sign_in::by_link))
        .route("/console/sign-in/begin", get(sign_in::begin))
        .route("/console/sign-in/callback", get(sign_in::callback))
        .layer(from_fn_with_state(console.clone(), explained))
        .layer(from_fn_with_state(console.clone(), access::for_anybody));
    pages.merge(open)
}

fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "There is no such page.")
}

/// Makes pages of problems.
async fn explained(State(console): State<Shared>, request: Request, next: Next) -> Response {
    let identity = request.extensions().get::<Identity>().cloned();
    let response = next.run(request).await;
    match response.extensions().get::<Problem>() {
        Some(problem) => failure(&console, identity, problem),
        None => response,
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    shell: Shell,
    problem: &'a Problem,
}

/// A page that says what is wrong.
pub(crate) fn failure(console: &Console, identity: Option<Identity>, problem: &Problem) -> Response {
    let shell = Shell::new(console, identity, "", problem.title());
    (problem.status(), Html(render(&ProblemPage { shell, problem }))).into_response()
}
