//! Doing the same to many runs: which these are comes first, then a question, then the deed.

use askama::Template;
use axum::{
    extract::State,
    response::{Html, IntoResponse, Redirect, Response},
};
use durable::{BulkAction, RunFilter};

use super::{Page, form::Form, shell::Shell};
use crate::{
    access::Operator,
    console::{Console, Shared},
    markup::render,
    problem::{Problem, Result},
    query::Query,
    service::BulkOutcome,
    views::{Paged, RunItem, RunStatus, short_id},
};

/// To how many at once.
const AT_ONCE: &str = "200";

#[derive(Template)]
#[template(path = "bulk.html")]
struct BulkPage {
    shell: Shell,
    is_cancel: bool,
    /// Which it would be done to; none once it is done.
    runs: Option<Paged<RunItem>>,
    outcome: Option<BulkOutcome>,
    /// The runs as they were when the question was asked: what comes later is not meant.
    query: String,
}

pub(super) async fn ask(State(console): State<Shared>, Operator(who): Operator, query: Query) -> Page {
    let action = action(&query)?;
    let query = meant(&console, &query, action)?;
    let runs = console.runs(&query).await?;
    let page = BulkPage {
        shell: Shell::new(&console, Some(who), "runs", title(action)),
        is_cancel: action == BulkAction::Cancel,
        query: query.with(&[]),
        runs: Some(runs),
        outcome: None,
    };
    Ok(Html(render(&page)))
}

pub(super) async fn act(State(console): State<Shared>, form: Form) -> Result<Response> {
    let query = Query::of(form.fields.text("query").unwrap_or_default());
    let action = action(&query)?;
    let Some(request) = form.fields.text("request") else {
        return Ok(Redirect::to(&format!("/console/runs/bulk?{}", query.with(&[]))).into_response());
    };
    let query = meant(&console, &query, action)?;
    let outcome = console.bulk_of(&form.who.name, action, &query, request.to_owned()).await?;
    let page = BulkPage {
        shell: Shell::new(&console, Some(form.who), "runs", title(action)),
        is_cancel: action == BulkAction::Cancel,
        query: query.with(&[]),
        runs: None,
        outcome: Some(outcome),
    };
    Ok(Html(render(&page)).into_response())
}

fn title(action: BulkAction) -> &'static str {
    match action {
        BulkAction::Cancel => "Cancel these runs",
        BulkAction::Rerun => "Run these again",
    }
}

fn action(query: &Query) -> Result<BulkAction> {
    match query.text("action") {
        Some("cancel") => Ok(BulkAction::Cancel),
        Some("rerun") => Ok(BulkAction::Rerun),
        _ => Err(Problem::parameter("action", "cancel or rerun")),
    }
}

/// The runs of a list to which this can be done, of those that are there now.
fn meant(console: &Console, query: &Query, action: BulkAction) -> Result<Query> {
    let RunFilter { from, before, .. } = query.runs(console.now())?;
    let statuses = statuses(action, &query.statuses()?);
    if statuses.is_empty() {
        let can = if action == BulkAction::Cancel { "queued, running or waiting" } else { "that have ended" };
        return Err(Problem::parameter("status", format!("runs {can}: to others this cannot be done")));
    }
    let statuses: Vec<_> = statuses.into_iter().map(RunStatus::as_str).collect();
    let from = from.map(|from| from.to_string()).unwrap_or_default();
    let before = before.unwrap_or_else(|| console.now()).to_string();
    let changes = [
        ("status", statuses.join(",")),
        ("since", String::new()),
        ("from", from),
        ("before", before),
        ("limit", AT_ONCE.to_owned()),
        ("cursor", String::new()),
        ("notice", String::new()),
    ];
    Ok(Query::of(&query.with(&changes.each_ref().map(|(name, value)| (*name, value.as_str())))))
}

/// Of the statuses that a list is narrowed to, those that the deed is for; without any, those it is meant for.
fn statuses(action: BulkAction, chosen: &[RunStatus]) -> Vec<RunStatus> {
    let fits = |status: &RunStatus| match action {
        BulkAction::Cancel => !status.is_final(),
        BulkAction::Rerun if chosen.is_empty() => matches!(status, RunStatus::Failed | RunStatus::Cancelled),
        BulkAction::Rerun => status.is_final(),
    };
    let of = if chosen.is_empty() { &RunStatus::ALL } else { chosen };
    of.iter().copied().filter(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deed_is_for_runs_it_can_be_done_to() {
        use RunStatus::{Cancelled, Completed, Failed, Queued, Running, Waiting};
        assert_eq!(statuses(BulkAction::Cancel, &[]), [Queued, Running, Waiting]);
        assert_eq!(statuses(BulkAction::Rerun, &[]), [Failed, Cancelled]);
        assert_eq!(statuses(BulkAction::Rerun, &[Waiting, Completed]), [Completed]);
        assert_eq!(statuses(BulkAction::Cancel, &[Failed]), []);
    }
}
