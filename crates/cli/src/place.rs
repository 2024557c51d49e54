//! Where runs are: in a folder of this machine, or in a stack on AWS.

use durable::{Clock, Envelope, Filter, Ports, Run, RunId};
use durable_local::{Accepted, Store, SystemClock};

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

/// What commands that look at runs need of it.
#[derive(Debug)]
pub(crate) struct Runs {
    pub(crate) ports: Ports,
    store: Option<Store>,
}

/// How many of the newest runs on AWS are looked through for one whose id starts as somebody typed it.
const NEWEST: usize = 1_000;

/// The length of a whole id.
const WHOLE: usize = 32;

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

    /// The runs that are there.
    pub(crate) async fn runs(&self) -> Result<Runs> {
        match self {
            Self::Here(home) => {
                let store = home.existing_store()?;
                Ok(Runs { ports: store.ports(None), store: Some(store) })
            }
            Self::Aws => Ok(Runs { ports: aws().await?, store: None }),
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
                aws().await?.bus.publish(std::slice::from_ref(&event)).await?;
                Ok((Accepted { event_id: event.id, runs, starts, duplicate: false }, true))
            }
        }
    }
}

impl Runs {
    /// The run whose id starts like this, if there is only one.
    pub(crate) async fn find(&self, start: &str) -> Result<Run> {
        let unknown = || unknown(start);
        let found = match &self.store {
            Some(store) => store.find(start, 4).await?,
            None if start.len() == WHOLE => vec![RunId::from_text(start)],
            None => {
                let newest = Filter { limit: NEWEST, ..Filter::default() };
                let newest = self.ports.journal.runs(&newest).await?;
                newest
                    .into_iter()
                    .map(|run| run.id)
                    .filter(|id| id.as_str().starts_with(start))
                    .take(4)
                    .collect()
            }
        };
        match found.as_slice() {
            [] => Err(unknown()),
            [id] => self.ports.journal.run(id).await?.ok_or_else(unknown),
            several => {
                let ids: Vec<_> = several.iter().map(RunId::as_str).collect();
                Err(Failure::new(format!(
                    "the ids of several runs start with {start}: {}; give more of it",
                    ids.join(", ")
                )))
            }
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
async fn aws() -> Result<Ports> {
    let settings = durable_aws::Settings::from_env().map_err(|error| {
        let what = "a stack's outputs say what to set, see the README";
        Failure::new(format!("--aws: {}; {what}", error.message()))
    })?;
    Ok(durable_aws::Aws::new(settings, durable_aws::Clients::from_env().await).ports(None))
}

#[cfg(not(feature = "aws"))]
#[expect(clippy::unused_async, reason = "with the feature it waits")]
async fn aws() -> Result<Ports> {
    Err(Failure::new(
        "this build knows no AWS: build one that does with `cargo build --release -p cli --features aws`",
    ))
}
