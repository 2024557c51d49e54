//! Carries one message out: takes the run's lease, passes flow control, runs the workflow as far as it goes, and leaves the
//! run in a state from which something durable takes it on.

use std::{
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use futures::FutureExt;
use jiff::Timestamp;

use crate::{
    Admission, Begin, Envelope, Error, Happening, Lease, Next, Outcome, Payload, Ports, Result, Run, RunId,
    Runnable, Settings, Slot, Status, Suspended, Suspension, WaitingFor, Written, after,
    clock::{minutes, seconds},
    guard,
    turn::{Stop, Turn},
    until,
};

/// The clocks of two machines differ by less.
const CLOCK_SKEW: Duration = minutes(1);

/// A message that was received for a workflow.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// An event that starts a run, or did so before.
    Start(Envelope),
    /// A wake-up of a run that exists.
    Resume(RunId),
}

/// What becomes of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Whatever it asked for is done or made durable: delete it.
    Done,
    /// Deliver it again at this time.
    Later(Timestamp),
}

/// Carries out one message. `deadline` is when the process will be stopped, if it will be.
///
/// With an error, nothing may be taken as done: deliver the message again.
pub async fn drive(
    runnable: &Runnable,
    ports: &Ports,
    settings: &Settings,
    delivery: Delivery,
    deadline: Option<Timestamp>,
) -> Result<Disposition> {
    let now = ports.clock.now();
    let lease = after(now, settings.lease);
    let begin = match delivery {
        Delivery::Start(event) => {
            ports.journal.begin(runnable.definition().queued(event, now), now, lease).await?
        }
        Delivery::Resume(run) => ports.journal.resume(&run, now, lease).await?,
    };
    match begin {
        Begin::Leased(run) => {
            let lease = Lease { run: run.id.clone(), epoch: run.epoch };
            let worked = Invocation { runnable, ports, settings, deadline }.work(*run).await;
            if worked.is_err() {
                // The next delivery need not wait for the lease to expire. When this fails too, it does.
                let _ = ports.journal.renew(&lease, ports.clock.now()).await;
            }
            worked
        }
        Begin::Busy(free_at) => Ok(Disposition::Later(free_at.min(after(now, seconds(1))))),
        // Whoever sent this may have a clock ahead of ours: were it dropped, nothing else might come.
        Begin::Early(wake_at) if until(now, wake_at) <= CLOCK_SKEW => Ok(Disposition::Later(wake_at)),
        // What the run waits for was made durable before the run was suspended.
        Begin::Early(_) => Ok(Disposition::Done),
        Begin::Ended(run) => {
            if run.status == Status::Cancelled
                && let Some(observer) = &ports.observer
            {
                observer.observe(&run, &Happening::Cancelled);
            }
            // Whoever ended it may have died before its slot was free again.
            leave(runnable, ports, &run).await?;
            Ok(Disposition::Done)
        }
        Begin::Missing => Err(Error::new("a wake-up names a run that does not exist")),
    }
}

/// Ends a run from outside. Its place in every line is free again. Answers the run as it is now, `None` if there is none.
pub async fn cancel(runnable: &Runnable, ports: &Ports, run: &RunId) -> Result<Option<Run>> {
    let run = ports.journal.cancel(run, ports.clock.now()).await?;
    if let Some(run) = &run {
        leave(runnable, ports, run).await?;
    }
    Ok(run)
}

/// Gives back what flow control holds for a run that has ended, and wakes whoever is next.
async fn leave(runnable: &Runnable, ports: &Ports, run: &Run) -> Result<()> {
    let definition = runnable.definition();
    // A run whose event its workflow does not understand never asked for anything.
    if definition.check(&run.event.data).is_err() {
        return Ok(());
    }
    if run.status == Status::Cancelled {
        for throttle in &definition.throttles {
            let key = throttle.key_of(&definition.name, &run.event.data)?;
            ports.gate.withdraw(&key, run.id.as_str()).await?;
        }
    }
    if let Some(concurrency) = &definition.concurrency {
        let key = concurrency.key_of(&definition.name, &run.event.data)?;
        let now = ports.clock.now();
        for next in ports.gate.release(&key, concurrency.slots(), &run.id).await? {
            ports.wakeups.wake(&definition.name, &next, now).await?;
        }
    }
    Ok(())
}

/// How far a workflow came in an invocation.
enum Progress {
    Returned(Result<Payload>),
    Parked(Vec<WaitingFor>),
    Stopped(Stop),
}

