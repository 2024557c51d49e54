//! A workflow's definition, and a workflow ready to run.

use std::{fmt, future::Future, sync::Arc};

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    Concurrency, Context, Envelope, Error, Payload, Result, Retry, Run, Schedule, Throttle,
    clock::{minutes, seconds},
    payload::{from_value, to_json},
    turn::Turn,
};

/// A workflow: a name, an async function, what starts it and how its runs flow.
///
/// One value is the only definition; Lambda, the local server and the tests all run it.
///
/// ```
/// use durable::{Concurrency, Context, Result, Workflow, seconds};
///
/// #[derive(serde::Deserialize)]
/// struct BuildRequested {
///     agent_name: String,
/// }
///
/// fn workflow() -> Workflow<()> {
///     Workflow::new("build-agent", build_agent)
///         .on_event("agent/build.requested")
///         .retries(3)
///         .concurrency(Concurrency::limit(1).key(|build: &BuildRequested| build.agent_name.clone()))
/// }
///
/// async fn build_agent(ctx: Context<BuildRequested>, _services: ()) -> Result<String> {
///     let agent = &ctx.event().agent_name;
///     let built = ctx.step("build").run(async || Ok(format!("{agent} built"))).await?;
///     ctx.sleep("cool-down", seconds(30)).await;
///     Ok(built)
/// }
/// # let _ = workflow();
/// ```
pub struct Workflow<S> {
    definition: Definition,
    function: Arc<Function<S>>,
}

/// What is known of a workflow without its code.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its name, part of every run's id.
    pub name: String,
    /// The names of the events that start a run.
    pub events: Vec<String>,
    /// A cron expression of five fields, in UTC, whose times start a run.
    pub schedule: Option<String>,
    /// The policy of steps that have none of their own, and of errors that the workflow itself returns.
    pub retry: Retry,
    /// How many runs at once.
    pub concurrency: Option<Concurrency>,
    /// How many starts in which time.
    pub throttles: Vec<Throttle>,
    check: Check,
}

impl Definition {
    /// Whether an event's data is what the workflow expects. The error names the field and says what was expected.
    pub fn check(&self, data: &Value) -> Result<()> {
        (self.check)(data).map_err(|error| Error::fatal(error.message()))?;
        self.concurrency.iter().try_for_each(|limit| limit.key_of(&self.name, data).map(drop))?;
        self.throttles.iter().try_for_each(|throttle| throttle.key_of(&self.name, data).map(drop))
    }
}

impl Definition {
    /// The run that an event starts, as it is before anybody has looked at it.
    pub fn queued(&self, event: Envelope, now: Timestamp) -> Run {
        let key = self.key_of(&event.data);
        Run { key, ..Run::queued(&self.name, event, now) }
    }

    /// The flow-control key of an event's run: its concurrency key, or without one its first throttle's. `None` as well
    /// when the data is not what the workflow expects.
    fn key_of(&self, data: &Value) -> Option<String> {
        if let Some(concurrency) = &self.concurrency {
            return concurrency.key_of(&self.name, data).ok();
        }
        self.throttles.first()?.key_of(&self.name, data).ok()
    }

    /// Whether events of this name start a run.
    pub fn starts_with(&self, event: &str) -> bool {
        self.events.iter().any(|name| name == event)
    }

    /// When its schedule starts it next, if it has one that can be read.
    pub fn next_scheduled(&self, now: Timestamp) -> Option<Timestamp> {
        Schedule::parse(self.schedule.as_deref()?).ok()?.next(now)
    }
}

type Check = fn(&Value) -> Result<()>;
type Function<S> = dyn Fn(Arc<Turn>, S) -> BoxFuture<'static, Result<Payload>> + Send + Sync;

impl<S: Clone + Send + Sync + 'static> Workflow<S> {
    /// A workflow whose function is given the event, as the type it declares, and the services it works with.
    ///
    /// Until [`retries`](Self::retries) says otherwise, nothing is tried again.
    pub fn new<E, O, F, Fut>(name: impl Into<String>, function: F) -> Self
    where
        E: DeserializeOwned + Send + Sync + 'static,
        O: Serialize + Send,
        F: Fn(Context<E>, S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O>> + Send + 'static,
    {
        let function = move |turn: Arc<Turn>, services: S| -> BoxFuture<'static, Result<Payload>> {
            let started = Context::new(turn.clone()).map(|context| function(context, services));
            Box::pin(async move {
                let json = to_json(&started?.await?)?;
                Ok(turn.keep(json, "output").await)
            })
        };
        Self {
            definition: Definition {
                name: name.into(),
                events: Vec::new(),
                schedule: None,
                retry: Retry::never(),
                concurrency: None,
                throttles: Vec::new(),
                check: |data| from_value::<E>(data).map(drop),
            },
            function: Arc::new(function),
        }
    }

    /// Each event of this name starts a run. May be said several times.
    #[must_use]
    pub fn on_event(mut self, name: impl Into<String>) -> Self {
        self.definition.events.push(name.into());
        self
    }

    /// Each time of a cron expression (five fields, UTC) starts a run, with an empty object as its event's data.
    #[must_use]
    pub fn on_schedule(mut self, cron: impl Into<String>) -> Self {
        self.definition.schedule = Some(cron.into());
        self
    }

    /// Whatever fails is tried again so often: each step that has no policy of its own, and the workflow when it returns an
    /// error of its own. Waits double from 10 s to 10 min, give or take a fifth.
    #[must_use]
    pub fn retries(self, retries: u32) -> Self {
        let attempts = retries.saturating_add(1);
        self.retry(Retry::exponential(attempts, seconds(10)).cap(minutes(10)).jitter(0.2))
    }

    /// As [`retries`](Self::retries), with a policy of one's own.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.definition.retry = retry;
        self
    }

    /// Limits how many runs there are at once.
    #[must_use]
    pub fn concurrency(mut self, concurrency: Concurrency) -> Self {
        self.definition.concurrency = Some(concurrency);
        self
    }

    /// Limits how many runs start in a time. May be said several times, with different keys.
    #[must_use]
    pub fn throttle(mut self, throttle: Throttle) -> Self {
        self.definition.throttles.push(throttle);
        self
    }

    /// What is known of it without its code.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The workflow with the services its runs work with.
    pub fn with(self, services: S) -> Runnable {
        let function = self.function;
        Runnable {
            definition: Arc::new(self.definition),
            function: Arc::new(move |turn| function(turn, services.clone())),
        }
    }
}

impl<S> fmt::Debug for Workflow<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Workflow").field(&self.definition).finish()
    }
}

/// A workflow and its services: all that is needed to run it.
#[derive(Clone)]
pub struct Runnable {
    definition: Arc<Definition>,
    function: Arc<dyn Fn(Arc<Turn>) -> BoxFuture<'static, Result<Payload>> + Send + Sync>,
}

impl Runnable {
    /// What is known of it without its code.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    pub(crate) fn start(&self, turn: Arc<Turn>) -> BoxFuture<'static, Result<Payload>> {
        (self.function)(turn)
    }
}

impl fmt::Debug for Runnable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Runnable").field(&self.definition).finish()
    }
}
