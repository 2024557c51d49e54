//! Runs: a list that stays up to date.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::HeaderMap,
    response::{Html, Response},
};

use super::{Page, shell::Shell};
use crate::{
    access::Identity,
    console::{Console, Shared},
    live::{self, Told},
    markup::render,
    problem::Result,
    query::Query,
    views::{Paged, RunItem, RunStatus},
};

/// The spans of time one can choose.
const SPANS: [(&str, &str); 5] = [
    ("1h", "Last hour"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
    ("30d", "Last 30 days"),
    ("", "Any time"),
];

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    shell: Shell,
    list: RunsRegion,
    statuses: Vec<Choice>,
    workflows: Vec<Choice>,
    spans: Vec<Choice>,
    text: String,
    event: String,
    key: String,
    event_id: String,
    live: String,
    /// Where these runs are acted on.
    cancel: String,
    rerun: String,
}

/// The part of the page that is kept up to date.
#[derive(Template)]
#[template(path = "runs_list.html")]
struct RunsRegion {
    shell: Shell,
    runs: Paged<RunItem>,
    /// Whether the list is narrowed, so that one that is empty says why.
    narrowed: bool,
    /// Whether this is not the first page.
    later: bool,
    next: String,
    first: String,
}

struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

pub(super) async fn page(State(console): State<Shared>, who: Identity, query: Query) -> Page {
    let shell = Shell::new(&console, Some(who.clone()), "runs", "Runs").noticing(query.text("notice"));
    let chosen = query.statuses()?;
    let statuses = RunStatus::ALL.into_iter().map(|status| Choice {
        value: status.as_str().to_owned(),
        label: status.as_str().to_owned(),
        chosen: chosen.contains(&status),
    });
    let wanted = query.all("workflow");
    let workflows = console.desk().definitions.iter().map(|workflow| Choice {
        value: workflow.name.clone(),
        label: workflow.name.clone(),
        chosen: wanted.contains(&workflow.name.as_str()),
    });
    let since = query.text("since").unwrap_or_default();
    let spans = SPANS.iter().map(|(value, label)| Choice {
        value: (*value).to_owned(),
        label: (*label).to_owned(),
        chosen: *value == since,
    });
    let own = |name| query.text(name).unwrap_or_default().to_owned();
    let page = RunsPage {
        statuses: statuses.collect(),
        workflows: workflows.collect(),
        spans: spans.collect(),
        text: own("q"),
        event: own("event"),
        key: own("key"),
        event_id: own("event_id"),
        cancel: query.with(&[("action", "cancel"), ("cursor", ""), ("notice", "")]),
        rerun: query.with(&[("action", "rerun"), ("cursor", ""), ("notice", "")]),
        live: format!("/console/live/runs?{}", query.with(&[("notice", "")])),
        list: region(&console, who, &query).await?,
        shell,
    };
    Ok(Html(render(&page)))
}

async fn region(console: &Console, who: Identity, query: &Query) -> Result<RunsRegion> {
    let runs = console.runs(query).await?;
    let next = runs.next.as_deref().map(|next| query.with(&[("cursor", next), ("notice", "")]));
    Ok(RunsRegion {
        narrowed: query.narrows(),
        later: query.text("cursor").is_some(),
        next: next.unwrap_or_default(),
        first: query.with(&[("cursor", ""), ("notice", "")]),
        shell: Shell::new(console, Some(who), "runs", "Runs"),
        runs,
    })
}

pub(super) async fn live(
    State(console): State<Shared>,
    who: Identity,
    headers: HeaderMap,
    query: Query,
) -> Result<Response> {
    query.runs(console.now())?;
    let (live, query) = (console.liveness().clone(), Arc::new(query));
    Ok(live::stream(&live, &headers, "region", move || {
        let (console, who, query) = (console.clone(), who.clone(), query.clone());
        async move {
            match region(&console, who, &query).await {
                Ok(region) => Told::State(render(&region)),
                Err(_) => Told::Nothing,
            }
        }
    }))
}
