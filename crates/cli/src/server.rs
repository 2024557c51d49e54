//! The HTTP interface of `fibreflow dev`.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use durable::{
    ActionError, Clock, Definition, Desk, Error, LARGEST_PAGE, PageRequest, Reply, RunFilter, RunId,
    RunSummary,
    callback::{self, Settled, Token},
};
use durable_local::{Accepted, Store, SystemClock};
use orchestrator::{Answer, Decision, Registries, Task, route};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    answer, args,
    catalogue::LeftOut,
    failure::Failure,
    inbound::{self, Inbound, Problem, ProblemKind},
};

/// Bodies up to this size are read and refused with a word on what is too large; larger ones are cut off.
const LARGEST_BODY: usize = 4 * 1024 * 1024;

/// How many runs are listed when nobody says how many.
const LISTED: usize = 100;

/// What the requests need.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) desk: Desk,
    pub(crate) definitions: Vec<Definition>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) registries: Arc<Registries>,
    pub(crate) sandbox: bool,
}

/// The routes, and beside them the console's.
pub(crate) fn router(api: Arc<Api>, console: Router) -> Router {
    let router = Router::new()
        .route("/", get(welcome))
        .route("/health", get(health))
        .route("/events", post(post_event))
        .route("/tasks", post(post_task))
        .route("/runs", get(list_runs))
        .route("/runs/{id}", get(show_run))
        .route("/runs/{id}/cancel", post(cancel_run))
        .route("/callbacks/{token}", post(post_answer))
        .fallback(async || {
            refuse(StatusCode::NOT_FOUND, "no such address: GET / lists those there are", None)
        })
        .method_not_allowed_fallback(async || {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "no such method here: GET / lists those there are", None)
        })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn(for_this_machine))
        .with_state(api);
    // The console guards itself.
    router.merge(console)
}

/// Lets a request pass that names this machine, and that no page of another origin has caused.
async fn for_this_machine(request: Request, next: Next) -> Response {
    match console::loopback(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(reason) => refuse(StatusCode::FORBIDDEN, reason, None).into_response(),
    }
}

/// People come with a browser, and get the console.
async fn welcome(headers: HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accepts| accepts.to_str().ok());
    if accepts.is_some_and(|accepts| accepts.contains("text/html")) {
        return Redirect::to("/console").into_response();
    }
    WELCOME.into_response()
}

const WELCOME: &str = "\
fibreflow dev

POST /events              {\"name\": …, \"data\": {…}, \"id\"?: …}
POST /tasks               a task for the orchestrator
GET  /runs                ?workflow=&status=&limit=
GET  /runs/{id}
POST /runs/{id}/cancel
POST /callbacks/{token}   {\"done\": …}, {\"failed\": …} or \"alive\"
GET  /health
GET  /console             for people
GET  /api/v1/openapi.json what else there is for programs
";

/// An answer that says what is wrong.
pub(crate) type Refusal = (StatusCode, Json<Value>);

/// An answer that says what is wrong, and with which field.
pub(crate) fn refuse(status: StatusCode, error: impl Into<String>, field: Option<String>) -> Refusal {
    let error = error.into();
    (
        status,
        Json(match field {
            Some(field) => json!({ "error": error, "field": field }),
            None => json!({ "error": error }),
        }),
    )
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let status = match problem.kind {
            ProblemKind::NotJson => StatusCode::BAD_REQUEST,
            ProblemKind::Wrong => StatusCode::UNPROCESSABLE_ENTITY,
            ProblemKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        };
        refuse(status, problem.error, problem.field)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        refuse(StatusCode::INTERNAL_SERVER_ERROR, failure.to_string(), None)
    }
}

/// The store did not do what it was asked.
fn broken(error: Error) -> Refusal {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, error.message(), None)
}

/// A body that is JSON, whatever the request says it is.
struct Body(Value);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let bytes = Bytes::from_request(request, state).await.map_err(|error: BytesRejection| {
            let text = match error.status() {
                StatusCode::PAYLOAD_TOO_LARGE => format!("the body has more than {LARGEST_BODY} bytes"),
                _ => error.body_text(),
            };
            // The rest of the body is not read, so nothing else can come over this connection.
            ([(header::CONNECTION, "close")], refuse(error.status(), text, None)).into_response()
        })?;
        inbound::parse(&bytes).map(Self).map_err(|problem| Refusal::from(problem).into_response())
    }
}

#[derive(Serialize)]
struct Receipt {
    #[serde(flatten)]
    accepted: Accepted,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

async fn post_event(State(api): State<Arc<Api>>, Body(body): Body) -> Result<Response, Refusal> {
    let event = Inbound::from_json(&body)?.accept(&api.definitions, SystemClock.now())?;
    let message = api.remark(&event.name);
    let accepted = api.store.accept(event).await.map_err(broken)?;
    Ok((StatusCode::ACCEPTED, Json(Receipt { accepted, message })).into_response())
}

async fn post_task(State(api): State<Arc<Api>>, Body(task): Body) -> Result<Response, Refusal> {
    let wrong = |error: Error| Refusal::from(Problem::wrong(error.message(), "task"));
    // What is wrong with the event it becomes is said here, where its sender hears it.
    let read = Task::from_json(&task).map_err(wrong)?;
    let now = SystemClock.now();
    let registry = api.registries.current(now).await.map_err(broken)?;
    if let Decision::Queue(event) = route(&registry, &read).map_err(wrong)? {
        inbound::check_size(&task)?;
        inbound::check_data(&api.definitions, &event, &task)?;
    }
    let id = inbound::fresh_id();
    let answer = orchestrator::handle(&registry, &api.store, task, &id, now)
        .await
        .map_err(|error| if error.is_retryable() { broken(error) } else { wrong(error) })?;
    let status = if matches!(answer, Answer::Queued { .. }) { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(answer)).into_response())
}

