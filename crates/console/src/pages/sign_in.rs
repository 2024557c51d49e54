//! Getting in and out.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};

use subtle::ConstantTimeEq;

use super::{
    Page,
    form::{checked, fields},
    shell::Shell,
};
use crate::{
    access::{
        BEGUN, BEGUN_COOKIE, Begun, Identity, LINK, Linked, Provider, Role, begun_cookie, cookie_value,
        end_begun, end_cookie, session_cookie,
    },
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
    /// The provider with whom one can sign in.
    provider: Option<String>,
    /// Where that begins.
    begin: String,
}

pub(super) async fn page(State(console): State<Shared>, query: Query) -> Page {
    let shell = Shell::new(&console, None, "", "Sign in");
    let provider = console.access().sign_in_provider().map(|provider| provider.name().to_owned());
    let back = back(&query);
    let begin = Query::default().with(&[("back", &back)]);
    let refused = query.text("refused").is_some();
    Ok(Html(render(&SignInPage {
        shell,
        begin: format!("/console/sign-in/begin?{begin}"),
        back,
        refused,
        provider,
    })))
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
    tracing::info!(role = linked.role.as_str(), "somebody signed in by a link");
    enter(&console, linked.name, linked.role, &back(&fields))
}

/// Sends somebody to the provider.
pub(super) async fn begin(State(console): State<Shared>, query: Query) -> Result<Response> {
    let (url, begun) = provider(&console)?.begin().await.map_err(refused)?;
    let begun = Begun { back: back(&query), ..begun };
    let cookie = begun_cookie(console.access().seal(), &begun, console.now()).ok_or_else(unset)?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(url.as_str())).into_response())
}

/// Lets somebody in whom the provider has sent back.
pub(super) async fn callback(
    State(console): State<Shared>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response> {
    let seal = console.access().seal();
    let kept = cookie_value(&headers, BEGUN_COOKIE);
    let begun: Option<Begun> = kept.and_then(|kept| seal.open(BEGUN, kept, console.now()));
    let state = query.text("state").unwrap_or_default();
    // Nobody but the browser that began comes back with its state.
    let begun = begun.filter(|begun| bool::from(begun.state.as_bytes().ct_eq(state.as_bytes())));
    let begun = begun.ok_or_else(|| {
        Problem::forbidden("This sign-in was not begun here, or took too long: begin anew.")
    })?;
    let code =
        query.text("code").ok_or_else(|| Problem::forbidden("The sign-in provider did not let you in."))?;
    let (name, role) = provider(&console)?.finish(&begun, code).await.map_err(refused)?;
    tracing::info!(role = role.as_str(), "somebody signed in with the provider");
    let mut response = enter(&console, name, role, &begun.back)?;
    response.headers_mut().append(header::SET_COOKIE, end_begun().ok_or_else(unset)?);
    Ok(response)
}

fn provider(console: &Shared) -> Result<&Arc<dyn Provider>> {
    console.access().sign_in_provider().ok_or_else(|| Problem::missing("sign-in provider", "here"))
}

fn refused(error: durable::Error) -> Problem {
    let status = if error.is_retryable() { StatusCode::BAD_GATEWAY } else { StatusCode::FORBIDDEN };
    Problem::new(status, error.message())
}

/// Signs somebody in.
fn enter(console: &Shared, name: String, role: Role, to: &str) -> Result<Response> {
    let identity = Identity { session: console.fresh(), name, role };
    let cookie = session_cookie(console.access().seal(), &identity, console.now());
    Ok(entered(&cookie.ok_or_else(unset)?, to))
}

fn unset() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the session cannot be kept in a cookie")
}

/// Goes on with a cookie.
fn entered(cookie: &HeaderValue, to: &str) -> Response {
    ([(header::SET_COOKIE, cookie.clone())], Redirect::to(to)).into_response()
}

/// Whoever has signed in may sign out.
pub(super) async fn sign_out(
    State(console): State<Shared>,
    who: Identity,
    request: Request,
) -> Result<Response> {
    checked(&console, &who, &fields(request, &console).await?)?;
    Ok(entered(&end_cookie().ok_or_else(unset)?, "/console/sign-in"))
}
