//! Concurrency lines and throttle ledgers in SQLite: rows in, the engine's decision, changed rows out.

use async_trait::async_trait;
use durable::{
    Admission, Gate, Result, RunId, Slot, Window,
    line::{self, Member, Place},
    throttle::{self, Start},
};
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::store::{Store, ms, time};

#[async_trait]
impl Gate for Store {
    async fn acquire(&self, key: &str, limit: u32, run: &RunId) -> Result<Slot> {
        let (key, run) = (key.to_owned(), run.clone());
        self.write(move |db| on_line(db, &key, limit, |line| line::acquire(line, limit, &run))).await
    }

    async fn release(&self, key: &str, limit: u32, run: &RunId) -> Result<Vec<RunId>> {
        let (key, run) = (key.to_owned(), run.clone());
        self.write(move |db| on_line(db, &key, limit, |line| line::release(line, limit, &run))).await
    }

    async fn admit(&self, key: &str, windows: &[Window], id: &str, now: Timestamp) -> Result<Admission> {
        let (key, windows, id) = (key.to_owned(), windows.to_vec(), id.to_owned());
        self.write(move |db| on_ledger(db, &key, |ledger| throttle::admit(ledger, &windows, &id, now))).await
    }

    async fn withdraw(&self, key: &str, id: &str) -> Result<()> {
        let (key, id) = (key.to_owned(), id.to_owned());
        self.write(move |db| on_ledger(db, &key, |ledger| throttle::withdraw(ledger, &id))).await
    }
}

fn on_line<T>(
    db: &Connection,
    key: &str,
    slots: u32,
    decide: impl FnOnce(&mut Vec<Member>) -> T,
) -> rusqlite::Result<T> {
    let mut query = db.prepare_cached("select run_id, place from members where key = ? order by seq")?;
    let mut line = query.query_map([key], member)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let before = line.clone();
    let answer = decide(&mut line);

    for gone in before.iter().filter(|member| !line.iter().any(|kept| kept.run == member.run)) {
        db.prepare_cached("delete from members where key = ? and run_id = ?")?
            .execute(params![key, gone.run.as_str()])?;
    }
    let mut put = db.prepare_cached(
        "insert into members (key, run_id, seq, place, slots)
         values (?1, ?2, (select coalesce(max(seq), 0) + 1 from members where key = ?1), ?3, ?4)
         on conflict do update set place = excluded.place, slots = excluded.slots",
    )?;
    for changed in line.iter().filter(|member| !before.contains(member)) {
        let place = match changed.place {
            Place::Holding => "holding",
            Place::Handed => "handed",
            Place::Waiting => "waiting",
        };
        put.execute(params![key, changed.run.as_str(), place, slots])?;
    }
    Ok(answer)
}

fn on_ledger<T>(
    db: &Connection,
    key: &str,
    decide: impl FnOnce(&mut Vec<Start>) -> T,
) -> rusqlite::Result<T> {
    let mut ledger = starts(db, key)?;
    let before = ledger.clone();
    let answer = decide(&mut ledger);

    for gone in before.iter().filter(|start| !ledger.iter().any(|kept| kept.id == start.id)) {
        db.prepare_cached("delete from starts where key = ? and id = ?")?.execute(params![key, gone.id])?;
    }
    let mut put = db.prepare_cached(
        "insert into starts values (?, ?, ?, ?) on conflict do update set at = excluded.at, started = excluded.started",
    )?;
    for changed in ledger.iter().filter(|start| !before.contains(start)) {
        put.execute(params![key, changed.id, ms(changed.at), changed.started])?;
    }
    Ok(answer)
}

/// A row of a run's id and its place.
pub(crate) fn member(row: &Row<'_>) -> rusqlite::Result<Member> {
    let place = match row.get_ref(1)?.as_str()? {
        "holding" => Place::Holding,
        "handed" => Place::Handed,
        _ => Place::Waiting,
    };
    Ok(Member { run: RunId::from_text(row.get::<_, String>(0)?), place })
}

/// A key's ledger.
pub(crate) fn starts(db: &Connection, key: &str) -> rusqlite::Result<Vec<Start>> {
    let mut query = db.prepare_cached("select id, at, started from starts where key = ? order by at, id")?;
    let start = |row: &Row<'_>| Ok(Start { id: row.get(0)?, at: time(row.get(1)?), started: row.get(2)? });
    query.query_map([key], start)?.collect()
}
