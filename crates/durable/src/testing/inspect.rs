//! What people see and steer, in memory.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::memory::{Entry, World};
use crate::{
    AuditEntry, AuditFilter, Buckets, Checkpoint, Cursor, DeadLetter, DeadLetters, Definition, Desk,
    Envelope, EventFilter, Health, History, Keys, LedgerSummary, Line, LineSummary, OldestRun, Page,
    PageRequest, Pause, Pauses, Ports, QueueHealth, Redriven, Result, Run, RunFilter, Status, Vitals,
    WaitingFor, WorkflowStatistics, line::Place, rerun, throttle::Start,
};

/// At most so many runs of an event, and members of a line.
const RUNS_OF_EVENT: usize = 100;
const MEMBERS: usize = 1_000;

impl World {
    /// This world's desk: what people see and steer of it.
    pub fn desk(self: &Arc<Self>, ports: Ports, definitions: Arc<[Definition]>) -> Desk {
        Desk {
            ports,
            history: self.clone(),
            keys: self.clone(),
            dead_letters: self.clone(),
            vitals: self.clone(),
            definitions,
        }
    }
}

/// How a list is ordered: by time and id, backwards, or by key, forwards.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    NewestFirst,
    ByKey,
}

/// A part of a list whose entries are in their order.
fn page<T: Clone>(
    all: &[T],
    request: &PageRequest,
    order: Order,
    cursor: impl Fn(&T) -> Cursor,
) -> Result<Page<T>> {
    let after = request.after.as_ref().map(Cursor::parts).transpose()?;
    let follows = |entry: &&T| {
        let Ok(place) = cursor(entry).parts() else { return false };
        after.as_ref().is_none_or(|after| if order == Order::ByKey { place > *after } else { place < *after })
    };
    let rest = all.iter().filter(follows).take(request.size() + 1).cloned().collect();
    Ok(Page::of(rest, request.size(), cursor))
}

fn by_key(key: &str) -> Cursor {
    Cursor::of(Timestamp::UNIX_EPOCH, key)
}

fn count<T>(all: impl Iterator<Item = T>) -> u32 {
    u32::try_from(all.count()).unwrap_or(u32::MAX)
}

#[async_trait]
impl History for World {
    async fn runs(&self, filter: &RunFilter, request: &PageRequest) -> Result<Page<Run>> {
        let state = self.state();
        let mut found: Vec<_> =
            state.runs.values().map(|entry| &entry.run).filter(|run| filter.matches(run)).cloned().collect();
        found.sort_by(|a, b| {
            let key = |run: &Run| (run.created_at.as_millisecond(), run.id.clone());
            key(b).cmp(&key(a))
        });
        page(&found, request, Order::NewestFirst, |run| Cursor::of(run.created_at, run.id.as_str()))
    }

    async fn runs_of_events(&self, event_ids: &[String]) -> Result<Vec<Vec<Run>>> {
        let state = self.state();
        let started = |id: &String| {
            let mut runs: Vec<_> = state
                .runs
                .values()
                .map(|entry| &entry.run)
                .filter(|run| run.event.id == *id)
                .cloned()
                .collect();
            runs.sort_by_key(|run| (run.created_at.as_millisecond(), run.id.clone()));
            runs.truncate(RUNS_OF_EVENT);
            runs
        };
        Ok(event_ids.iter().map(started).collect())
    }

    async fn create(&self, run: &Run, records: &[Checkpoint]) -> Result<bool> {
        self.operate("create", |state| {
            if state.runs.contains_key(&run.id) {
                return Ok(false);
            }
            state.order.push(run.id.clone());
            let entry = Entry { run: run.clone(), lease_until: None, records: records.to_vec() };
            state.runs.insert(run.id.clone(), entry);
            Ok(true)
        })
        .await
    }

    async fn record(&self, events: &[Envelope]) -> Result<()> {
        self.operate("record", |state| {
            for event in events {
                if state.history.iter().all(|known| known.id != event.id) {
                    state.history.push(event.clone());
                }
            }
            Ok(())
        })
        .await
    }

    async fn events(&self, filter: &EventFilter, request: &PageRequest) -> Result<Page<Envelope>> {
        let state = self.state();
        let mut found: Vec<&Envelope> = Vec::new();
        // A bus that cannot tell publishes a repeated id again: the first stays.
        for event in state.history.iter().filter(|event| filter.matches(event)) {
            if found.iter().all(|known| known.id != event.id) {
                found.push(event);
            }
        }
        let mut found: Vec<_> = found.into_iter().cloned().collect();
        found.sort_by(|a, b| {
            let key = |event: &Envelope| (event.sent_at.as_millisecond(), event.id.clone());
            key(b).cmp(&key(a))
        });
        page(&found, request, Order::NewestFirst, |event| Cursor::of(event.sent_at, &event.id))
    }

