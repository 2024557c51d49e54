//! Events in: recorded, and with them, in the same transaction, the runs they start.

use async_trait::async_trait;
use durable::{Bus, Clock, Envelope, Result, Run, RunId};
use rusqlite::{Connection, params};
use serde::Serialize;

use crate::{
    SystemClock, journal, messages,
    store::{Store, ms},
};

/// An event that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// Its id.
    pub event_id: String,
    /// The runs it starts, or started when it was accepted before.
    pub runs: Vec<RunId>,
    /// The workflows they are runs of.
    pub starts: Vec<String>,
    /// Whether an event with this id was accepted before.
    pub duplicate: bool,
}

impl Store {
    /// Accepts an event. A repeated id changes nothing.
    pub async fn accept(&self, event: Envelope) -> Result<Accepted> {
        let starts = self.listeners(&event.name).to_vec();
        self.accept_for(event, starts).await
    }

    /// The runs of these workflows that an event starts now.
    fn runs_started(&self, event: &Envelope, starts: &[String]) -> Vec<Run> {
        let now = SystemClock.now();
        let run = |workflow: &String| match self.definition(workflow) {
            Some(definition) => definition.queued(event.clone(), now),
            None => Run::queued(workflow, event.clone(), now),
        };
        starts.iter().map(run).collect()
    }

    /// Accepts an event for these workflows, whatever events they listen to.
    pub(crate) async fn accept_for(&self, event: Envelope, starts: Vec<String>) -> Result<Accepted> {
        let runs = self.runs_started(&event, &starts);
        let accepted = self
            .write(move |db| {
                let duplicate = !record(db, &event, &runs)?;
                let runs = starts.iter().map(|workflow| RunId::of(workflow, &event.id)).collect();
                Ok(Accepted { event_id: event.id, runs, starts, duplicate })
            })
            .await?;
        self.messages().notify_one();
        Ok(accepted)
    }
}

#[async_trait]
impl Bus for Store {
    async fn publish(&self, events: &[Envelope]) -> Result<()> {
        let with_runs = |event: &Envelope| {
            let runs = self.runs_started(event, self.listeners(&event.name));
            (event.clone(), runs)
        };
        let events: Vec<_> = events.iter().map(with_runs).collect();
        self.write(move |db| events.iter().try_for_each(|(event, runs)| record(db, event, runs).map(drop)))
            .await?;
        self.messages().notify_one();
        Ok(())
    }
}

/// Records an event and the runs it starts; answers whether it is new.
fn record(db: &Connection, event: &Envelope, runs: &[Run]) -> rusqlite::Result<bool> {
    if !keep(db, event)? {
        return Ok(false);
    }
    for run in runs {
        if journal::insert(db, run)? {
            messages::insert(db, &run.workflow, &run.id, run.created_at)?;
        }
    }
    Ok(true)
}

/// Keeps an event; answers whether it is new.
pub(crate) fn keep(db: &Connection, event: &Envelope) -> rusqlite::Result<bool> {
    let mut insert = db.prepare_cached("insert into events values (?, ?, ?, ?) on conflict do nothing")?;
    let row = params![event.id, event.name, event.data.to_string(), ms(event.sent_at)];
    Ok(insert.execute(row)? == 1)
}
