//! All ports in memory. Each operation is atomic, counted, audited, and can be the one an invocation is cut off at.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    audit::Audit,
    clock::{SimClock, SimRandom},
    crash::{CutOff, When},
};
use crate::{
    AuditEntry, Begin, Buckets, Checkpoint, Counts, DeadLetter, Envelope, Journal, Lease, Outcome, Pause,
    Ports, Result, Run, RunId, Status, Suspended, Suspension, Tally, Wait, Written,
    callback::{self, Answer, Settled, Token, Verdict},
    job::Job,
    line, singleton, throttle,
};

/// The simulated world: storage, queues and bus.
#[derive(Debug, Default)]
pub struct World {
    state: Mutex<State>,
}

/// What the world holds.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) runs: BTreeMap<RunId, Entry>,
    pub(super) order: Vec<RunId>,
    pub(super) lines: HashMap<String, Vec<line::Member>>,
    pub(super) ledgers: HashMap<String, Vec<throttle::Start>>,
    pub(super) blobs: HashMap<String, Vec<u8>>,
    /// Events published and wake-ups sent that the simulation has not picked up yet.
    pub(super) published: Vec<Envelope>,
    pub(super) wakeups: Vec<(String, RunId, Timestamp)>,
    /// Jobs that no worker has taken yet.
    pub(super) jobs: Vec<Job>,
    pub(super) withdrawn: HashSet<Token>,
    pub(super) history: Vec<Envelope>,
    pub(super) waits: Vec<Wait>,
    pub(super) registers: HashMap<String, Option<singleton::Register>>,
    pub(super) audit: Audit,
    /// The audit trail of people, by time and id.
    pub(super) deeds: BTreeMap<(i64, String), AuditEntry>,
    pub(super) pauses: BTreeMap<String, Pause>,
    pub(super) dead: Vec<DeadLetter>,
    pub(super) counts: BTreeMap<(String, Timestamp), (Counts, Buckets)>,
    /// How many slots were last asked for.
    pub(super) slots: HashMap<String, u32>,
    /// The names of the operations carried out, in order.
    pub(super) operations: Vec<&'static str>,
    pub(super) cut_offs: Vec<CutOff>,
    /// Set when an invocation was cut off, until the simulation has dropped it.
    pub(super) cut: bool,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) run: Run,
    pub(super) lease_until: Option<Timestamp>,
    pub(super) records: Vec<Checkpoint>,
}

impl World {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody waits for a job any more.
    pub(super) fn is_withdrawn(&self, job: &Token) -> bool {
        self.state().withdrawn.contains(job)
    }

    /// This world's ports, with a clock.
    pub fn ports(self: &Arc<Self>, clock: Arc<SimClock>, random: SimRandom) -> Ports {
        Ports {
            journal: self.clone(),
            gate: self.clone(),
            wakeups: self.clone(),
            bus: self.clone(),
            waits: self.clone(),
            jobs: self.clone(),
            blobs: self.clone(),
            pauses: self.clone(),
            clock,
            random: Arc::new(random),
            observer: None,
        }
    }

    /// Carries out one operation, unless the invocation is cut off here: before it, or after it with nobody to hear the
    /// answer.
    pub(super) async fn operate<T>(&self, name: &'static str, intent: impl FnOnce(&mut State) -> T) -> T {
        let answer = {
            let mut state = self.state();
            let number = state.operations.len();
            state.operations.push(name);
            let cut = state.cut_offs.iter().find(|cut| cut.operation == number).map(|cut| cut.when);
            let answer = (cut != Some(When::Before)).then(|| intent(&mut state));
            state.cut |= cut.is_some();
            answer.filter(|_| cut.is_none())
        };
        match answer {
            Some(answer) => answer,
            None => pending().await,
        }
    }
}

impl State {
    fn tally(&mut self, workflow: &str, tallies: impl IntoIterator<Item = Tally>) {
        for tally in tallies {
            let (counts, durations) = self.counts.entry((workflow.to_owned(), tally.hour)).or_default();
            counts.add(&tally.counts);
            if let Some(took) = tally.took {
                durations.add(Buckets::index(took), 1);
            }
        }
    }

    /// Lets `change` change a run; what that adds to the numbers is added.
    fn change<T>(&mut self, run: &RunId, change: impl FnOnce(&mut Entry, &mut Audit) -> T) -> Option<T> {
        let entry = self.runs.get_mut(run)?;
        let (before, records) = (entry.run.clone(), entry.records.clone());
        let answer = change(entry, &mut self.audit);
        let mut tallies = Tally::of_run(&before, &entry.run);
        for record in &entry.records {
            let known = records.iter().find(|known| known.step == record.step);
            if known != Some(record) {
                tallies.extend(Tally::of_record(known, record));
            }
        }
        self.tally(&before.workflow, tallies);
        Some(answer)
    }

    /// As [`change`](Self::change), unless the lease is overtaken.
    fn change_held<T>(
        &mut self,
        lease: &Lease,
        change: impl FnOnce(&mut Entry, &mut Audit) -> T,
    ) -> Option<T> {
        self.held(lease)?;
        self.change(&lease.run, change)
    }

    fn held(&mut self, lease: &Lease) -> Option<&mut Entry> {
        self.runs
            .get_mut(&lease.run)
            .filter(|entry| entry.run.epoch == lease.epoch && !entry.run.status.is_final())
    }

