//! One job, from the claim to the answer.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use durable::{
    Clock, Error, Result, after,
    callback::Answer,
    claim::{self, Claim, State, Verdict, judge},
    job::SILENCE,
};
use durable_local::SystemClock;
use fibreflow::work::{Command, Work};
use futures::future::{Either, select};

use tokio::sync::oneshot;

use crate::{
    command::{Ended, Run},
    config::Config,
    locks::{AtWork, Locks},
    queue::{Delivery, Queue, Version},
    request::Requests,
    room::{Room, Rooms},
    stop::{Stop, Stopping},
};

/// What all jobs share.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) config: Config,
    /// By what its claims are known.
    pub(crate) identity: String,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) rooms: Rooms,
    pub(crate) requests: Requests,
    pub(crate) locks: Locks,
    pub(crate) at_work: AtWork,
    pub(crate) stopping: Stopping,
}

/// Dropped once nothing that a job excludes can begin before it.
pub(crate) type Entered = Option<oneshot::Sender<()>>;

/// A job that this worker has claimed.
struct Held<'a> {
    delivery: &'a Delivery,
    room: Room,
    claim: Mutex<(Claim, Version)>,
    entered: Mutex<Entered>,
    stop: Stop,
    stopping: Stopping,
}

/// Where a claim stands after an attempt to prolong it.
enum Kept {
    Ours(Claim, Version),
    /// Nobody waits for the job any more.
    Withdrawn,
    /// Another worker has it, or may have.
    Lost,
}

impl Held<'_> {
    fn claim(&self) -> (Claim, Version) {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, claim: Claim, version: Version) {
        *self.claim.lock().unwrap_or_else(PoisonError::into_inner) = (claim, version);
    }
}

impl Bench {
    /// Does with a job what its claim says.
    pub(crate) async fn carry_out(&self, delivery: &Delivery, entered: Entered) -> Result<()> {
        let (queue, job) = (&self.queue, &delivery.job);
        let room = self.rooms.room(&claim::name(&job.token));
        let Some(_place) = self.at_work.enter(&room.name) else {
            // Delivered twice: the first delivery is being worked on here.
            return queue.prolong(&delivery.receipt, self.config.lease).await;
        };
        // Most jobs are new: the claim is read when making one has failed.
        let mut standing: Option<(Claim, Version)> = None;
        loop {
            let (claim, now) = (standing.as_ref().map(|(claim, _)| claim), SystemClock.now());
            let (name, lease) = (&self.identity, self.config.lease);
            let (next, died) = match judge(claim, name, now, lease, job.start_by, job.at_most_once) {
                Verdict::Begin(claim) => (claim, false),
                Verdict::Own(claim) => {
                    let state = State::Held(after(now, lease));
                    (Claim { epoch: claim.epoch + 1, state, ..claim }, true)
                }
                Verdict::Busy(until) => {
                    self.rooms.abandon(&room);
                    return queue.prolong(&delivery.receipt, durable::until(now, until)).await;
                }
                Verdict::Answer(answer) => {
                    self.rooms.abandon(&room);
                    return self.report(delivery, &room, &answer).await;
                }
                Verdict::Withdrawn => {
                    self.rooms.wind_down(&room, self.config.grace).await;
                    return self.forget(delivery, &room).await;
                }
                Verdict::Lost(claim) => {
                    let error = Error::outcome_unknown("a worker began it and has gone silent");
                    (answered(claim, error), false)
                }
                Verdict::Overdue(claim) => {
                    (answered(claim, Error::no_effect("no worker began it in time")), false)
                }
            };
            let before = standing.as_ref().map(|(_, version)| version);
            let Some(version) = queue.swap(&room.name, &next, before).await? else {
                standing = queue.claim(&room.name).await?;
                continue;
            };
            if let State::Answered(answer) = &next.state {
                return self.report(delivery, &room, answer).await;
            }
            let (stop, stopping) = Stop::new();
            let stopping = self.stopping.clone().or(stopping);
            let (claim, entered) = (Mutex::new((next, version)), Mutex::new(entered));
            let held = Held { delivery, room, claim, entered, stop, stopping };
            return self.see_through(&held, died).await;
        }
    }

