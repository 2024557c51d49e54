//! `fibreflow cancel`, `rerun`, `resend`, `pause`, `resume`, `redrive` and `discard`.

use durable::{
    ActionError, Bulk, BulkAction, BulkFailure, Desk, PageRequest, Redriven, Rerun, RunId, RunSummary, StepId,
};
use serde::Serialize;
use serde_json::json;

use crate::{
    args::{self, steer::Which},
    environment::who,
    failure::{Failure, Result},
    inbound,
    look::print_json,
    place::{Place, find, now},
    runs::short_id,
    send,
    terminal::{alarming, say},
};

pub(crate) async fn cancel(place: &Place, cancel: args::Cancel) -> Result<()> {
    let desk = place.desk().await?;
    let Some(start) = &cancel.which.run else {
        return bulk(&desk, cancel.which, BulkAction::Cancel, fresh()).await;
    };
    let id = find(&desk, start).await?;
    let run = desk.cancel(&who(), &id).await.map_err(|error| match error {
        ActionError::Conflict(reason) => {
            Failure::new(format!("{reason}; `fibreflow show {}` tells how", short_id(&id)))
        }
        other => other.into(),
    })?;
    if cancel.which.json {
        return print_json(&RunSummary::of(&run));
    }
    say(format_args!("{} run {} is cancelled", run.workflow, run.id));
    Ok(())
}

pub(crate) async fn rerun(place: &Place, order: args::Rerun) -> Result<()> {
    let desk = place.desk().await?;
    let request = order.request.unwrap_or_else(fresh);
    let Some(start) = &order.which.run else {
        return bulk(&desk, order.which, BulkAction::Rerun, request).await;
    };
    let from = order.from.as_deref().map(step).transpose()?;
    let output = order.output.as_deref().map(output).transpose()?;
    let id = find(&desk, start).await?;
    let again = desk.rerun(&who(), &id, &Rerun { from, output, request }).await?;
    if order.which.json {
        return print_json(&json!({ "run_id": again, "rerun_of": id }));
    }
    say(format_args!(
        "run {again} runs {} again; `fibreflow show {} --follow` watches it",
        short_id(&id),
        short_id(&again)
    ));
    Ok(())
}

/// A step as it is shown: its name, and `#n` for its n-th use.
fn step(text: &str) -> Result<StepId> {
    let parts = match text.rsplit_once('#') {
        None => Some((text, 1)),
        Some((name, nth)) => nth.parse().ok().filter(|nth| *nth > 0).map(|nth| (name, nth)),
    };
    let (name, nth) = parts.filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
        Failure::usage("--from: expected a step's name, and #N for the N-th use of the name, from 1")
    })?;
    Ok(StepId { name: name.to_owned(), nth })
}

fn output(argument: &str) -> Result<serde_json::Value> {
    inbound::parse(&send::data(argument)?)
        .map_err(|problem| Failure::usage(format!("--output: {}", problem.error)))
}

/// What a bulk did, or would do.
#[derive(Serialize)]
struct Report {
    dry_run: bool,
    runs: Vec<RunId>,
    failed: Vec<BulkFailure>,
}

async fn bulk(desk: &Desk, which: Which, action: BulkAction, request: String) -> Result<()> {
    if !which.is_said() {
        return Err(Failure::usage(
            "say which: a run's id, or options such as --workflow; with --dry-run see it first",
        ));
    }
    let (filter, dry_run) = (which.matching.filter(now()), which.dry_run);
    let mut bulk = Bulk { action, filter, dry_run, page: PageRequest::default(), request };
    let mut report = Report { dry_run, runs: Vec::new(), failed: Vec::new() };
    loop {
        let done = desk.bulk(&who(), &bulk).await?;
        report.runs.extend(done.runs);
        report.failed.extend(done.failed);
        if done.next.is_none() {
            break;
        }
        bulk.page.after = done.next;
    }
    if which.json {
        print_json(&report)?;
    } else {
        print(&report, action);
    }
    match report.failed.len() {
        0 => Ok(()),
        failed => Err(Failure::new(format!("{failed} could not be done"))),
    }
}

fn print(report: &Report, action: BulkAction) {
    let done = match (action, report.dry_run) {
        (BulkAction::Cancel, true) => "would be cancelled",
        (BulkAction::Cancel, false) => "cancelled",
        (BulkAction::Rerun, true) => "would be run again",
        (BulkAction::Rerun, false) => "run again",
    };
    for run in &report.runs {
        say(format_args!("{run} {done}"));
    }
    for failure in &report.failed {
        say(format_args!("{} {}", failure.run_id, alarming(&failure.reason)));
    }
    say(format_args!("{} runs {done}", report.runs.len()));
}

pub(crate) async fn resend(place: &Place, order: args::Resend) -> Result<()> {
    let desk = place.desk().await?;
    let request = order.request.unwrap_or_else(fresh);
    let event = desk.resend(&who(), &order.event, &request).await?;
    if order.json {
        return print_json(&event);
    }
    say(format_args!("{} sent again, event {}", event.name, event.id));
    Ok(())
}

pub(crate) async fn pause(place: &Place, order: args::Pause) -> Result<()> {
    let pause = place.desk().await?.pause(&who(), &order.workflow).await?;
    if order.json {
        return print_json(&pause);
    }
    say(format_args!(
        "{} is paused: its runs queue up until `fibreflow resume {}`",
        pause.workflow, pause.workflow
    ));
    Ok(())
}

pub(crate) async fn resume(place: &Place, order: args::Resume) -> Result<()> {
    place.desk().await?.resume(&who(), &order.workflow).await?;
    if order.json {
        return print_json(&json!({ "workflow": order.workflow, "paused": false }));
    }
    say(format_args!("{} goes on", order.workflow));
    Ok(())
}

pub(crate) async fn redrive(place: &Place, order: args::Redrive) -> Result<()> {
    let desk = place.desk().await?;
    if let Some(workflow) = &order.workflow {
        let redriven = desk.redrive_all(&who(), workflow).await?;
        if order.json {
            return print_json(&json!({ "workflow": workflow, "redriven": redriven }));
        }
        say(format_args!("{redriven} dead letters of {workflow} have another chance"));
        return Ok(());
    }
    let letter = order.letter.unwrap_or_default();
    let redriven = desk.redrive(&who(), &letter).await?;
    if order.json {
        return print_json(&redriven);
    }
    match redriven {
        Redriven::Sent => say(format_args!("{letter} is in its queue again")),
        Redriven::Rerun { run } => say(format_args!("run {run} goes on where its run stood")),
    }
    Ok(())
}

pub(crate) async fn discard(place: &Place, order: args::Discard) -> Result<()> {
    place.desk().await?.discard(&who(), &order.letter).await?;
    if order.json {
        return print_json(&json!({ "discarded": order.letter }));
    }
    say(format_args!("{} is gone", order.letter));
    Ok(())
}

/// A request that nobody has made before.
fn fresh() -> String {
    inbound::fresh_id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_named_as_it_is_shown() {
        let read =
            |text: &str| step(text).map(|step| (step.name, step.nth)).map_err(|error| error.to_string());
        assert_eq!(read("fetch"), Ok(("fetch".into(), 1)));
        assert_eq!(read("fetch#3"), Ok(("fetch".into(), 3)));
        for wrong in ["", "#2", "fetch#0", "fetch#x"] {
            assert!(read(wrong).unwrap_err().contains("#N for the N-th use"), "{wrong}");
        }
    }
}
