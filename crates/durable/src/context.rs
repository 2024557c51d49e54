//! What a workflow's author is given.

use std::{borrow::Cow, fmt, future::Future, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Checkpoint, Envelope, Error, Event, Result, Retry, RunId, StepId, StepKind, StepState, WaitingFor,
    Window, after,
    attempt::{Attempt, Pace},
    listen::Callback,
    payload::from_value,
    receive::Receive,
    turn::Turn,
    until,
};

/// A run, as its workflow sees it: the event, and the ways to do what must last.
///
/// Whatever a workflow does outside of steps is done again each time the run resumes, and must come out the same.
pub struct Context<E> {
    event: Arc<E>,
    turn: Arc<Turn>,
}

impl<E> Context<E> {
    /// The event that caused the run.
    pub fn event(&self) -> &E {
        &self.event
    }

    /// The run's id. Unique and the same at every resumption, so it serves as an idempotency key.
    pub fn run_id(&self) -> &RunId {
        &self.turn.lease.run
    }

    /// The id of the event that caused the run.
    pub fn event_id(&self) -> &str {
        &self.turn.run.event.id
    }

    /// When the event was sent.
    pub fn sent_at(&self) -> Timestamp {
        self.turn.run.event.sent_at
    }

    /// The time now, for the bodies of steps. Outside of them it is another one at each resumption, and what depends on it
    /// does not come out the same.
    pub fn now(&self) -> Timestamp {
        self.turn.now()
    }

    /// When the last use of a step that is on record began; `None` before there is one. As recorded, so the same at every
    /// resumption that comes after it.
    pub fn began(&self, step: &str) -> Option<Timestamp> {
        self.turn.began_at(step)
    }

    /// A step: code whose result is recorded, so that it runs once it succeeds and never again.
    ///
    /// The name and which use of it this is identify the step; a loop uses one name many times.
    pub fn step(&self, name: impl Into<Cow<'static, str>>) -> Step<'_> {
        Step {
            turn: &self.turn,
            name: name.into(),
            retry: None,
            timeout: None,
            at_most_once: false,
            throttles: Vec::new(),
        }
    }

    /// A step whose work somebody outside does: it is handed over with a token, and the run goes on when an answer comes
    /// with that token. See [`callback`](crate::callback).
    pub fn callback(&self, name: impl Into<Cow<'static, str>>) -> Callback<'_> {
        Callback::new(&self.turn, name.into())
    }

    /// A step that waits for an event that somebody sends: an approval, the end of an import. See
    /// [`receive`](Receive::receive).
    ///
    /// ```
    /// # use durable::{Context, Result, hours};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Approved { agent_name: String, by: String }
    /// # impl durable::Event for Approved { const NAME: &'static str = "agent/build.approved"; }
    /// # async fn deploy(ctx: Context<Approved>, agent_name: String) -> Result<()> {
    /// let approval = ctx.wait_for_event::<Approved>("approval").matching("agent_name", &agent_name).timeout(hours(48));
    /// let Some(approval) = approval.receive().await? else { return Ok(()) };
    /// # let _ = approval.by; Ok(()) }
    /// ```
    pub fn wait_for_event<T: Event + DeserializeOwned>(
        &self,
        name: impl Into<Cow<'static, str>>,
    ) -> Receive<'_, T> {
        Receive::new(&self.turn, name.into())
    }

    /// Waits. The run takes no memory and no process meanwhile; it holds its concurrency slot.
    pub async fn sleep(&self, name: impl Into<Cow<'static, str>>, duration: Duration) {
        let duration = self.turn.settings.scale(duration);
        self.sleep_from(&name.into(), |now| after(now, duration)).await;
    }

    /// Waits for a time to come.
    pub async fn sleep_until(&self, name: impl Into<Cow<'static, str>>, time: Timestamp) {
        self.sleep_from(&name.into(), |now| after(now, self.turn.settings.scale(until(now, time)))).await;
    }

    async fn sleep_from(&self, name: &str, end: impl FnOnce(Timestamp) -> Timestamp) {
        let turn = &*self.turn;
        let (step, record) = reach(turn, name, StepKind::Sleep).await;
        let now = turn.now();
        let ends = if let Some(Checkpoint { state: StepState::Sleeping { until }, .. }) = record {
            until
        } else {
            let ends = end(now);
            let state = StepState::Sleeping { until: ends };
            turn.began(Checkpoint::new(step.clone(), StepKind::Sleep, state, now));
            ends
        };
        if ends > now {
            turn.park::<()>(WaitingFor::Sleep { step, until: ends }).await;
        }
    }

    /// Sends an event, as a step. Its id is made of the run and the step, so whoever receives it sees it once.
    pub async fn send_event<T: Event>(&self, name: impl Into<Cow<'static, str>>, event: T) -> Result<()> {
        let data = serde_json::to_value(&event)
            .map_err(|error| Error::fatal(format!("event {} cannot be written as JSON: {error}", T::NAME)))?;
        self.send(name, T::NAME, data).await
    }

    /// Sends an event whose name is known only when the workflow runs, as a step.
    pub async fn send(
        &self,
        name: impl Into<Cow<'static, str>>,
        event_name: &str,
        data: serde_json::Value,
    ) -> Result<()> {
        let turn = &self.turn;
        let (step, record) = reach(turn, &name.into(), StepKind::SendEvent).await;
        let id = format!("{}/{step}", turn.lease.run);
        Attempt::new(turn, step, StepKind::SendEvent)
            .run(record, async || {
                let event = Envelope::untyped(&id, event_name, data, turn.now())?;
                let published = turn.ports.bus.publish(&[event]).await;
                turn.port(published).await;
                Ok(id.clone())
            })
            .await
            .map(drop)
    }
}

impl<E: DeserializeOwned> Context<E> {
    pub(crate) fn new(turn: Arc<Turn>) -> Result<Self> {
        Ok(Self { event: Arc::new(from_value(turn.data())?), turn })
    }
}

impl<E> Clone for Context<E> {
    fn clone(&self) -> Self {
        Self { event: self.event.clone(), turn: self.turn.clone() }
    }
}

impl<E: fmt::Debug> fmt::Debug for Context<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("run", self.run_id())
            .field("event", &self.event)
            .finish_non_exhaustive()
    }
}

