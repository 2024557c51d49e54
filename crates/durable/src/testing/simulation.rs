//! Runs workflows in virtual time on one thread.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as TaskContext, Poll, Wake, Waker},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    audit,
    clock::{SimClock, SimRandom},
    crash::CutOff,
    memory::World,
    worker::Workshop,
};
use crate::{
    Checkpoint, Clock, DeadLetter, Delivery, Desk, Disposition, Envelope, Event, Payload, Ports, Result, Run,
    RunId, Runnable, Settings, after,
    callback::{self, Answer, Settled, Token},
    cancel, drive,
    job::Job,
    seconds, until, waits,
};

/// After this long, the message of an invocation that was cut off is delivered again. Longer than a lease.
const VISIBILITY: Duration = seconds(45);

/// A simulation that has not come to rest by then never will.
const LONGEST: Duration = seconds(400 * 24 * 3600);

/// Workflows in a simulated world: messages, time and crashes.
pub struct Simulation {
    world: Arc<World>,
    clock: Arc<SimClock>,
    began: Timestamp,
    ports: Ports,
    settings: Settings,
    runnables: Vec<Runnable>,
    queue: Vec<Message>,
    invocations: Vec<Invocation>,
    workshop: Workshop,
    actions: Vec<(Timestamp, Action)>,
    duplicates: bool,
    invocation_limit: Option<Duration>,
    sent: u32,
    label: String,
}

type Action = Box<dyn FnOnce(&mut Simulation)>;

#[derive(Clone)]
struct Message {
    at: Timestamp,
    work: Work,
}

/// What a message asks for.
#[derive(Clone)]
enum Work {
    /// A workflow is to look at a run.
    Drive(usize, Delivery),
    /// Whoever waits for an event is to hear of it.
    Arrive(Envelope),
}

struct Invocation {
    message: Message,
    future: BoxFuture<'static, Result<Disposition>>,
    woken: Arc<Woken>,
}

