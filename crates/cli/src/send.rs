//! `fibreflow send`.

use std::{
    fs,
    io::{Read, stdin},
};

use crate::{
    args, catalogue,
    failure::{Failure, Result},
    inbound::{self, Inbound, Problem},
    place::{Place, now},
    terminal::say,
};

pub(crate) async fn send(place: &Place, send: args::Send) -> Result<()> {
    let definitions = catalogue::definitions();
    let text = data(&send.data)?;
    let data =
        inbound::parse(&text).map_err(|problem| Failure::usage(format!("--data: {}", problem.error)))?;
    let event = Inbound { name: send.name, data, id: send.id };
    let event = event.accept(&definitions, now())?;
    let message = inbound::starts_nothing(&definitions, &event.name);

    let name = event.name.clone();
    let (accepted, has_worker) = place.accept(event).await?;
    let waits = !accepted.runs.is_empty() && !has_worker;
    if send.json {
        say(serde_json::to_string_pretty(&accepted)?);
        return Ok(());
    }
    let before = if accepted.duplicate { "was accepted before" } else { "accepted" };
    say(format_args!("{name} {before}, event {}", accepted.event_id));
    for (workflow, run) in accepted.starts.iter().zip(&accepted.runs) {
        say(format_args!("  {workflow} run {run}"));
    }
    if let Some(message) = message {
        say(message);
    }
    if waits {
        say("nothing runs here now: the run starts when `fibreflow dev` does");
    }
    Ok(())
}

/// What an argument stands for that is JSON, @FILE, or - for standard input.
pub(crate) fn data(argument: &str) -> Result<Vec<u8>> {
    if argument == "-" {
        let mut text = Vec::new();
        stdin().read_to_end(&mut text)?;
        return Ok(text);
    }
    match argument.strip_prefix('@') {
        Some(path) => fs::read(path).map_err(|error| Failure::new(format!("cannot read {path}: {error}"))),
        None => Ok(argument.as_bytes().to_vec()),
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let what = problem.field.map(|field| format!(" (field {field})")).unwrap_or_default();
        Self::new(format!("the event is refused: {}{what}; nothing was sent", problem.error))
    }
}
