//! Where runs are: in a folder of this machine, or in a stack on AWS.

use durable::{Clock, Desk, Envelope, PageRequest, RunFilter, RunId};
use durable_local::{Accepted, SystemClock};

use crate::{
    args::CommandLine,
    catalogue,
    failure::{Failure, Result},
    home::Home,
    inbound,
};

/// Where runs are.
#[derive(Debug)]
pub(crate) enum Place {
    /// In a folder.
    Here(Home),
    /// In the stack that the environment names.
    Aws,
}

/// So many runs that an id's start may stand for are looked at.
const SEVERAL: usize = 20;

impl Place {
    pub(crate) fn new(line: &CommandLine) -> Self {
        if line.aws { Self::Aws } else { Self::Here(Home::new(line.home.clone())) }
    }

    /// The folder, for commands that have nothing to do with AWS.
    pub(crate) fn home(&self, command: &str) -> Result<&Home> {
        match self {
            Self::Here(home) => Ok(home),
            Self::Aws => {
                Err(Failure::usage(format!("{command} runs on this machine: it cannot be used with --aws")))
            }
        }
    }

    /// What is there to see and to steer.
    pub(crate) async fn desk(&self) -> Result<Desk> {
        let definitions = catalogue::definitions();
        match self {
            Self::Here(home) => {
                let store = home.existing_store()?;
                Ok(store.desk(store.ports(None), definitions.into()))
            }
            Self::Aws => aws_desk(definitions).await,
        }
    }

    /// Accepts an event. Answers as well whether a worker is there to take it up.
    pub(crate) async fn accept(&self, event: Envelope) -> Result<(Accepted, bool)> {
        match self {
            Self::Here(home) => {
                let store = home.store()?;
                let accepted = store.accept(event).await?;
                let has_worker = store.has_worker()?;
                Ok((accepted, has_worker))
            }
            Self::Aws => {
                let definitions = catalogue::definitions();
                let starts: Vec<_> = inbound::listeners(&definitions, &event.name)
                    .map(|definition| definition.name.clone())
                    .collect();
                let runs = starts.iter().map(|workflow| RunId::of(workflow, &event.id)).collect();
                self.desk().await?.ports.bus.publish(std::slice::from_ref(&event)).await?;
                Ok((Accepted { event_id: event.id, runs, starts, duplicate: false }, true))
            }
        }
    }
}

/// The run whose id starts like this, if there is only one.
pub(crate) async fn find(desk: &Desk, start: &str) -> Result<RunId> {
    let filter = RunFilter { text: Some(start.to_owned()), ..RunFilter::default() };
    let found = desk.history.runs(&filter, &PageRequest::first(SEVERAL)).await?.items;
    // A text finds runs by their event and their key as well.
    let ids: Vec<_> =
        found.into_iter().map(|run| run.id).filter(|id| id.as_str().starts_with(start)).collect();
    match ids.as_slice() {
        [] => Err(unknown(start)),
        [id] => Ok(id.clone()),
        several => {
            let ids: Vec<_> = several.iter().take(4).map(RunId::as_str).collect();
            Err(Failure::new(format!(
                "the ids of several runs start with {start}: {}; give more of it",
                ids.join(", ")
            )))
        }
    }
}

pub(crate) fn unknown(id: &str) -> Failure {
    Failure::new(format!("there is no run {id}: `fibreflow runs` lists those there are"))
}

/// The time that commands go by.
pub(crate) fn now() -> jiff::Timestamp {
    SystemClock.now()
}

#[cfg(feature = "aws")]
async fn aws_desk(definitions: Vec<durable::Definition>) -> Result<Desk> {
    let settings = durable_aws::Settings::from_env().map_err(|error| {
        let what = "a stack's outputs say what to set, see the README";
        Failure::new(format!("--aws: {}; {what}", error.message()))
    })?;
    let aws = durable_aws::Aws::new(settings, durable_aws::Clients::from_env().await);
    Ok(aws.desk(aws.ports(None), definitions.into()))
}

#[cfg(not(feature = "aws"))]
#[expect(clippy::unused_async, reason = "with the feature it waits")]
async fn aws_desk(_definitions: Vec<durable::Definition>) -> Result<Desk> {
    Err(Failure::new(
        "this build knows no AWS: build one that does with `cargo build --release -p cli --features aws`",
    ))
}
