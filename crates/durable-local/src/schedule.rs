//! Cron schedules: each due time becomes an event, whose id is made of the time, so that several processes fire once.

use durable::{Envelope, Result, Runnable};
use jiff::Timestamp;
use rusqlite::OptionalExtension;

use crate::store::{Store, ms};

/// The schedule of one workflow.
#[derive(Debug)]
pub(crate) struct Schedule {
    workflow: String,
    cron: durable::Schedule,
}

impl Schedule {
    /// The workflow's schedule, if it has one.
    pub(crate) fn of(runnable: &Runnable) -> Result<Option<Self>> {
        let workflow = runnable.definition().name.clone();
        let Some(expression) = &runnable.definition().schedule else { return Ok(None) };
        let cron = durable::Schedule::parse(expression).map_err(|error| error.context(&workflow))?;
        Ok(Some(Self { workflow, cron }))
    }

    /// Fires the latest time that is due and has not fired. Times missed while no process ran are made up for by one run,
    /// not by one each: they would all do the same.
    pub(crate) async fn fire(&self, store: &Store, now: Timestamp) -> Result<()> {
        let Some(due) = self.cron.latest(now) else { return Ok(()) };
        let workflow = self.workflow.clone();
        let is_new = store
            .write(move |db| {
                let mut query = db.prepare_cached("select fired from schedules where workflow = ?")?;
                let fired: Option<i64> = query.query_row([&workflow], |row| row.get(0)).optional()?;
                if fired.is_none() {
                    // A workflow that was never seen before has missed nothing.
                    db.prepare_cached("insert into schedules values (?, ?)")?
                        .execute((&workflow, ms(due)))?;
                }
                Ok(fired.is_some_and(|fired| fired < ms(due)))
            })
            .await?;
        if !is_new {
            return Ok(());
        }
        let event = Envelope {
            id: format!("{}@{due}", self.workflow),
            name: format!("schedule/{}", self.workflow),
            data: serde_json::json!({}),
            sent_at: now,
        };
        store.accept_for(event, vec![self.workflow.clone()]).await?;
        // Only now: whoever dies before this line fires again, and the event's id is the same.
        let workflow = self.workflow.clone();
        store
            .write(move |db| {
                db.execute("update schedules set fired = ? where workflow = ?", (ms(due), workflow))
            })
            .await?;
        Ok(())
    }

    /// Whose schedule it is.
    pub(crate) fn workflow(&self) -> &str {
        &self.workflow
    }

    /// When it fires next.
    pub(crate) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.cron.next(now)
    }
}
