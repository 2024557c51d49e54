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
    Runnable, Settings, Slot, Status, StepId, Suspended, Suspension, WaitingFor, Written, after,
    clock::seconds,
    guard,
    scope::{is_part, token},
    singleton::{Claim, Claimant},
    turn::{Stop, Turn},
    until, waits,
};

/// Whoever ends a run gives its slot away at once. When that has not happened after so long, it died in between.
const LEAVING: Duration = seconds(5);

/// A message that was received for a workflow.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// An event that starts a run, or did so before.
    Start(Envelope),
    /// A wake-up of a run that exists.
    Resume {
        /// The run.
        run: RunId,
        /// When the wake-up was to come, by the clock of whoever sent it. It tells the one that the run waits for from
        /// those that are left over.
        due: Timestamp,
    },
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
    let due = match delivery {
        Delivery::Start(_) => None,
        Delivery::Resume { due, .. } => Some(due),
    };
    match begin(runnable, ports, delivery, now, lease).await? {
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
        // The one the run waits for, from a clock ahead of ours: were it dropped, nothing else might come.
        Begin::Early(wake_at) if due >= Some(wake_at) => Ok(Disposition::Later(wake_at)),
        // Left over. The one the run waits for was made durable before the run was suspended; were this one kept as well,
        // each delivery too many would stay until the run ends, and be joined by another each time the run waits.
        Begin::Early(_) => Ok(Disposition::Done),
        Begin::Ended(run) => {
            withdraw(ports, &run.id, &left_to_workers(&run.waited_for)).await?;
            // Whoever ended it is about to give its slot away. Were each delivery too many to do so as well, it would wake
            // the next in line once more, and that one's deliveries too many the next but one: twice as often each time.
            let lined_up = runnable.definition().concurrency.is_some();
            let left = run.ended_at.filter(|_| lined_up).map(|ended_at| after(ended_at, LEAVING));
            if let Some(left) = left.filter(|left| *left > now) {
                return Ok(Disposition::Later(left));
            }
            if run.status == Status::Cancelled
                && let Some(observer) = &ports.observer
            {
                observer.observe(&run, &Happening::Cancelled);
            }
            leave(runnable, ports, &run).await?;
            Ok(Disposition::Done)
        }
        Begin::Missing => Err(Error::new("a wake-up names a run that does not exist")),
    }
}

async fn begin(
    runnable: &Runnable,
    ports: &Ports,
    delivery: Delivery,
    now: Timestamp,
    lease: Timestamp,
) -> Result<Begin> {
    match delivery {
        Delivery::Start(event) => {
            ports.journal.begin(runnable.definition().queued(event, now), now, lease).await
        }
        Delivery::Resume { run, .. } => ports.journal.resume(&run, now, lease).await,
    }
}

/// Gives a message up that failed too often: its run fails with this reason, unless it has ended, somebody is at work on it,
/// or something else will wake it.
pub async fn give_up(
    runnable: &Runnable,
    ports: &Ports,
    settings: &Settings,
    delivery: Delivery,
    reason: &str,
) -> Result<()> {
    let now = ports.clock.now();
    if let Begin::Leased(run) = begin(runnable, ports, delivery, now, after(now, settings.lease)).await? {
        let lease = Lease { run: run.id.clone(), epoch: run.epoch };
        let outcome = Outcome::Failed(Error::fatal(reason));
        if ports.journal.finish(&lease, &outcome, run.started_at, now).await? == Written::Done(()) {
            withdraw(ports, &run.id, &left_to_workers(&run.waiting_for)).await?;
            leave(runnable, ports, &run).await?;
        }
    }
    Ok(())
}

/// Ends a run from outside. Its place in every line is free again. Answers the run as it is now, `None` if there is none.
pub async fn cancel(runnable: &Runnable, ports: &Ports, run: &RunId) -> Result<Option<Run>> {
    let run = ports.journal.cancel(run, ports.clock.now()).await?;
    if let Some(run) = &run {
        withdraw(ports, &run.id, &left_to_workers(&run.waited_for)).await?;
        leave(runnable, ports, run).await?;
    }
    Ok(run)
}

/// What a run that waited for this had left to workers.
fn left_to_workers(waits: &[WaitingFor]) -> Vec<StepId> {
    let step = |wait: &WaitingFor| match wait {
        WaitingFor::Callback { step, .. } if is_part(step) => Some(step.clone()),
        _ => None,
    };
    waits.iter().filter_map(step).collect()
}

/// Nobody waits any more for what a run that has ended left to workers.
async fn withdraw(ports: &Ports, run: &RunId, left: &[StepId]) -> Result<()> {
    for step in left {
        ports.jobs.withdraw(&token(run, step)).await?;
    }
    Ok(())
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
    free_slot(runnable, ports, run).await
}

/// Leaves the concurrency line, and wakes whoever is next.
async fn free_slot(runnable: &Runnable, ports: &Ports, run: &Run) -> Result<()> {
    let definition = runnable.definition();
    let Some(concurrency) = &definition.concurrency else { return Ok(()) };
    let key = concurrency.key_of(&definition.name, &run.event.data)?;
    let now = ports.clock.now();
    for next in ports.gate.release(&key, concurrency.slots(), &run.id).await? {
        ports.wakeups.wake(&definition.name, &next, now).await?;
    }
    Ok(())
}

