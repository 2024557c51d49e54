//! Workflows: how they are defined, and how their runs do.

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
    chart,
    console::Shared,
    markup::{Markup, render},
    problem::Problem,
    query::Query,
    views::{StatisticsItem, WorkflowItem},
};

/// A day and a week, in hours.
const SPANS: [(u64, &str); 2] = [(24, "24 h"), (168, "7 d")];

#[derive(Template)]
#[template(path = "workflows.html")]
struct WorkflowsPage {
    shell: Shell,
    /// Without numbers where these cannot be had just now.
    workflows: Vec<(WorkflowItem, Option<Numbers>)>,
}

#[derive(Template)]
#[template(path = "workflow.html")]
struct WorkflowPage {
    shell: Shell,
    workflow: WorkflowItem,
    spans: Vec<Numbers>,
    /// Why there are no numbers.
    problem: Option<Problem>,
}

/// What a workflow's runs did in some time.
struct Numbers {
    span: &'static str,
    of: StatisticsItem,
    chart: Markup,
}

impl Numbers {
    fn of(span: &'static str, of: StatisticsItem) -> Self {
        let title = format!("Runs of {} that ended in the last {span}, by the hour", of.workflow);
        Self { span, chart: chart::throughput(&of.hours, &crate::markup::escaped(&title)), of }
    }

    /// The share of runs that completed, in percent.
    fn success(&self) -> Option<String> {
        self.of.success_rate.map(|rate| match rate * 100.0 {
            // 99.97 % is not all of them.
            near if near > 99.9 && near < 100.0 => ">99.9 %".to_owned(),
            percent if percent.fract() < 0.05 => format!("{percent:.0} %"),
            percent => format!("{percent:.1} %"),
        })
    }
}

pub(super) async fn list(State(console): State<Shared>, who: Identity) -> Page {
    let (hours, span) = SPANS[0];
    // Numbers come from elsewhere than the rest: a page without them is better than none.
    let mut numbers = console.statistics(hours).await.unwrap_or_default().into_iter();
    let workflows = console.workflows().await?.into_iter();
    let workflows =
        workflows.map(|workflow| (workflow, numbers.next().map(|of| Numbers::of(span, of)))).collect();
    let shell = Shell::new(&console, Some(who), "workflows", "Workflows");
    Ok(Html(render(&WorkflowsPage { shell, workflows })))
}

pub(super) async fn show(
    State(console): State<Shared>,
    who: Identity,
    Path(name): Path<String>,
    query: Query,
) -> Page {
    let workflow = console.workflow(&name).await?;
    let (mut spans, mut problem) = (Vec::new(), None);
    for (hours, span) in SPANS {
        match console.statistics(hours).await {
            Ok(all) => {
                let own = all.into_iter().find(|of| of.workflow == name);
                spans.extend(own.map(|of| Numbers::of(span, of)));
            }
            Err(missing) => problem = Some(missing),
        }
    }
    let shell = Shell::new(&console, Some(who), "workflows", name).noticing(query.text("notice"));
    Ok(Html(render(&WorkflowPage { shell, workflow, spans, problem })))
}

pub(super) async fn pause(State(console): State<Shared>, Path(name): Path<String>, form: Form) -> Done {
    console.pause(&form.who.name, &name).await?;
    Ok(go(&path("workflows", &name), "paused"))
}

pub(super) async fn resume(State(console): State<Shared>, Path(name): Path<String>, form: Form) -> Done {
    console.resume(&form.who.name, &name).await?;
    Ok(go(&path("workflows", &name), "resumed"))
}
