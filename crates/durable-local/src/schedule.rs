//! Cron schedules: each due time becomes an event, whose id is made of the time, so that several processes fire once.

use std::str::FromStr;

use croner::Cron;
use durable::{Envelope, Error, Result, Runnable};
use jiff::Timestamp;
use rusqlite::OptionalExtension;

use crate::store::{Store, ms, time};

/// The schedule of one workflow.
#[derive(Debug)]
pub(crate) struct Schedule {
    workflow: String,
    cron: Cron,
}

impl Schedule {
    /// The workflow's schedule, if it has one.
    pub(crate) fn of(runnable: &Runnable) -> Result<Option<Self>> {
        let workflow = runnable.definition().name.clone();
        let Some(expression) = &runnable.definition().schedule else { return Ok(None) };
        let cron = Cron::from_str(expression)
            .map_err(|error| Error::fatal(format!("schedule of {workflow}: {expression}: {error}")))?;
        Ok(Some(Self { workflow, cron }))
    }

    /// Fires the latest time that is due and has not fired. Times missed while no process ran are made up for by one run,
    /// not by one each: they would all do the same.
    pub(crate) async fn fire(&self, store: &Store, now: Timestamp) -> Result<()> {
        let Some(due) = self.latest(now) else { return Ok(()) };
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
        self.cron.find_next_occurrence(&to_chrono(now)?, false).ok().map(|next| time(next.timestamp_millis()))
    }

    fn latest(&self, now: Timestamp) -> Option<Timestamp> {
        self.cron
            .find_previous_occurrence(&to_chrono(now)?, true)
            .ok()
            .map(|due| time(due.timestamp_millis()))
    }
}

/// The cron crate reckons in chrono's times.
fn to_chrono(time: Timestamp) -> Option<chrono::DateTime<chrono::Utc>> {
    chrono::DateTime::from_timestamp_millis(ms(time))
}

#[cfg(test)]
mod tests {
    use durable::{Context, Workflow};

    use super::*;

    #[test]
    fn every_six_hours_in_utc() {
        async fn nothing(_: Context<serde_json::Value>, (): ()) -> Result<()> {
            Ok(())
        }
        let runnable = Workflow::new("sync", nothing).on_schedule("0 */6 * * *").with(());
        let schedule = Schedule::of(&runnable).unwrap().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(schedule.latest(at("2026-03-01T11:59:59Z")), Some(at("2026-03-01T06:00:00Z")));
        assert_eq!(schedule.latest(at("2026-03-01T12:00:00Z")), Some(at("2026-03-01T12:00:00Z")));
        assert_eq!(schedule.next(at("2026-03-01T12:00:00Z")), Some(at("2026-03-01T18:00:00Z")));
    }
}