/// Whether all a run waits for is its own affair, so that its slot goes to the next in line.
fn is_aside(waits: &[WaitingFor]) -> bool {
    !waits.is_empty() && waits.iter().all(WaitingFor::is_aside)
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
            if self.is_superseded(&run).await? {
                waits::supersede(self.ports, &run.id).await?;
                return Ok(Disposition::Done);
            }
            if let Some(wait) = self.admit(&run).await? {
                return self.suspend(&turn(&run, Vec::new()), Status::Queued, vec![wait], run.failures).await;
            }
            run.started_at = Some(self.ports.clock.now());
        } else if let Some(wait) = self.line_up_again(&run).await? {
            return self.suspend(&turn(&run, Vec::new()), Status::Waiting, vec![wait], run.failures).await;
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
                Progress::Stopped(Stop::Fenced) => return self.fenced(&turn).await,
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

    /// Before anything of the run happens: ends those that it supersedes, and makes it known which events end it. Answers
    /// whether it is the one that must end.
    async fn is_superseded(&self, run: &Run) -> Result<bool> {
        let definition = self.runnable.definition();
        if let Some(singleton) = &definition.singleton {
            let key = singleton.key_of(&definition.name, &run.event.data)?;
            let claimant = Claimant { at: run.asked_for_at(), run: run.id.clone() };
            match self.ports.gate.claim(&key, &claimant).await? {
                Claim::Superseded => return Ok(true),
                Claim::Newest { superseded } if superseded.is_empty() => {}
                Claim::Newest { superseded } => {
                    for older in &superseded {
                        waits::supersede(self.ports, older).await?;
                    }
                    self.ports.gate.acknowledge(&key, &superseded).await?;
                }
            }
        }
        for wait in definition.cancelling(run) {
            if self.ports.waits.wait_for(&wait).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Passes flow control, or answers what the run must wait for. A paused workflow starts nothing, and stands in no line
    /// that it has not joined. Then the slot comes first, so that a start the throttle
    /// grants is a start that happens.
    async fn admit(&self, run: &Run) -> Result<Option<WaitingFor>> {
        let definition = self.runnable.definition();
        if self.ports.pauses.is_paused(&definition.name, false).await? {
            return Ok(Some(WaitingFor::Paused));
        }
        if let Some(wait) = self.line_up(run).await? {
            return Ok(Some(wait));
        }
        let data = &run.event.data;
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

    /// Takes a concurrency slot, or answers the place in line. A run that has one keeps it.
    async fn line_up(&self, run: &Run) -> Result<Option<WaitingFor>> {
        let definition = self.runnable.definition();
        let Some(concurrency) = &definition.concurrency else { return Ok(None) };
        let key = concurrency.key_of(&definition.name, &run.event.data)?;
        let slot = self.ports.gate.acquire(&key, concurrency.slots(), &run.id).await?;
        Ok(match slot {
            Slot::Held => None,
            Slot::Waiting(position) => Some(WaitingFor::Slot { key, position }),
        })
    }

    /// A run that steps aside is suspended first and woken at once, to give its slot away here: under its lease and known to
    /// be out of line, so that whatever dies it neither goes on without a slot nor leaves the next one asleep. When its time
    /// has come, it joins the line at the end.
    async fn line_up_again(&self, run: &Run) -> Result<Option<WaitingFor>> {
        let Some(first) = run.waiting_for.first() else { return Ok(None) };
        if is_aside(&run.waiting_for) {
            free_slot(self.runnable, self.ports, run).await?;
            if first.until() > Some(self.ports.clock.now()) && !self.has_come(run).await? {
                return Ok(Some(first.clone()));
            }
            return self.line_up(run).await;
        }
        if matches!(first, WaitingFor::Slot { .. }) { self.line_up(run).await } else { Ok(None) }
    }

    /// Whether the event that a run waits for out of line has come.
    async fn has_come(&self, run: &Run) -> Result<bool> {
        let steps: Vec<_> = run
            .waiting_for
            .iter()
            .filter_map(|wait| if let WaitingFor::Event { step, .. } = wait { Some(step) } else { None })
            .collect();
        if steps.is_empty() {
            return Ok(false);
        }
        let records = self.ports.journal.checkpoints(&run.id).await?;
        Ok(records.iter().any(|record| record.state.is_final() && steps.contains(&&record.step)))
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
            // To give its slot away; it was given away already when that is what the run was woken for.
            Some(_) if is_aside(&waiting_for) && turn.run.waiting_for != waiting_for => Some(turn.now()),
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
                Suspended::Fenced => return self.fenced(turn).await,
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

    /// Somebody took the run over. If it has ended, whoever ended it need not know what was left to workers since.
    async fn fenced(&self, turn: &Turn) -> Result<Disposition> {
        let left = turn.left();
        if !left.is_empty() {
            let run = self.ports.journal.run(&turn.run.id).await?;
            if run.is_none_or(|run| run.status.is_final()) {
                withdraw(self.ports, &turn.run.id, &left).await?;
            }
        }
        Ok(Disposition::Done)
    }

    async fn finish(&self, turn: &Turn, outcome: Outcome) -> Result<Disposition> {
        let (started_at, now) = (turn.run.started_at, turn.now());
        if self.ports.journal.finish(&turn.lease, &outcome, started_at, now).await? == Written::Done(()) {
            turn.observe(&Happening::Finished(&outcome));
            withdraw(self.ports, &turn.run.id, &turn.left()).await?;
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