pub(super) struct Woken(pub(super) AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Default for Simulation {
    fn default() -> Self {
        Self::seeded(0)
    }
}

impl Simulation {
    /// An empty world, whose chances a seed determines.
    pub fn seeded(seed: u64) -> Self {
        let (world, clock) = (Arc::<World>::default(), Arc::<SimClock>::default());
        let ports = world.ports(clock.clone(), SimRandom::seeded(seed));
        Self {
            began: clock.now(),
            world,
            clock,
            ports,
            settings: Settings::default(),
            runnables: Vec::new(),
            queue: Vec::new(),
            invocations: Vec::new(),
            workshop: Workshop::default(),
            actions: Vec::new(),
            duplicates: false,
            invocation_limit: None,
            sent: 0,
            label: String::new(),
        }
    }

    /// A world with one workflow.
    pub fn of(runnable: Runnable) -> Self {
        Self::default().with(runnable)
    }

    /// Adds a workflow.
    #[must_use]
    pub fn with(mut self, runnable: Runnable) -> Self {
        self.runnables.push(runnable);
        self
    }

    /// Adds a worker, which does the jobs that bodies of steps hand over: all that come at once, a job under one token once
    /// as long as it lives. One that is cut off begins again what it may.
    #[must_use]
    pub fn with_worker(
        mut self,
        work: impl Fn(Value) -> BoxFuture<'static, Result<Value>> + 'static,
    ) -> Self {
        self.workshop.open(work);
        self
    }

    /// The jobs that nobody has taken.
    pub fn jobs(&self) -> Vec<Job> {
        self.world.state().jobs.clone()
    }

    /// How the driver works.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The virtual clock, for services that take time.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// The world's ports, for calls from outside of any run.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// What people see and steer of this world.
    pub fn desk(&self) -> Desk {
        let definitions = self.runnables.iter().map(|runnable| runnable.definition().clone());
        self.world.desk(self.ports.clone(), definitions.collect())
    }

    /// A message of a run is given up: it is a dead letter from now on. For tests of what becomes of it.
    pub fn give_up(&mut self, run: &RunId, reason: &str) {
        let (workflow, at) = (self.run(run).workflow, self.now());
        let mut state = self.world.state();
        let id = format!("letter-{}", state.dead.len() + 1);
        let (run, reason) = (Some(run.clone()), reason.to_owned());
        state.dead.push(DeadLetter { id, workflow, run, reason, at: Some(at), receives: None, body: None });
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time since the simulation began.
    pub fn elapsed(&self) -> Duration {
        until(self.began, self.now())
    }

    /// Sends an event with an id of its own; answers the runs it starts.
    pub fn send(&mut self, name: &str, data: Value) -> Vec<RunId> {
        self.sent += 1;
        self.send_as(&format!("event-{}", self.sent), name, data)
    }

    /// Sends a typed event; answers the runs it starts.
    ///
    /// # Panics
    ///
    /// When the event cannot be written as JSON.
    #[expect(clippy::expect_used, reason = "a test hands in the event")]
    pub fn send_event<E: Event>(&mut self, event: &E) -> Vec<RunId> {
        self.send(E::NAME, serde_json::to_value(event).expect("an event is JSON"))
    }

    /// Sends an event with this id; answers the runs it starts.
    pub fn send_as(&mut self, id: &str, name: &str, data: Value) -> Vec<RunId> {
        let event = Envelope { id: id.to_owned(), name: name.to_owned(), data, sent_at: self.now() };
        self.world.state().history.push(event.clone());
        self.route(&event)
    }

    /// A time of a workflow's schedule has come.
    pub fn fire_schedule(&mut self, workflow: &str) -> Vec<RunId> {
        let id = format!("{workflow}@{}", self.now());
        let event = Envelope {
            id,
            name: format!("schedule/{workflow}"),
            data: Value::Object(serde_json::Map::new()),
            sent_at: self.now(),
        };
        let index = self.runnables.iter().position(|runnable| runnable.definition().name == workflow);
        index.map(|index| self.start(index, &event)).into_iter().collect()
    }

    /// Does something once this much time has passed since the beginning.
    pub fn at(&mut self, elapsed: Duration, action: impl FnOnce(&mut Self) + 'static) {
        self.actions.push((after(self.began, elapsed), Box::new(action)));
    }

    /// Cancels a run. Whoever does may die over it, as [`cut_off`](Self::cut_off) asked.
    ///
    /// # Panics
    ///
    /// When there is no such run.
    #[expect(clippy::expect_used, reason = "a test names a run it made")]
    pub fn cancel(&mut self, run: &RunId) {
        let workflow = self.run(run).workflow;
        let runnable = self
            .runnables
            .iter()
            .find(|runnable| runnable.definition().name == workflow)
            .expect("a workflow");
        let cancelled = cancel(runnable, &self.ports, run).now_or_never();
        self.world.state().cut = false;
        cancelled.map(|cancelled| cancelled.expect("no port fails"));
    }

    /// Gives an answer from outside. `None`: whoever gave it died over it, as [`cut_off`](Self::cut_off) asked.
    ///
    /// # Panics
    ///
    /// Never: no simulated port fails.
    #[expect(clippy::expect_used, reason = "no simulated port fails")]
    pub fn answer(&mut self, token: &Token, answer: &Answer) -> Option<Settled> {
        let answered = callback::answer(&self.ports, token, answer).now_or_never();
        self.world.state().cut = false;
        answered.map(|answered| answered.expect("no port fails"))
    }

    /// Delivers every message twice from now on.
    pub fn duplicate_deliveries(&mut self) {
        self.duplicates = true;
    }

    /// Tells invocations from now on that they will be stopped after this long.
    pub fn limit_invocations(&mut self, limit: Duration) {
        self.invocation_limit = Some(limit);
    }

    /// Lets an invocation die at an operation to come.
    pub fn cut_off(&mut self, cut: CutOff) {
        self.world.state().cut_offs.push(cut);
    }

    /// Runs until nothing is left to do.
    ///
    /// # Panics
    ///
    /// When that takes more than 400 days.
    pub fn run_until_idle(&mut self) {
        let end = after(self.began, LONGEST);
        let idle = self.run_until(end);
        let busy = || self.runs().into_iter().filter(|run| !run.status.is_final()).collect::<Vec<_>>();
        assert!(idle, "after {LONGEST:?} still busy: {:?}", busy());
    }

    /// Runs for this long.
    pub fn run_for(&mut self, time: Duration) {
        let end = after(self.now(), time);
        self.run_until(end);
        self.clock.advance_to(end);
    }

    /// Answers whether nothing is left to do.
    fn run_until(&mut self, end: Timestamp) -> bool {
        loop {
            let polled = self.poll_invocations() | self.poll_jobs();
            self.collect();
            if polled | self.deliver() {
                continue;
            }
            let at_work = !self.invocations.is_empty() || self.workshop.is_busy();
            let timer = self.clock.next_timer().filter(|_| at_work);
            let messages = self.queue.iter().map(|message| message.at);
            let actions = self.actions.iter().map(|(at, _)| *at);
            let jobs = self.workshop.next_delivery();
            let Some(next) = messages.chain(actions).chain(timer).chain(jobs).min() else { return true };
            if next > end {
                return false;
            }
            self.clock.advance_to(next);
            let now = self.now();
            let (due, later) = std::mem::take(&mut self.actions).into_iter().partition(|(at, _)| *at <= now);
            self.actions = later;
            Vec::into_iter(due).for_each(|(_, action): (Timestamp, Action)| action(self));
        }
    }

    fn poll_invocations(&mut self) -> bool {
        let mut polled = false;
        let mut index = 0;
        while index < self.invocations.len() {
            let invocation = &mut self.invocations[index];
            if !invocation.woken.0.swap(false, Ordering::Relaxed) {
                index += 1;
                continue;
            }
            polled = true;
            let waker = Waker::from(invocation.woken.clone());
            let result = invocation.future.as_mut().poll(&mut TaskContext::from_waker(&waker));
            let again = match result {
                _ if std::mem::take(&mut self.world.state().cut) => Some(after(self.now(), VISIBILITY)),
                Poll::Pending => {
                    index += 1;
                    continue;
                }
                Poll::Ready(Ok(Disposition::Done)) => None,
                Poll::Ready(Ok(Disposition::Later(at))) => Some(at),
                Poll::Ready(Err(_)) => Some(after(self.now(), VISIBILITY)),
            };
            let Invocation { message, .. } = self.invocations.remove(index);
            self.queue.extend(again.map(|at| Message { at, ..message }));
        }
        polled
    }

    fn poll_jobs(&mut self) -> bool {
        if self.workshop.is_open() {
            let posted = std::mem::take(&mut self.world.state().jobs);
            self.workshop.take(posted, self.duplicates, self.clock.now());
        }
        let cut = || std::mem::take(&mut self.world.state().cut);
        self.workshop.poll(&self.world, &self.ports, after(self.clock.now(), VISIBILITY), cut)
    }

    /// Picks up what was published and sent since.
    fn collect(&mut self) {
        let (published, wakeups) = {
            let mut state = self.world.state();
            (std::mem::take(&mut state.published), std::mem::take(&mut state.wakeups))
        };
        for event in published {
            self.route(&event);
        }
        for (workflow, run, at) in wakeups {
            if let Some(index) =
                self.runnables.iter().position(|runnable| runnable.definition().name == workflow)
            {
                self.enqueue(Message { at, work: Work::Drive(index, Delivery::Resume { run, due: at }) });
            }
        }
    }

    fn route(&mut self, event: &Envelope) -> Vec<RunId> {
        // As long as nobody waits for anything, that is known, and costs the scenarios no operation.
        if self.waits_for_events() {
            self.enqueue(Message { at: self.now(), work: Work::Arrive(event.clone()) });
        }
        let listens = |runnable: &Runnable| runnable.definition().events.contains(&event.name);
        let indices: Vec<_> =
            (0..self.runnables.len()).filter(|index| listens(&self.runnables[*index])).collect();
        indices.into_iter().map(|index| self.start(index, event)).collect()
    }

    fn waits_for_events(&self) -> bool {
        let cancels = |runnable: &Runnable| !runnable.definition().cancel_on.is_empty();
        !self.world.state().waits.is_empty() || self.runnables.iter().any(cancels)
    }

    fn start(&mut self, index: usize, event: &Envelope) -> RunId {
        let work = Work::Drive(index, Delivery::Start(event.clone()));
        self.enqueue(Message { at: self.now(), work });
        RunId::of(&self.runnables[index].definition().name, &event.id)
    }

    fn enqueue(&mut self, message: Message) {
        if self.duplicates {
            self.queue.push(message.clone());
        }
        self.queue.push(message);
    }

    /// Starts an invocation for each message that is due.
    fn deliver(&mut self) -> bool {
        let now = self.now();
        let (mut due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(|message| message.at <= now);
        self.queue = later;
        due.sort_by_key(|message| message.at);
        let delivered = !due.is_empty();
        for message in due {
            let (ports, settings) = (self.ports.clone(), self.settings.clone());
            let deadline = self.invocation_limit.map(|limit| after(now, limit));
            let future: BoxFuture<'static, Result<Disposition>> = match message.work.clone() {
                Work::Drive(index, delivery) => {
                    let runnable = self.runnables[index].clone();
                    Box::pin(async move { drive(&runnable, &ports, &settings, delivery, deadline).await })
                }
                Work::Arrive(event) => Box::pin(async move {
                    waits::arrive(&ports, &event).await?;
                    Ok(Disposition::Done)
                }),
            };
            self.invocations.push(Invocation {
                message,
                future,
                woken: Arc::new(Woken(AtomicBool::new(true))),
            });
        }
        delivered
    }

    /// A run.
    ///
    /// # Panics
    ///
    /// When there is no such run.
    #[expect(clippy::expect_used, reason = "a test names a run it made")]
    pub fn run(&self, id: &RunId) -> Run {
        self.world.state().runs.get(id).map(|entry| entry.run.clone()).expect("no such run")
    }

    /// All runs, in the order of their creation.
    pub fn runs(&self) -> Vec<Run> {
        let state = self.world.state();
        state.order.iter().filter_map(|id| state.runs.get(id)).map(|entry| entry.run.clone()).collect()
    }

    /// The records of a run's steps.
    pub fn checkpoints(&self, id: &RunId) -> Vec<Checkpoint> {
        self.world.state().runs.get(id).map(|entry| entry.records.clone()).unwrap_or_default()
    }

    /// What a run answered; null when it has not, or not yet.
    pub fn output(&self, id: &RunId) -> Value {
        match self.run(id).output {
            Some(Payload::Json(json)) => serde_json::from_str(&json).unwrap_or_default(),
            Some(blob) => futures::executor::block_on(blob.load(&*self.ports.blobs)).unwrap_or_default(),
            None => Value::Null,
        }
    }

    /// Every event that was sent, by whomever.
    pub fn events(&self) -> Vec<Envelope> {
        self.world.state().history.clone()
    }

    /// The names of the port operations carried out so far.
    pub fn operations(&self) -> Vec<&'static str> {
        self.world.state().operations.clone()
    }

    /// Which invariants do not hold, now that nothing moves.
    pub fn violations(&self) -> Vec<String> {
        audit::violations(&self.world.state())
    }

    /// Where this simulation was disturbed, for messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn set_label(&mut self, label: String) {
        self.label = label;
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("now", &self.now())
            .field("world", &self.world)
            .finish_non_exhaustive()
    }
}