    fn lease(&mut self, run: &RunId, now: Timestamp, until: Timestamp) -> Begin {
        let Some(entry) = self.runs.get_mut(run) else { return Begin::Missing };
        if entry.run.status.is_final() {
            return Begin::Ended(Box::new(entry.run.clone()));
        }
        if let Some(free_at) = entry.lease_until.filter(|free_at| *free_at > now) {
            return Begin::Busy(free_at);
        }
        let suspended = matches!(entry.run.status, Status::Queued | Status::Waiting);
        if let Some(wake_at) = entry.run.wake_at.filter(|wake_at| suspended && *wake_at > now) {
            return Begin::Early(wake_at);
        }
        entry.run.epoch += 1;
        entry.run.status = Status::Running;
        entry.lease_until = Some(until);
        Begin::Leased(Box::new(entry.run.clone()))
    }
}

impl Entry {
    fn write(&mut self, record: &Checkpoint, audit: &mut Audit) -> Option<Checkpoint> {
        match self.records.iter_mut().find(|known| known.step == record.step) {
            Some(known) if !record.replaces(known) => return Some(known.clone()),
            Some(known) => *known = record.clone(),
            None => self.records.push(record.clone()),
        }
        audit.recorded(&self.run.id, record);
        None
    }

    fn free(&mut self) {
        self.lease_until = None;
    }
}

#[async_trait]
impl Journal for World {
    async fn begin(&self, run: Run, now: Timestamp, until: Timestamp) -> Result<Begin> {
        self.operate("begin", |state| {
            let id = run.id.clone();
            if !state.runs.contains_key(&id) {
                state.order.push(id.clone());
                state.runs.insert(id.clone(), Entry { run, lease_until: None, records: Vec::new() });
            }
            Ok(state.lease(&id, now, until))
        })
        .await
    }

    async fn resume(&self, run: &RunId, now: Timestamp, until: Timestamp) -> Result<Begin> {
        self.operate("resume", |state| Ok(state.lease(run, now, until))).await
    }

    async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<Written<()>> {
        self.operate("renew", |state| {
            Ok(state.held(lease).map_or(Written::Fenced, |entry| {
                entry.lease_until = Some(until);
                Written::Done(())
            }))
        })
        .await
    }

    async fn checkpoints(&self, run: &RunId) -> Result<Vec<Checkpoint>> {
        self.operate("checkpoints", |state| {
            Ok(state.runs.get(run).map(|entry| entry.records.clone()).unwrap_or_default())
        })
        .await
    }

    async fn checkpoint(
        &self,
        lease: &Lease,
        checkpoint: &Checkpoint,
    ) -> Result<Written<Option<Checkpoint>>> {
        self.operate("checkpoint", |state| {
            let written = state.change_held(lease, |entry, audit| entry.write(checkpoint, audit));
            Ok(written.map_or(Written::Fenced, Written::Done))
        })
        .await
    }

    async fn suspend(
        &self,
        lease: &Lease,
        suspension: Suspension,
        records: &[Checkpoint],
    ) -> Result<Suspended> {
        self.operate("suspend", |state| {
            let written = state.change_held(lease, |entry, audit| {
                if entry.run.signals != suspension.signals {
                    return Suspended::Signalled(entry.run.signals);
                }
                for record in records {
                    entry.write(record, audit);
                }
                entry.free();
                let run = &mut entry.run;
                (run.status, run.waiting_for) = (suspension.status, suspension.waiting_for);
                (run.wake_at, run.failures) = (suspension.wake_at, suspension.failures);
                run.started_at = run.started_at.or(suspension.started_at);
                Suspended::Done
            });
            Ok(written.unwrap_or(Suspended::Fenced))
        })
        .await
    }

    async fn settle(&self, token: &Token, answer: &Answer, now: Timestamp) -> Result<Settled> {
        self.operate("settle", |state| {
            let settled = state.change(&token.run, |entry, audit| {
                if entry.run.status.is_final() {
                    return Settled::Late;
                }
                let record = entry.records.iter().find(|record| record.step == token.step);
                match callback::settle(record, token, answer, now) {
                    Verdict::Late => Settled::Late,
                    Verdict::Nothing => Settled::Done(None),
                    Verdict::Record(record, wakes) => {
                        entry.write(&record, audit);
                        if wakes {
                            entry.run.signals += 1;
                            entry.run.wake_at = Some(now);
                        }
                        Settled::Done(wakes.then(|| Box::new(entry.run.clone())))
                    }
                }
            });
            Ok(settled.unwrap_or(Settled::Missing))
        })
        .await
    }

    async fn finish(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        started_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Written<()>> {
        self.operate("finish", |state| {
            let written = state.change_held(lease, |entry, _| {
                entry.free();
                let run = &mut entry.run;
                run.started_at = run.started_at.or(started_at);
                run.ended_at = Some(now);
                run.waiting_for.clear();
                run.wake_at = None;
                match outcome {
                    Outcome::Completed(output) => {
                        (run.status, run.output) = (Status::Completed, Some(output.clone()));
                    }
                    Outcome::Failed(error) => (run.status, run.error) = (Status::Failed, Some(error.clone())),
                }
            });
            Ok(written.map_or(Written::Fenced, Written::Done))
        })
        .await
    }

    async fn cancel(&self, run: &RunId, now: Timestamp) -> Result<Option<Run>> {
        self.operate("cancel", |state| {
            Ok(state.change(run, |entry, _| {
                if !entry.run.status.is_final() {
                    entry.free();
                    entry.run.epoch += 1;
                    entry.run.status = Status::Cancelled;
                    entry.run.ended_at = Some(now);
                    entry.run.waited_for = std::mem::take(&mut entry.run.waiting_for);
                    entry.run.wake_at = None;
                }
                entry.run.clone()
            }))
        })
        .await
    }

    async fn run(&self, run: &RunId) -> Result<Option<Run>> {
        self.operate("run", |state| Ok(state.runs.get(run).map(|entry| entry.run.clone()))).await
    }
}