    async fn event(&self, id: &str) -> Result<Option<Envelope>> {
        Ok(self.state().history.iter().find(|event| event.id == id).cloned())
    }

    async fn note(&self, entry: &AuditEntry) -> Result<()> {
        self.operate("note", |state| {
            state.deeds.insert((entry.at.as_millisecond(), entry.id.clone()), entry.clone());
            Ok(())
        })
        .await
    }

    async fn audit(&self, filter: &AuditFilter, request: &PageRequest) -> Result<Page<AuditEntry>> {
        let state = self.state();
        let found: Vec<_> =
            state.deeds.values().rev().filter(|entry| filter.matches(entry)).cloned().collect();
        page(&found, request, Order::NewestFirst, |entry| Cursor::of(entry.at, &entry.id))
    }

    async fn statistics(
        &self,
        workflows: &[String],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<WorkflowStatistics>> {
        let state = self.state();
        let of = |workflow: &String| {
            let begin = crate::hour_of(from);
            let hours = state
                .counts
                .iter()
                .filter(|((name, hour), _)| name == workflow && *hour >= begin && *hour < to);
            let mut durations = Buckets::default();
            let known = hours.map(|((_, hour), (counts, took))| {
                durations.merge(took);
                (*hour, *counts)
            });
            let known = known.collect();
            WorkflowStatistics::of(workflow, &known, &durations, from, to)
        };
        Ok(workflows.iter().map(of).collect())
    }
}

#[async_trait]
impl Keys for World {
    async fn lines(&self, prefix: &str, request: &PageRequest) -> Result<Page<LineSummary>> {
        let state = self.state();
        let lines = state.lines.iter().filter(|(key, line)| key.starts_with(prefix) && !line.is_empty());
        let mut lines: Vec<_> = lines
            .map(|(key, line)| LineSummary {
                key: key.clone(),
                slots: state.slots.get(key).copied().unwrap_or_default(),
                held: count(line.iter().filter(|member| member.place != Place::Waiting)),
                waiting: count(line.iter().filter(|member| member.place == Place::Waiting)),
            })
            .collect();
        lines.sort_by(|a, b| a.key.cmp(&b.key));
        page(&lines, request, Order::ByKey, |line| by_key(&line.key))
    }

    async fn line(&self, key: &str) -> Result<Line> {
        let state = self.state();
        let members = state.lines.get(key).cloned().unwrap_or_default();
        let slots = if members.is_empty() { 0 } else { state.slots.get(key).copied().unwrap_or_default() };
        Ok(Line { slots, members: members.into_iter().take(MEMBERS).collect() })
    }

    async fn ledgers(&self, prefix: &str, request: &PageRequest) -> Result<Page<LedgerSummary>> {
        let state = self.state();
        let ledgers =
            state.ledgers.iter().filter(|(key, starts)| key.starts_with(prefix) && !starts.is_empty());
        let mut ledgers: Vec<_> = ledgers.map(|(key, starts)| LedgerSummary::of(key, starts)).collect();
        ledgers.sort_by(|a, b| a.key.cmp(&b.key));
        page(&ledgers, request, Order::ByKey, |ledger| by_key(&ledger.key))
    }

    async fn ledger(&self, key: &str) -> Result<Vec<Start>> {
        Ok(self.state().ledgers.get(key).cloned().unwrap_or_default())
    }
}

#[async_trait]
impl Pauses for World {
    async fn is_paused(&self, workflow: &str, _fresh: bool) -> Result<bool> {
        Ok(self.state().pauses.contains_key(workflow))
    }

    async fn pause(&self, pause: &Pause) -> Result<bool> {
        self.operate("pause", |state| {
            let is_new = !state.pauses.contains_key(&pause.workflow);
            state.pauses.entry(pause.workflow.clone()).or_insert_with(|| pause.clone());
            Ok(is_new)
        })
        .await
    }

