//! Who waits for which event, in SQLite: an event and what it does to those who wait are one transaction.

use async_trait::async_trait;
use durable::{
    Envelope, Payload, Result, Shape, Wait, Waits,
    callback::{Answer, Settled, Token},
};
use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::{
    journal, messages,
    store::{Store, json, ms, parsed, time},
};

#[async_trait]
impl Waits for Store {
    async fn wait_for(&self, wait: &Wait) -> Result<Option<Envelope>> {
        let wait = wait.clone();
        self.write(move |db| {
            db.prepare_cached(
                "insert into waits (run_id, step, event, shape, key, wait) values (?, ?, ?, ?, ?, ?)
                 on conflict do update set shape = excluded.shape, key = excluded.key, wait = excluded.wait",
            )?
            .execute(params![
                wait.run.as_str(),
                step_of(&wait),
                wait.event,
                wait.shape().text(),
                wait.key(),
                json(&wait)?
            ])?;
            first_accepted(db, &wait)
        })
        .await
    }

    async fn no_longer(&self, wait: &Wait) -> Result<()> {
        let wait = wait.clone();
        self.write(move |db| remove(db, &wait)).await
    }

    async fn waiting_for(&self, event: &Envelope) -> Result<Vec<Wait>> {
        let event = event.clone();
        self.read(move |db| waiting_for(db, &event)).await
    }
}

/// A new event has been recorded: whoever waits for it goes on, or ends.
pub(crate) fn arrive(db: &Connection, event: &Envelope, now: Timestamp) -> rusqlite::Result<()> {
    for wait in waiting_for(db, event)?.into_iter().filter(|wait| wait.accepts(event)) {
        let woken = match &wait.step {
            None => journal::cancel(db, &wait.run, now)?,
            Some(step) => {
                let token = Token { run: wait.run.clone(), step: step.clone(), attempt: 1 };
                // An event is never too large for a record.
                let answer = Answer::Received(Payload::Json(json(event)?));
                match journal::settle(db, &token, &answer, now)? {
                    Settled::Done(run) => run.map(|run| *run),
                    Settled::Late | Settled::Missing => None,
                }
            }
        };
        remove(db, &wait)?;
        if let Some(run) = woken {
            messages::insert(db, &run.workflow, &run.id, now)?;
        }
    }
    Ok(())
}

fn first_accepted(db: &Connection, wait: &Wait) -> rusqlite::Result<Option<Envelope>> {
    let mut query = db.prepare_cached(
        "select id, data, sent_at from events where name = ? and sent_at >= ? order by sent_at, id",
    )?;
    let mut rows = query.query(params![wait.event, ms(wait.since)])?;
    while let Some(row) = rows.next()? {
        let event = Envelope {
            id: row.get(0)?,
            name: wait.event.clone(),
            data: parsed(row.get_ref(1)?.as_str()?)?,
            sent_at: time(row.get(2)?),
        };
        if wait.accepts(&event) {
            return Ok(Some(event));
        }
    }
    Ok(None)
}

fn waiting_for(db: &Connection, event: &Envelope) -> rusqlite::Result<Vec<Wait>> {
    let mut shapes = db.prepare_cached("select distinct shape from waits where event = ?")?;
    let shapes = shapes.query_map([&event.name], |row| Ok(Shape::from_text(row.get_ref(0)?.as_str()?)))?;
    let mut found = Vec::new();
    for shape in shapes {
        let Some(key) = shape?.key_of(event) else { continue };
        let mut waits = db.prepare_cached("select wait from waits where key = ?")?;
        let waits = waits.query_map([key], |row| parsed(row.get_ref(0)?.as_str()?))?;
        found.extend(waits.collect::<rusqlite::Result<Vec<Wait>>>()?);
    }
    Ok(found)
}

fn remove(db: &Connection, wait: &Wait) -> rusqlite::Result<()> {
    db.prepare_cached("delete from waits where run_id = ? and step = ? and event = ?")?.execute(params![
        wait.run.as_str(),
        step_of(wait),
        wait.event
    ])?;
    Ok(())
}

fn step_of(wait: &Wait) -> String {
    wait.step.as_ref().map(ToString::to_string).unwrap_or_default()
}
