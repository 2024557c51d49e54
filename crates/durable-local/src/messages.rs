//! Wake-ups: a queue of runs to look at, with a time each.

use std::time::Duration;

use async_trait::async_trait;
use durable::{Delivery, Result, RunId, Wakeups, after, minutes};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::store::{Store, ms, time};

/// A message whose worker is silent for this long is delivered again.
pub(crate) const VISIBILITY: Duration = minutes(1);

/// A message that was received.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) id: i64,
    pub(crate) workflow: String,
    pub(crate) run: RunId,
    /// When it was received. There is one clock, so it was due by then.
    pub(crate) received_at: Timestamp,
    /// How often it was received, this time included.
    pub(crate) receives: u32,
}

impl Message {
    pub(crate) fn delivery(&self) -> Delivery {
        Delivery::Resume { run: self.run.clone(), due: self.received_at }
    }
}

#[async_trait]
impl Wakeups for Store {
    async fn wake(&self, workflow: &str, run: &RunId, at: Timestamp) -> Result<()> {
        let (workflow, run) = (workflow.to_owned(), run.clone());
        self.write(move |db| insert(db, &workflow, &run, at)).await?;
        self.messages().notify_one();
        Ok(())
    }
}

/// Adds a message.
pub(crate) fn insert(db: &Connection, workflow: &str, run: &RunId, at: Timestamp) -> rusqlite::Result<()> {
    let mut insert =
        db.prepare_cached("insert into messages (workflow, run_id, visible_at) values (?, ?, ?)")?;
    insert.execute(params![workflow, run.as_str(), ms(at)])?;
    Ok(())
}

impl Store {
    /// Receives up to `limit` messages of these workflows that are due. Answers as well when the next one is.
    pub(crate) async fn receive(
        &self,
        workflows: &str,
        limit: usize,
        now: Timestamp,
    ) -> Result<(Vec<Message>, Option<Timestamp>)> {
        // Looking costs no write: most of the time nothing is due.
        let next = next_due(&self.reader(), workflows).map_err(crate::writer::storage)?;
        if limit == 0 || next.is_none_or(|next| next > now) {
            return Ok((Vec::new(), next));
        }
        let (workflows, owner) = (workflows.to_owned(), self.owner());
        self.write(move |db| {
            let mut claim = db.prepare_cached(
                "update messages set visible_at = ?1, owner = ?2, receives = receives + 1 where id in (
                     select id from messages where visible_at <= ?3 and workflow in (select value from json_each(?4))
                     order by visible_at, id limit ?5)
                 returning id, workflow, run_id, receives",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = claim.query_map(params![ms(after(now, VISIBILITY)), owner, ms(now), workflows, limit], |row| {
                let run = RunId::from_text(row.get::<_, String>(2)?);
                Ok(Message { id: row.get(0)?, workflow: row.get(1)?, run, received_at: now, receives: row.get(3)? })
            })?;
            let messages = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((messages, next_due(db, &workflows)?))
        })
        .await
    }

    /// Deletes a message whose work is done.
    pub(crate) async fn delete(&self, message: i64) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("delete from messages where id = ?")?.execute([message]).map(drop)
        })
        .await
    }

    /// Delivers a message again at this time.
    pub(crate) async fn return_at(&self, message: i64, at: Timestamp) -> Result<()> {
        self.write(move |db| {
            let mut update =
                db.prepare_cached("update messages set visible_at = ?, owner = null where id = ?")?;
            update.execute(params![ms(at), message]).map(drop)
        })
        .await
    }

    /// Delivers a message again at this time, though nothing has failed.
    pub(crate) async fn defer(&self, message: i64, at: Timestamp) -> Result<()> {
        self.write(move |db| {
            let mut update = db.prepare_cached(
                "update messages set visible_at = ?, owner = null, receives = receives - 1 where id = ?",
            )?;
            update.execute(params![ms(at), message]).map(drop)
        })
        .await
    }

    /// Keeps messages with their worker for longer.
    pub(crate) async fn keep(&self, messages: Vec<i64>, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            let mut keep = db.prepare_cached("update messages set visible_at = ? where id = ?")?;
            messages.iter().try_for_each(|id| keep.execute(params![ms(after(now, VISIBILITY)), id]).map(drop))
        })
        .await
    }

    /// Gives a message up: it goes to the dead letters, with the reason.
    pub(crate) async fn bury(&self, message: Message, reason: String, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("delete from messages where id = ?")?.execute([message.id])?;
            let mut insert = db.prepare_cached(
                "insert into dead_letters (workflow, run_id, reason, at) values (?, ?, ?, ?)",
            )?;
            insert.execute(params![message.workflow, message.run.as_str(), reason, ms(now)]).map(drop)
        })
        .await
    }
}

fn next_due(db: &Connection, workflows: &str) -> rusqlite::Result<Option<Timestamp>> {
    let mut query = db.prepare_cached(
        "select visible_at from messages where workflow in (select value from json_each(?)) order by visible_at limit 1",
    )?;
    Ok(query.query_row([workflows], |row| row.get::<_, i64>(0)).optional()?.map(time))
}