#[derive(Deserialize)]
struct Listed {
    workflow: Option<String>,
    status: Option<String>,
    limit: Option<String>,
}

async fn list_runs(State(api): State<Arc<Api>>, Query(listed): Query<Listed>) -> Result<Response, Refusal> {
    let wrong = |field: &str, expected: &str| {
        refuse(StatusCode::BAD_REQUEST, format!("{field}: expected {expected}"), Some(field.to_owned()))
    };
    let status = match listed.status.as_deref().filter(|status| !status.is_empty()) {
        None => None,
        Some(name) => Some(
            args::status(name)
                .ok_or_else(|| wrong("status", "queued, running, waiting, completed, failed or cancelled"))?,
        ),
    };
    let limit = match listed.limit.as_deref().filter(|limit| !limit.is_empty()) {
        None => LISTED,
        Some("0") => LARGEST_PAGE,
        Some(text) => text.parse().map_err(|_| wrong("limit", "a number; 0 for as many as a list holds"))?,
    };
    let workflows = listed.workflow.filter(|name| !name.is_empty()).into_iter().collect();
    let filter = RunFilter { workflows, statuses: status.into_iter().collect(), ..RunFilter::default() };
    let page = api.desk.runs(&filter, &PageRequest::first(limit)).await.map_err(broken)?;
    Ok(Json(page.items).into_response())
}

async fn show_run(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let run = api.desk.run(&RunId::from_text(&id)).await.map_err(broken)?.ok_or_else(|| unknown(&id))?;
    Ok(Json(run).into_response())
}

async fn cancel_run(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Response, Refusal> {
    match api.desk.cancel("api", &RunId::from_text(&id)).await {
        Ok(run) => Ok(Json(RunSummary::of(&run)).into_response()),
        Err(ActionError::NotFound { .. }) => Err(unknown(&id)),
        Err(ActionError::Failed(error)) => Err(broken(error)),
        Err(error) => Err(refuse(StatusCode::CONFLICT, error.to_string(), None)),
    }
}

async fn post_answer(
    State(api): State<Arc<Api>>,
    Path(token): Path<String>,
    Body(body): Body,
) -> Result<Response, Refusal> {
    let wrong = |error: String, field: &str| Refusal::from(Problem::wrong(error, field));
    let token: Token = token.parse().map_err(|error: Error| wrong(error.message().to_owned(), "token"))?;
    let said = answer::Said::from_json(body).map_err(|error| wrong(error, "answer"))?;
    let reply = match said {
        answer::Said::Done(value) => Reply::Done(value),
        answer::Said::Failed(why) => Reply::Failed(why),
        answer::Said::Alive => return alive(&api, &token).await,
    };
    match api.desk.answer("api", &token, &reply).await {
        Ok(()) => Ok((StatusCode::ACCEPTED, Json(json!({}))).into_response()),
        Err(ActionError::NotFound { id, .. }) => Err(unknown(&id)),
        Err(ActionError::Failed(error)) => Err(broken(error)),
        Err(error) => Err(refuse(StatusCode::CONFLICT, error.to_string(), None)),
    }
}

/// A sign of life is no deed of a person's, and may come each minute: it leaves no line in the audit trail.
async fn alive(api: &Api, token: &Token) -> Result<Response, Refusal> {
    match callback::answer(&api.desk.ports, token, &callback::Answer::Alive).await.map_err(broken)? {
        Settled::Done(_) => Ok((StatusCode::ACCEPTED, Json(json!({}))).into_response()),
        Settled::Late => Err(refuse(StatusCode::CONFLICT, callback::LATE, None)),
        Settled::Missing => Err(unknown(token.run.as_str())),
    }
}

fn unknown(id: &str) -> Refusal {
    refuse(StatusCode::NOT_FOUND, format!("there is no run {id}: GET /runs lists those there are"), None)
}

/// Ok only while the store answers: a server that cannot reach it accepts nothing.
async fn health(State(api): State<Arc<Api>>) -> Response {
    let left_out = |name: &str| api.left_out.iter().find(|left_out| left_out.workflow == name);
    let workflows: Vec<_> = api
        .definitions
        .iter()
        .map(|workflow| {
            json!({
                "name": workflow.name,
                "events": workflow.events,
                "schedule": workflow.schedule,
                "left_out": left_out(&workflow.name).map(|left_out| &left_out.reason),
            })
        })
        .collect();
    match api.desk.runs(&RunFilter::default(), &PageRequest::first(1)).await {
        Ok(_) => {
            Json(json!({ "status": "ok", "sandbox": api.sandbox, "workflows": workflows })).into_response()
        }
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, error.message(), None).into_response(),
    }
}

impl Api {
    /// What the sender of an event should know beyond that it was accepted.
    fn remark(&self, event: &str) -> Option<String> {
        if let Some(message) = inbound::starts_nothing(&self.definitions, event) {
            return Some(message);
        }
        let waits = |workflow: &&Definition| self.left_out.iter().any(|left| left.workflow == workflow.name);
        let waiting = inbound::listeners(&self.definitions, event).find(waits)?;
        let reason = &self.left_out.iter().find(|left| left.workflow == waiting.name)?.reason;
        Some(format!("{} does not run here ({reason}): the run waits until it does", waiting.name))
    }
}