    async fn unpause(&self, workflow: &str, now: Timestamp) -> Result<bool> {
        self.operate("unpause", |state| {
            if state.pauses.remove(workflow).is_none() {
                return Ok(false);
            }
            let waits = |run: &Run| run.waiting_for.contains(&WaitingFor::Paused) && !run.status.is_final();
            let runs = state.order.iter().filter_map(|id| state.runs.get(id)).map(|entry| &entry.run);
            let woken: Vec<_> = runs
                .filter(|run| run.workflow == workflow && waits(run))
                .map(|run| (workflow.to_owned(), run.id.clone(), now))
                .collect();
            state.wakeups.extend(woken);
            Ok(true)
        })
        .await
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        Ok(self.state().pauses.values().cloned().collect())
    }
}

#[async_trait]
impl DeadLetters for World {
    async fn dead_letters(&self, workflow: Option<&str>, request: &PageRequest) -> Result<Page<DeadLetter>> {
        let state = self.state();
        let found = state.dead.iter().filter(|letter| workflow.is_none_or(|name| letter.workflow == name));
        let mut found: Vec<_> = found.cloned().collect();
        found.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        page(&found, request, Order::NewestFirst, |letter| {
            Cursor::of(letter.at.unwrap_or_default(), &letter.id)
        })
    }

    async fn redrive(&self, id: &str, now: Timestamp) -> Result<Option<Redriven>> {
        self.operate("redrive", |state| {
            let Some(place) = state.dead.iter().position(|letter| letter.id == id) else { return Ok(None) };
            let letter = state.dead.remove(place);
            let Some(entry) = letter.run.as_ref().and_then(|run| state.runs.get(run)) else {
                return Ok(Some(Redriven::Sent));
            };
            if !entry.run.status.is_final() {
                state.wakeups.push((letter.workflow, entry.run.id.clone(), now));
                return Ok(Some(Redriven::Sent));
            }
            let again = rerun::run_again(&entry.run, id, now);
            let (run, workflow) = (again.id.clone(), again.workflow.clone());
            let records = rerun::records_kept(&entry.records);
            if !state.runs.contains_key(&run) {
                state.order.push(run.clone());
                state.runs.insert(run.clone(), Entry { run: again, lease_until: None, records });
            }
            state.wakeups.push((workflow, run.clone(), now));
            Ok(Some(Redriven::Rerun { run }))
        })
        .await
    }

    async fn redrive_all(&self, workflow: &str, now: Timestamp) -> Result<u64> {
        let letters = self.state().dead.clone();
        let mut redriven = 0;
        for letter in letters.iter().filter(|letter| letter.workflow == workflow) {
            redriven += u64::from(self.redrive(&letter.id, now).await?.is_some());
        }
        Ok(redriven)
    }

    async fn discard(&self, id: &str) -> Result<bool> {
        self.operate("discard", |state| {
            let before = state.dead.len();
            state.dead.retain(|letter| letter.id != id);
            Ok(state.dead.len() < before)
        })
        .await
    }
}

#[async_trait]
impl Vitals for World {
    async fn health(&self, now: Timestamp) -> Result<Health> {
        let state = self.state();
        let runs = || state.runs.values().map(|entry| &entry.run);
        let queued = runs().filter(|run| run.status == Status::Queued);
        let oldest = queued.min_by_key(|run| (run.created_at.as_millisecond(), run.id.clone()));
        let mut names: Vec<_> = runs().map(|run| run.workflow.clone()).collect();
        names.sort();
        names.dedup();
        let queue = |workflow: String| {
            let of = |run: &&Run| run.workflow == workflow;
            let is_ready = |run: &Run| run.wake_at.is_none_or(|wake_at| wake_at <= now);
            let idle = |run: &&Run| matches!(run.status, Status::Queued | Status::Waiting);
            QueueHealth {
                ready: count(runs().filter(of).filter(idle).filter(|run| is_ready(run))).into(),
                in_flight: count(runs().filter(of).filter(|run| run.status == Status::Running)).into(),
                delayed: count(runs().filter(of).filter(idle).filter(|run| !is_ready(run))).into(),
                dead: count(state.dead.iter().filter(|letter| letter.workflow == workflow)).into(),
                workflow,
            }
        };
        let overdue =
            |run: &&Run| run.wake_at.is_some_and(|wake_at| crate::after(wake_at, crate::minutes(2)) <= now);
        Ok(Health {
            overdue: count(runs().filter(|run| run.status != Status::Running).filter(overdue)).into(),
            oldest_queued: oldest.map(OldestRun::of),
            queues: names.into_iter().map(queue).collect(),
            swept_at: None,
            worker: None,
        })
    }
}