/// A step that is being described; [`run`](Self::run) makes it happen.
#[must_use = "a step does nothing until it is run"]
pub struct Step<'a> {
    turn: &'a Arc<Turn>,
    name: Cow<'static, str>,
    retry: Option<Retry>,
    timeout: Option<Duration>,
    at_most_once: bool,
    throttles: Vec<Pace>,
}

impl Step<'_> {
    /// How often it is attempted; without this, as often as the workflow's `retries` say.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// The longest an attempt may take. One that takes longer is dropped and has failed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// No attempt is ever made while an earlier one may have had its effect.
    ///
    /// A record is made before each attempt begins. When its end is never recorded, because the process died, or when it
    /// ends with an error that leaves open what happened, the step fails with
    /// [`Error::is_outcome_unknown`]. Only errors that say that nothing happened ([`Error::no_effect`],
    /// [`Error::retry_after`]) are followed by another attempt.
    pub fn at_most_once(mut self) -> Self {
        self.at_most_once = true;
        self
    }

    /// Each attempt waits until no more than `limit` attempts with this key lie in any of these windows, in the order of
    /// asking. The key is shared by all runs that use it. Said several times, all of them hold at once; without a window
    /// there is no limit.
    pub fn throttle(mut self, key: impl Into<String>, windows: impl Into<Vec<Window>>) -> Self {
        self.throttles.push(Pace { key: key.into(), windows: windows.into(), aside: false });
        self
    }

    /// As [`throttle`](Self::throttle), and while it waits the run steps out of its workflow's concurrency line: the next
    /// run has its slot, and it joins the line again at the end when its time has come. For a wait that is the run's own
    /// affair, as a cooldown is, and should hold nobody up. Say it before the throttles it shares with others: a start that
    /// they admitted would count with them while the run is out of line.
    pub fn throttle_aside(mut self, key: impl Into<String>, windows: impl Into<Vec<Window>>) -> Self {
        self.throttles.push(Pace { key: key.into(), windows: windows.into(), aside: true });
        self
    }

    /// Runs the body, unless its result is on record, and returns the result as it is read back from the record.
    ///
    /// The body may borrow from the workflow. It is given nothing durable: a step within a step does not compile.
    pub async fn run<T, F, Fut>(self, body: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let (step, record) = reach(self.turn, &self.name, StepKind::Run).await;
        let attempt = Attempt {
            retry: self.retry,
            timeout: self.timeout,
            at_most_once: self.at_most_once,
            throttles: self.throttles,
            ..Attempt::new(self.turn, step, StepKind::Run)
        };
        attempt.run(record, body).await
    }
}

impl fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("name", &self.name).finish_non_exhaustive()
    }
}

pub(crate) async fn reach(turn: &Turn, name: &str, kind: StepKind) -> (StepId, Option<Checkpoint>) {
    match turn.reach(name, kind) {
        Ok(reached) => reached,
        Err(stop) => turn.halt(stop).await,
    }
}