    async fn see_through(&self, held: &Held<'_>, died: bool) -> Result<()> {
        let mut work = pin!(self.work(held, died));
        let kept = pin!(self.keep(held));
        match select(work.as_mut(), kept).await {
            Either::Left((Ended::With(result), _)) => {
                let answer = match result {
                    Ok(value) => self.queue.done(&held.delivery.job, value).await?,
                    Err(error) => Answer::Failed(error),
                };
                self.settle(held, answer).await
            }
            Either::Left((Ended::Stopped, _)) => self.give_back(held).await,
            Either::Right((Kept::Withdrawn, _)) => {
                held.stop.within(Duration::ZERO);
                // What it comes to has no reader; it is given the time to end well.
                work.await;
                self.forget(held.delivery, &held.room).await
            }
            Either::Right(_) => {
                tracing::warn!(job = %held.delivery.job.token, "the claim is lost: what was begun is ended");
                self.rooms.leave(&held.room);
                Ok(())
            }
        }
    }

    async fn work(&self, held: &Held<'_>, died: bool) -> Ended {
        let job = &held.delivery.job;
        let work = self.queue.work(job).await.and_then(|work| {
            serde_json::from_value(work).map_err(|error| Error::fatal(format!("work: {error}")))
        });
        match work {
            Ok(Work::Command(asked)) => self.run(held, &asked, died).await,
            Ok(Work::Http(_)) if died && job.at_most_once => Ended::With(Err(unknown())),
            Ok(Work::Http(request)) => {
                let now = SystemClock.now();
                let made = pin!(self.requests.make(request, durable::until(now, job.ends(now))));
                match select(made, pin!(held.stopping.clone().over())).await {
                    Either::Left((result, _)) => Ended::With(result),
                    Either::Right(_) if job.at_most_once => Ended::With(Err(unknown())),
                    Either::Right(_) => Ended::Stopped,
                }
            }
            Err(error) => Ended::With(Err(error)),
        }
    }

    async fn run(&self, held: &Held<'_>, asked: &Command, died: bool) -> Ended {
        let job = &held.delivery.job;
        let Some(command) = self.config.commands.get(&asked.name) else {
            let known: Vec<_> = self.config.commands.keys().map(String::as_str).collect();
            let (name, known) = (&asked.name, known.join(", "));
            return Ended::With(Err(Error::fatal(format!("command: this worker runs {known}, not {name}"))));
        };
        // In this order everywhere.
        let key = asked.key.as_ref().map(|key| format!("{}/{key}", asked.name));
        let field = command.one_at_a_time_by.as_ref();
        let value = field.map(|field| format!("{}.{field}={}", asked.name, asked.input[field]));
        let locks = pin!(async {
            let mut held = Vec::new();
            for name in [value, key.as_ref().map(|key| format!("key {key}"))].into_iter().flatten() {
                held.push(self.locks.lock(name).await);
            }
            held
        });
        let Either::Left((_locks, _)) = select(locks, pin!(held.stopping.clone().over())).await else {
            return Ended::Stopped;
        };
        held.entered.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(result) = key.as_ref().and_then(|key| self.rooms.result(key)) {
            return Ended::With(Ok(result));
        }
        let run = || Run { command, asked, job, room: &held.room, stopping: held.stopping.clone() };
        let resumed = if died { run().resume().await } else { None };
        let ended = match resumed {
            Some(ended) => ended,
            // It had ended, or never began, and nobody knows which.
            None if died && job.at_most_once => Ended::With(Err(unknown())),
            None => match held.room.enter(held.delivery) {
                Ok(()) => run().begin().await,
                Err(error) => Ended::With(Err(Error::no_effect(error.message()))),
            },
        };
        match (ended, &key) {
            (Ended::Stopped, _) if job.at_most_once => Ended::With(Err(unknown())),
            (Ended::With(Ok(result)), Some(key)) => {
                Ended::With(self.rooms.keep_result(key, &result).map(|()| result))
            }
            (ended, _) => ended,
        }
    }

    /// Prolongs the claim and shows life, until the claim is no longer ours; says how it then stands.
    async fn keep(&self, held: &Held<'_>) -> Kept {
        let (lease, mut shown) = (self.config.lease, SystemClock.now());
        let every = (lease / 3).min(SILENCE / 3);
        loop {
            SystemClock.sleep_until(after(SystemClock.now(), every)).await;
            let now = SystemClock.now();
            let State::Held(until) = held.claim().0.state else { return Kept::Lost };
            match self.renew(held, State::Held(after(now, lease))).await {
                Ok(Kept::Ours(claim, version)) => held.note(claim, version),
                Ok(kept) => return kept,
                Err(error) if after(now, every) >= until => {
                    tracing::error!(job = %held.delivery.job.token, %error, "cannot prolong a claim in time");
                    return Kept::Lost;
                }
                Err(error) => {
                    tracing::warn!(job = %held.delivery.job.token, %error, "cannot prolong a claim");
                }
            }
            self.prolong(held).await;
            if after(shown, SILENCE / 3) <= SystemClock.now() {
                shown = SystemClock.now();
                self.show_life(held).await;
            }
        }
    }

