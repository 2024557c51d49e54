//! Flow control, wake-ups, the bus, waits, jobs and large values, in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;

use super::memory::World;
use crate::{
    Admission, Blobs, Bus, Envelope, Error, Gate, Jobs, Result, RunId, Slot, Wait, Waits, Wakeups, Window,
    callback::Token,
    job::Job,
    line,
    singleton::{self, Claim, Claimant},
    throttle,
};

#[async_trait]
impl Gate for World {
    async fn acquire(&self, key: &str, limit: u32, run: &RunId) -> Result<Slot> {
        self.operate("acquire", |state| {
            let line = state.lines.entry(key.to_owned()).or_default();
            let slot = line::acquire(line, limit, run);
            state.slots.insert(key.to_owned(), limit);
            state.audit.line(key, line, limit);
            Ok(slot)
        })
        .await
    }

    async fn release(&self, key: &str, limit: u32, run: &RunId) -> Result<Vec<RunId>> {
        self.operate("release", |state| {
            let line = state.lines.entry(key.to_owned()).or_default();
            let woken = line::release(line, limit, run);
            state.audit.line(key, line, limit);
            Ok(woken)
        })
        .await
    }

    async fn admit(&self, key: &str, windows: &[Window], id: &str, now: Timestamp) -> Result<Admission> {
        self.operate("admit", |state| {
            let ledger = state.ledgers.entry(key.to_owned()).or_default();
            let admission = throttle::admit(ledger, windows, id, now);
            state.audit.started(key, windows, ledger);
            Ok(admission)
        })
        .await
    }

    async fn withdraw(&self, key: &str, id: &str) -> Result<()> {
        self.operate("withdraw", |state| {
            if let Some(ledger) = state.ledgers.get_mut(key) {
                throttle::withdraw(ledger, id);
            }
            Ok(())
        })
        .await
    }

    async fn claim(&self, key: &str, claimant: &Claimant) -> Result<Claim> {
        self.operate("claim", |state| {
            Ok(singleton::claim(state.registers.entry(key.to_owned()).or_default(), claimant))
        })
        .await
    }

    async fn acknowledge(&self, key: &str, ended: &[RunId]) -> Result<()> {
        self.operate("acknowledge", |state| {
            singleton::acknowledge(state.registers.entry(key.to_owned()).or_default(), ended);
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Wakeups for World {
    async fn wake(&self, workflow: &str, run: &RunId, at: Timestamp) -> Result<()> {
        self.operate("wake", |state| {
            state.wakeups.push((workflow.to_owned(), run.clone(), at));
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Bus for World {
    async fn publish(&self, events: &[Envelope]) -> Result<()> {
        // As a bus that cannot tell: a repeated id is published again.
        self.operate("publish", |state| {
            state.published.extend_from_slice(events);
            state.history.extend_from_slice(events);
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Jobs for World {
    async fn post(&self, job: &Job) -> Result<()> {
        self.operate("post", |state| {
            state.jobs.push(job.clone());
            Ok(())
        })
        .await
    }

    async fn withdraw(&self, job: &Token) -> Result<()> {
        self.operate("withdraw_job", |state| {
            state.withdrawn.insert(job.clone());
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Waits for World {
    async fn wait_for(&self, wait: &Wait) -> Result<Option<Envelope>> {
        self.operate("wait_for", |state| {
            state.waits.retain(|known| !is_of(known, wait));
            state.waits.push(wait.clone());
            let accepted = state.history.iter().filter(|event| wait.accepts(event));
            Ok(accepted.min_by_key(|event| (event.sent_at, event.id.clone())).cloned())
        })
        .await
    }

    async fn no_longer(&self, wait: &Wait) -> Result<()> {
        self.operate("no_longer", |state| {
            state.waits.retain(|known| !is_of(known, wait));
            Ok(())
        })
        .await
    }

    async fn waiting_for(&self, event: &Envelope) -> Result<Vec<Wait>> {
        self.operate("waiting_for", |state| {
            let shapes: BTreeSet<_> = state.waits.iter().map(Wait::shape).collect();
            let keys: Vec<_> = shapes.iter().filter_map(|shape| shape.key_of(event)).collect();
            Ok(state.waits.iter().filter(|wait| keys.contains(&wait.key())).cloned().collect())
        })
        .await
    }
}

/// Whether two waits are of one run and step, for one event.
fn is_of(known: &Wait, wait: &Wait) -> bool {
    (&known.run, &known.step, &known.event) == (&wait.run, &wait.step, &wait.event)
}

#[async_trait]
impl Blobs for World {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.operate("put", |state| {
            state.blobs.insert(key.to_owned(), bytes);
            Ok(())
        })
        .await
    }

    async fn get(&self, key: &str) -> Result<Vec<u8>> {
        self.operate("get", |state| {
            state.blobs.get(key).cloned().ok_or_else(|| Error::fatal(format!("there is no blob {key}")))
        })
        .await
    }
}
