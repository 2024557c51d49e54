//! Events: what was sent, what it started, and sending.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{Html, IntoResponse, Response},
};

use super::{
    Done, Page,
    form::{Form, go, path},
    shell::Shell,
};
use crate::{
    access::Identity,
    console::Shared,
    markup::render,
    problem::{Problem, Result},
    query::Query,
    service::EventOrder,
    views::{EventDetail, EventItem, Paged},
};

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    shell: Shell,
    events: Paged<EventItem>,
    names: Vec<String>,
    name: String,
    since: String,
    narrowed: bool,
    later: bool,
    next: String,
    first: String,
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    shell: Shell,
    event: EventDetail,
}

#[derive(Template)]
#[template(path = "event_new.html")]
struct NewEventPage {
    shell: Shell,
    names: Vec<String>,
    name: String,
    data: String,
    id: String,
    like: String,
    problem: Option<Problem>,
}

impl NewEventPage {
    /// Whether the problem is with this field; what is not said of another is said of the data.
    fn is_wrong(&self, field: &str) -> bool {
        let of = self.problem.as_ref().map(|problem| problem.field().unwrap_or("data"));
        match of {
            Some("name" | "id") => of == Some(field),
            Some(_) => field == "data",
            None => false,
        }
    }
}

fn names(console: &Shared) -> Vec<String> {
    console.event_names().into_iter().map(str::to_owned).collect()
}

pub(super) async fn list(State(console): State<Shared>, who: Identity, query: Query) -> Page {
    let events = console.events(&query).await?;
    let next = events.next.as_deref().map(|next| query.with(&[("cursor", next)]));
    let page = EventsPage {
        shell: Shell::new(&console, Some(who), "events", "Events").noticing(query.text("notice")),
        names: names(&console),
        name: query.text("name").unwrap_or_default().to_owned(),
        since: query.text("since").unwrap_or_default().to_owned(),
        narrowed: query.narrows(),
        later: query.text("cursor").is_some(),
        next: next.unwrap_or_default(),
        first: query.with(&[("cursor", "")]),
        events,
    };
    Ok(Html(render(&page)))
}

pub(super) async fn show(
    State(console): State<Shared>,
    who: Identity,
    Path(id): Path<String>,
    query: Query,
) -> Page {
    let event = console.event(&id).await?;
    let shell = Shell::new(&console, Some(who), "events", event.event.name.clone());
    Ok(Html(render(&EventPage { shell: shell.noticing(query.text("notice")), event })))
}

pub(super) async fn new(State(console): State<Shared>, who: Identity, query: Query) -> Page {
    let shell = Shell::new(&console, Some(who), "events", "Send an event");
    let (name, data, like) = match query.text("like") {
        Some(id) => {
            let event = console.event(id).await?;
            (event.event.name, shell.pretty(&event.data), id.to_owned())
        }
        None => (query.text("name").unwrap_or_default().to_owned(), "{\n  \n}".to_owned(), String::new()),
    };
    let names = names(&console);
    Ok(Html(render(&NewEventPage { shell, names, name, data, id: String::new(), like, problem: None })))
}

pub(super) async fn send(State(console): State<Shared>, form: Form) -> Response {
    let own = |name| form.fields.text(name).unwrap_or_default().to_owned();
    match send_form(&console, &form).await {
        Ok(id) => go(&path("events", &id), "sent").into_response(),
        Err(problem) => {
            // What was typed stays, with what is wrong beside it.
            let status = problem.status();
            let page = NewEventPage {
                shell: Shell::new(&console, Some(form.who.clone()), "events", "Send an event"),
                names: names(&console),
                name: own("name"),
                data: own("data"),
                id: own("id"),
                like: own("like"),
                problem: Some(problem),
            };
            (status, Html(render(&page))).into_response()
        }
    }
}

async fn send_form(console: &Shared, form: &Form) -> Result<String> {
    let name = form
        .fields
        .text("name")
        .ok_or_else(|| Problem::body("name: expected the name of an event", "name"))?;
    let data = console.restored(form.json("data", "{}")?, form.fields.text("like")).await?;
    let id = form.fields.text("id").map(str::to_owned);
    let sent = console.send(&form.who.name, EventOrder { name: name.to_owned(), data, id }).await?;
    Ok(sent.event_id)
}

pub(super) async fn resend(State(console): State<Shared>, Path(id): Path<String>, form: Form) -> Done {
    let request = form.fields.text("request").map(str::to_owned);
    let sent = console.resend(&form.who.name, &id, request).await?;
    Ok(go(&path("events", &sent.event_id), "resent"))
}
