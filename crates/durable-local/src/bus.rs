//! Events in: recorded, and with them, in the same transaction, the runs they start.

use async_trait::async_trait;
use durable::{Bus, Clock, Envelope, Result, Run, RunId};
use rusqlite::{Connection, params};
use serde::Serialize;

use crate::{
    SystemClock, journal, messages,
    store::{Store, ms},
    waits,
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

    /// Accepts an event for these workflows, whatever events they listen to.
    pub(crate) async fn accept_for(&self, event: Envelope, starts: Vec<String>) -> Result<Accepted> {
        let accepted = self
            .write(move |db| {
                let duplicate = !record(db, &event, &starts)?;
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
        let events: Vec<_> =
            events.iter().map(|event| (event.clone(), self.listeners(&event.name).to_vec())).collect();
        self.write(move |db| {
            events.iter().try_for_each(|(event, starts)| record(db, event, starts).map(drop))
        })
        .await?;
        self.messages().notify_one();
        Ok(())
    }
}

/// Records an event and the runs it starts; answers whether it is new.
fn record(db: &Connection, event: &Envelope, starts: &[String]) -> rusqlite::Result<bool> {
    let mut insert = db.prepare_cached("insert into events values (?, ?, ?, ?) on conflict do nothing")?;
    let inserted =
        insert.execute(params![event.id, event.name, event.data.to_string(), ms(event.sent_at)])?;
    if inserted == 0 {
        return Ok(false);
    }
    let now = SystemClock.now();
    waits::arrive(db, event, now)?;
    for workflow in starts {
        let run = Run::queued(workflow, event.clone(), now);
        if journal::insert(db, &run)? {
            messages::insert(db, workflow, &run.id, now)?;
        }
    }
    Ok(true)
}