    async fn renew(&self, held: &Held<'_>, state: State) -> Result<Kept> {
        let (claim, version) = held.claim();
        let (worker, epoch) = (claim.worker.clone(), claim.epoch);
        let next = Claim { state, ..claim };
        if let Some(version) = self.queue.swap(&held.room.name, &next, Some(&version)).await? {
            return Ok(Kept::Ours(next, version));
        }
        Ok(match self.queue.claim(&held.room.name).await? {
            Some((Claim { state: State::Withdrawn, .. }, _)) => Kept::Withdrawn,
            // A prolongation that was cut off may have been written.
            Some((standing, version)) if standing.worker == worker && standing.epoch == epoch => {
                Kept::Ours(standing, version)
            }
            _ => Kept::Lost,
        })
    }

    async fn prolong(&self, held: &Held<'_>) {
        if let Err(error) = self.queue.prolong(&held.delivery.receipt, self.config.lease).await {
            // Whoever is given it meanwhile finds the claim.
            tracing::warn!(job = %held.delivery.job.token, %error, "cannot keep a job to ourselves");
        }
    }

    async fn show_life(&self, held: &Held<'_>) {
        if let Err(error) = self.queue.answer(&held.delivery.job, &Answer::Alive).await {
            tracing::warn!(job = %held.delivery.job.token, %error, "cannot show a sign of life");
        }
    }

    /// Makes the answer the claim's end, and reports it.
    async fn settle(&self, held: &Held<'_>, answer: Answer) -> Result<()> {
        let state = State::Answered(answer.clone());
        if self.conclude(held, state).await? {
            return self.report(held.delivery, &held.room, &answer).await;
        }
        tracing::warn!(job = %held.delivery.job.token, "the job is no longer ours: this answer does not count");
        self.rooms.leave(&held.room);
        Ok(())
    }

    async fn give_back(&self, held: &Held<'_>) -> Result<()> {
        if self.conclude(held, State::Free).await? {
            self.queue.prolong(&held.delivery.receipt, Duration::ZERO).await?;
        }
        self.rooms.leave(&held.room);
        Ok(())
    }

    /// Writes how the claim ends; `false` when it is no longer ours.
    async fn conclude(&self, held: &Held<'_>, state: State) -> Result<bool> {
        let (mut ours, mut version) = held.claim();
        loop {
            let next = Claim { state: state.clone(), ..ours.clone() };
            if self.queue.swap(&held.room.name, &next, Some(&version)).await?.is_some() {
                return Ok(true);
            }
            // A prolongation that was cut off may have been written.
            match self.queue.claim(&held.room.name).await? {
                Some((claim, newer)) if claim.worker == ours.worker && claim.epoch == ours.epoch => {
                    if matches!(claim.state, State::Held(_)) {
                        (ours, version) = (claim, newer);
                    } else {
                        return Ok(claim.state == state);
                    }
                }
                _ => return Ok(false),
            }
        }
    }

    /// Nobody waits for a job any more, and what was begun of it has ended.
    async fn forget(&self, delivery: &Delivery, room: &Room) -> Result<()> {
        self.queue.delete(delivery).await?;
        self.rooms.leave(room);
        let (job, workflow) = (&delivery.job.token, &delivery.job.workflow);
        tracing::info!(%job, workflow, "withdrawn: nobody waits for it any more");
        Ok(())
    }

    async fn report(&self, delivery: &Delivery, room: &Room, answer: &Answer) -> Result<()> {
        self.queue.answer(&delivery.job, answer).await?;
        self.queue.delete(delivery).await?;
        self.rooms.leave(room);
        let (job, workflow) = (&delivery.job.token, &delivery.job.workflow);
        if let Answer::Failed(error) = answer {
            tracing::warn!(%job, workflow, %error, "failed");
        } else {
            tracing::info!(%job, workflow, "done");
        }
        Ok(())
    }
}

fn answered(claim: Claim, error: Error) -> Claim {
    Claim { state: State::Answered(Answer::Failed(error)), ..claim }
}

fn unknown() -> Error {
    Error::outcome_unknown("the worker was stopped over it")
}