struct Invocation<'a> {
    runnable: &'a Runnable,
    ports: &'a Ports,
    settings: &'a Settings,
    deadline: Option<Timestamp>,
}

impl Invocation<'_> {
    async fn work(&self, mut run: Run) -> Result<Disposition> {
        let turn = |run: &Run, records| {
            let definition = Arc::new(self.runnable.definition().clone());
            Arc::new(Turn::new(
                run.clone(),
                definition,
                self.ports.clone(),
                self.settings.clone(),
                self.deadline,
                records,
            ))
        };
        if let Err(error) = self.runnable.definition().check(&run.event.data) {
            let error = error.context(format!("event {}", run.event.name));
            return self.finish(&turn(&run, Vec::new()), Outcome::Failed(error)).await;
        }
        if run.started_at.is_none() {
            if let Some(wait) = self.admit(&run).await? {
                return self.suspend(&turn(&run, Vec::new()), Status::Queued, vec![wait], run.failures).await;
            }
            run.started_at = Some(self.ports.clock.now());
        }
        // The first invocation of a run has nothing to load, unless the run took over another one's steps.
        let is_fresh = run.epoch == 1 && run.rerun_of.is_none();
        let records = if is_fresh { Vec::new() } else { self.ports.journal.checkpoints(&run.id).await? };
        let runaway = guard::check(&run, &records);
        let turn = turn(&run, records);
        if let Err(error) = runaway {
            return self.finish(&turn, Outcome::Failed(error)).await;
        }
        turn.observe(&Happening::Started);
        loop {
            match self.progress(&turn).await {
                Progress::Returned(Ok(output)) => {
                    return self.finish(&turn, Outcome::Completed(output)).await;
                }
                Progress::Returned(Err(error)) => return self.failed(&turn, error).await,
                Progress::Stopped(Stop::Port(error)) => return Err(error),
                Progress::Stopped(Stop::Fenced) => return Ok(Disposition::Done),
                Progress::Stopped(Stop::Diverged(error)) => {
                    return self.finish(&turn, Outcome::Failed(error)).await;
                }
                Progress::Parked(waits) => match self.due_soon(&waits) {
                    Some(due) => self.ports.clock.sleep_until(due).await,
                    None => return self.suspend(&turn, Status::Waiting, waits, run.failures).await,
                },
            }
        }
    }

    /// Passes flow control, or answers what the run must wait for. A paused workflow starts nothing, and stands in no line
    /// that it has not joined. Then the slot comes first, so that a start the throttle
    /// grants is a start that happens.
    async fn admit(&self, run: &Run) -> Result<Option<WaitingFor>> {
        let definition = self.runnable.definition();
        let data = &run.event.data;
        if self.ports.pauses.is_paused(&definition.name, false).await? {
            return Ok(Some(WaitingFor::Paused));
        }
        if let Some(concurrency) = &definition.concurrency {
            let key = concurrency.key_of(&definition.name, data)?;
            if let Slot::Waiting(position) =
                self.ports.gate.acquire(&key, concurrency.slots(), &run.id).await?
            {
                return Ok(Some(WaitingFor::Slot { key, position }));
            }
        }
        for throttle in &definition.throttles {
            let key = throttle.key_of(&definition.name, data)?;
            let windows = self.settings.scale_windows(throttle.windows());
            loop {
                let now = self.ports.clock.now();
                match self.ports.gate.admit(&key, &windows, run.id.as_str(), now).await? {
                    Admission::Go => break,
                    Admission::At(due) if self.is_soon(due) => self.ports.clock.sleep_until(due).await,
                    Admission::At(until) => return Ok(Some(WaitingFor::Throttle { key, until })),
                }
            }
        }
        Ok(None)
    }

    /// Polls the workflow from its beginning until it returns, or until all it does is wait.
    async fn progress(&self, turn: &Arc<Turn>) -> Progress {
        turn.replay();
        let mut workflow = AssertUnwindSafe(self.runnable.start(turn.clone())).catch_unwind();
        let mut overtaken = pin!(self.keep_lease(turn));
        poll_fn(|context| {
            let polled = workflow.poll_unpin(context);
            // A stop wins over whatever the workflow made of it.
            if let Some(stop) = turn.take_stop() {
                return Poll::Ready(Progress::Stopped(stop));
            }
            if let Poll::Ready(result) = polled {
                let result =
                    result.unwrap_or_else(|panic| Err(Error::new(format!("panicked: {}", text_of(&*panic)))));
                return Poll::Ready(Progress::Returned(result));
            }
            if let Some(waits) = turn.parked() {
                return Poll::Ready(Progress::Parked(waits));
            }
            overtaken.as_mut().poll(context).map(Progress::Stopped)
        })
        .await
    }

    /// Renews the lease; resolves when it was lost.
    async fn keep_lease(&self, turn: &Turn) -> Stop {
        if !self.settings.renew {
            return std::future::pending().await;
        }
        loop {
            self.ports.clock.sleep_until(after(turn.now(), self.settings.lease / 3)).await;
            let until = after(turn.now(), self.settings.lease);
            match self.ports.journal.renew(&turn.lease, until).await {
                Ok(Written::Done(())) => {}
                Ok(Written::Fenced) => return Stop::Fenced,
                // The next renewal may succeed; if none does, the fence holds.
                Err(error) => tracing::warn!(run = %turn.lease.run, %error, "cannot renew the lease"),
            }
        }
    }

    /// When the run goes on, if that is soon enough to wait for it here.
    fn due_soon(&self, waits: &[WaitingFor]) -> Option<Timestamp> {
        waits.first()?.until().filter(|due| self.is_soon(*due))
    }

    fn is_soon(&self, due: Timestamp) -> bool {
        let in_time = self.deadline.is_none_or(|deadline| after(due, self.settings.short_wait) < deadline);
        in_time && until(self.ports.clock.now(), due) <= self.settings.short_wait
    }

    /// The workflow returned an error: another attempt of it, or the end of the run.
    async fn failed(&self, turn: &Turn, error: Error) -> Result<Disposition> {
        let attempts = turn.run.failures + 1;
        match turn.definition.retry.next(attempts, &error, self.ports.random.bits()) {
            Next::Retry(delay) => {
                let until = after(turn.now(), self.settings.scale(delay));
                let wait = WaitingFor::Retry { until, attempts, error: error.to_string() };
                self.suspend(turn, Status::Waiting, vec![wait], attempts).await
            }
            Next::GiveUp => self.finish(turn, Outcome::Failed(error)).await,
        }
    }

    /// Leaves the run to a later message, which is durable before the run is seen waiting for it: so a wake-up for a run
    /// that waits until later may be dropped, whoever sent it.
    async fn suspend(
        &self,
        turn: &Turn,
        status: Status,
        waiting_for: Vec<WaitingFor>,
        failures: u32,
    ) -> Result<Disposition> {
        let wake_at = match waiting_for.first() {
            // The run that frees the slot, or whoever ends the pause, wakes this one.
            Some(WaitingFor::Slot { .. } | WaitingFor::Paused) => None,
            first => Some(first.and_then(WaitingFor::until).unwrap_or_else(|| turn.now())),
        };
        let signals = turn.run.signals;
        let mut suspension =
            Suspension { status, waiting_for, wake_at, failures, started_at: turn.run.started_at, signals };
        loop {
            if let Some(at) = suspension.wake_at {
                self.ports.wakeups.wake(&turn.run.workflow, &turn.run.id, at).await?;
            }
            match self.ports.journal.suspend(&turn.lease, suspension.clone(), &turn.unsaved()).await? {
                Suspended::Fenced => return Ok(Disposition::Done),
                Suspended::Done => {
                    turn.observe(&Happening::Suspended(&suspension));
                    self.wake_if_resumed(turn, &suspension).await?;
                    return Ok(Disposition::Done);
                }
                // An answer came that this invocation has not seen: the next one sees it at once.
                Suspended::Signalled(signals) => {
                    (suspension.signals, suspension.wake_at) = (signals, Some(turn.now()));
                }
            }
        }
    }

    /// Whoever ended the pause just before this run was seen waiting for that has not woken it.
    async fn wake_if_resumed(&self, turn: &Turn, suspension: &Suspension) -> Result<()> {
        let workflow = &turn.run.workflow;
        if suspension.waiting_for.contains(&WaitingFor::Paused)
            && !self.ports.pauses.is_paused(workflow, true).await?
        {
            self.ports.wakeups.wake(workflow, &turn.run.id, turn.now()).await?;
        }
        Ok(())
    }

    async fn finish(&self, turn: &Turn, outcome: Outcome) -> Result<Disposition> {
        let (started_at, now) = (turn.run.started_at, turn.now());
        if self.ports.journal.finish(&turn.lease, &outcome, started_at, now).await? == Written::Done(()) {
            turn.observe(&Happening::Finished(&outcome));
            leave(self.runnable, self.ports, &turn.run).await?;
        }
        Ok(Disposition::Done)
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
