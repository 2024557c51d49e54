//! Getting in and out.

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Redirect, Response},
};

use super::{
    Page,
    form::{Form, fields},
    shell::Shell,
};
use crate::{
    access::{Identity, LINK, Linked, end_cookie, session_cookie},
    console::Shared,
    markup::render,
    problem::{Problem, Result},
    query::Query,
};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    shell: Shell,
    back: String,
    /// Whether a link was not good.
    refused: bool,
}

pub(super) async fn page(State(console): State<Shared>, query: Query) -> Page {
    let shell = Shell::new(&console, None, "", "Sign in");
    Ok(Html(render(&SignInPage { shell, back: back(&query), refused: query.text("refused").is_some() })))
}

/// Where somebody wanted to go: a page of ours and nothing else.
fn back(query: &Query) -> String {
    let back = query.text("back").unwrap_or_default();
    if back.starts_with("/console/") && !back.contains(['\\', '\n', '\r']) {
        back.to_owned()
    } else {
        "/console/runs".to_owned()
    }
}

/// Signs in whoever comes with a link that is good.
pub(super) async fn by_link(State(console): State<Shared>, request: Request) -> Result<Response> {
    let fields = fields(request, &console).await?;
    let now = console.now();
    let seal = console.access().seal();
    let linked: Option<Linked> = seal.open(LINK, fields.text("link").unwrap_or_default(), now);
    // Somewhere else, so that a link opened next is not sent here again by loading this answer anew.
    let Some(linked) = linked else {
        return Ok(Redirect::to("/console/sign-in?refused=yes").into_response());
    };
    let identity = Identity { session: console.fresh(), name: linked.name, role: linked.role };
    tracing::info!(role = identity.role.as_str(), "somebody signed in by a link");
    Ok(entered(&session_cookie(seal, &identity, now).ok_or_else(unset)?, &back(&fields)))
}

fn unset() -> Problem {
    Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "the session cannot be kept in a cookie")
}

/// Goes on with a cookie.
fn entered(cookie: &HeaderValue, to: &str) -> Response {
    ([(header::SET_COOKIE, cookie.clone())], Redirect::to(to)).into_response()
}

pub(super) async fn sign_out(_: State<Shared>, _: Form) -> Result<Response> {
    Ok(entered(&end_cookie().ok_or_else(unset)?, "/console/sign-in"))
}
