//! Dead letters, health, and the audit trail.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Html,
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
    problem::Problem,
    query::Query,
    views::{AuditItem, DeadLetterItem, HealthItem, Paged},
};

#[derive(Template)]
#[template(path = "dead_letters.html")]
struct DeadLettersPage {
    shell: Shell,
    letters: Paged<DeadLetterItem>,
    workflows: Vec<String>,
    workflow: String,
    next: String,
}

#[derive(Template)]
#[template(path = "health.html")]
struct HealthPage {
    shell: Shell,
    health: HealthItem,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    entries: Paged<AuditItem>,
    target: String,
    next: String,
}

/// Where what somebody acted on is shown.
fn target_path(entry: &AuditItem) -> Option<String> {
    Some(match entry.action {
        "cancel" | "rerun" | "answer" => path("runs", &entry.target),
        "send" | "resend" => path("events", &entry.target),
        "pause" | "resume" => path("workflows", &entry.target),
        _ => return None,
    })
}

pub(super) async fn dead_letters(State(console): State<Shared>, who: Identity, query: Query) -> Page {
    let letters = console.dead_letters(&query).await?;
    let next = letters.next.as_deref().map(|next| query.with(&[("cursor", next), ("notice", "")]));
    let page = DeadLettersPage {
        shell: Shell::new(&console, Some(who), "letters", "Dead letters").noticing(query.text("notice")),
        workflows: console.desk().definitions.iter().map(|workflow| workflow.name.clone()).collect(),
        workflow: query.text("workflow").unwrap_or_default().to_owned(),
        next: next.unwrap_or_default(),
        letters,
    };
    Ok(Html(render(&page)))
}

pub(super) async fn redrive(State(console): State<Shared>, Path(id): Path<String>, form: Form) -> Done {
    console.redrive(&form.who.name, &id).await?;
    Ok(go("/console/dead-letters", "redriven"))
}

pub(super) async fn redrive_all(State(console): State<Shared>, form: Form) -> Done {
    let workflow = form.fields.text("workflow");
    let workflow = workflow.ok_or_else(|| Problem::body("workflow: expected the name of one", "workflow"))?;
    console.redrive_all(&form.who.name, workflow).await?;
    Ok(go("/console/dead-letters", "redriven-all"))
}

pub(super) async fn discard(State(console): State<Shared>, Path(id): Path<String>, form: Form) -> Done {
    console.discard(&form.who.name, &id).await?;
    Ok(go("/console/dead-letters", "discarded"))
}

pub(super) async fn health(State(console): State<Shared>, who: Identity) -> Page {
    let health = console.health().await?;
    Ok(Html(render(&HealthPage { shell: Shell::new(&console, Some(who), "health", "Health"), health })))
}

pub(super) async fn audit(State(console): State<Shared>, who: Identity, query: Query) -> Page {
    let entries = console.audit(&query).await?;
    let page = AuditPage {
        shell: Shell::new(&console, Some(who), "audit", "Audit"),
        target: query.text("target").unwrap_or_default().to_owned(),
        next: entries.next.as_deref().map(|next| query.with(&[("cursor", next)])).unwrap_or_default(),
        entries,
    };
    Ok(Html(render(&page)))
}
