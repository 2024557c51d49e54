//! Concurrency lines and throttle ledgers in SQLite: rows in, the engine's decision, changed rows out.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use durable::{
    Admission, Gate, Result, RunId, Slot, Window,
    line::{self, Member, Place},
    singleton::{self, Claim, Claimant, Register},
    throttle::{self, Start},
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::store::{Store, json, ms, parsed, time};

#[async_trait]
impl Gate for Store {
    async fn acquire(&self, key: &str, limit: u32, run: &RunId) -> Result<Slot> {
        let (key, run) = (key.to_owned(), run.clone());
        self.write(move |db| {
            Ok(match on_line(db, &key, limit, &run, |line| line::acquire(line, limit, &run))? {
                Slot::Held => Slot::Held,
                Slot::Waiting(_) => Slot::Waiting(position(db, &key, &run)?),
            })
        })
        .await
    }

    async fn release(&self, key: &str, limit: u32, run: &RunId) -> Result<Vec<RunId>> {
        let (key, run) = (key.to_owned(), run.clone());
        self.write(move |db| on_line(db, &key, limit, &run, |line| line::release(line, limit, &run))).await
    }

    async fn admit(&self, key: &str, windows: &[Window], id: &str, now: Timestamp) -> Result<Admission> {
        let (key, windows, id) = (key.to_owned(), windows.to_vec(), id.to_owned());
        self.write(move |db| on_ledger(db, &key, |ledger| throttle::admit(ledger, &windows, &id, now))).await
    }

    async fn withdraw(&self, key: &str, id: &str) -> Result<()> {
        let (key, id) = (key.to_owned(), id.to_owned());
        self.write(move |db| on_ledger(db, &key, |ledger| throttle::withdraw(ledger, &id))).await
    }

    async fn claim(&self, key: &str, claimant: &Claimant) -> Result<Claim> {
        let (key, claimant) = (key.to_owned(), claimant.clone());
        self.write(move |db| on_register(db, &key, |register| singleton::claim(register, &claimant))).await
    }

    async fn acknowledge(&self, key: &str, ended: &[RunId]) -> Result<()> {
        let (key, ended) = (key.to_owned(), ended.to_vec());
        self.write(move |db| on_register(db, &key, |register| singleton::acknowledge(register, &ended))).await
    }
}

/// Lets the engine decide over the part of a key's line that can matter to it: who has a slot, the first who wait for one,
/// and `run` itself. A line may be thousands long, and each of them comes and goes.
fn on_line<T>(
    db: &Connection,
    key: &str,
    slots: u32,
    run: &RunId,
    decide: impl FnOnce(&mut Vec<Member>) -> T,
) -> rusqlite::Result<T> {
    let mut query = db.prepare_cached(
        "select run_id, place, giver, seq from members where key = ?1 and place <> 'waiting'
         union
         select * from (select run_id, place, giver, seq from members
                        where key = ?1 and place = 'waiting' order by seq limit ?2)
         union
         select run_id, place, giver, seq from members where key = ?1 and run_id = ?3
         order by seq",
    )?;
    let rows = query.query_map(params![key, slots.max(1), run.as_str()], member)?;
    let mut line = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let before = line.clone();
    let answer = decide(&mut line);

    for gone in before.iter().filter(|member| !line.iter().any(|kept| kept.run == member.run)) {
        db.prepare_cached("delete from members where key = ? and run_id = ?")?
            .execute(params![key, gone.run.as_str()])?;
    }
    let mut put = db.prepare_cached(
        "insert into members (key, run_id, seq, place, giver, slots)
         values (?1, ?2, (select coalesce(max(seq), 0) + 1 from members where key = ?1), ?3, ?4, ?5)
         on conflict do update set place = excluded.place, giver = excluded.giver, slots = excluded.slots",
    )?;
    for changed in line.iter().filter(|member| !before.contains(member)) {
        let place = match changed.place {
            Place::Holding => "holding",
            Place::Handed => "handed",
            Place::Waiting => "waiting",
        };
        let giver = changed.giver.as_ref().map(RunId::as_str);
        put.execute(params![key, changed.run.as_str(), place, giver, slots])?;
    }
    Ok(answer)
}

fn on_register<T>(
    db: &Connection,
    key: &str,
    decide: impl FnOnce(&mut Option<Register>) -> T,
) -> rusqlite::Result<T> {
    let mut query = db.prepare_cached("select register from registers where key = ?")?;
    let mut register = query.query_row([key], |row| parsed(row.get_ref(0)?.as_str()?)).optional()?;
    let before = register.clone();
    let answer = decide(&mut register);
    if let Some(register) = register.filter(|register| before.as_ref() != Some(register)) {
        db.prepare_cached("insert or replace into registers values (?, ?)")?
            .execute(params![key, json(&register)?])?;
    }
    Ok(answer)
}

/// The place in line of a run that waits, from 1.
fn position(db: &Connection, key: &str, run: &RunId) -> rusqlite::Result<u32> {
    db.prepare_cached(
        "select count(*) from members where key = ?1 and place = 'waiting'
         and seq <= (select seq from members where key = ?1 and run_id = ?2)",
    )?
    .query_row(params![key, run.as_str()], |row| row.get(0))
}

fn on_ledger<T>(
    db: &Connection,
    key: &str,
    decide: impl FnOnce(&mut Vec<Start>) -> T,
) -> rusqlite::Result<T> {
    let mut ledger = starts(db, key)?;
    let before = ledger.clone();
    let answer = decide(&mut ledger);

    let kept: HashSet<_> = ledger.iter().map(|start| start.id.as_str()).collect();
    for gone in before.iter().filter(|start| !kept.contains(start.id.as_str())) {
        db.prepare_cached("delete from starts where key = ? and id = ?")?.execute(params![key, gone.id])?;
    }
    let mut put = db.prepare_cached(
        "insert into starts values (?, ?, ?, ?) on conflict do update set at = excluded.at, started = excluded.started",
    )?;
    let known: HashMap<_, _> = before.iter().map(|start| (start.id.as_str(), start)).collect();
    for changed in ledger.iter().filter(|start| known.get(start.id.as_str()) != Some(start)) {
        put.execute(params![key, changed.id, ms(changed.at), changed.started])?;
    }
    Ok(answer)
}

/// A row of a run's id, its place, and who gave it its slot.
pub(crate) fn member(row: &Row<'_>) -> rusqlite::Result<Member> {
    let place = match row.get_ref(1)?.as_str()? {
        "holding" => Place::Holding,
        "handed" => Place::Handed,
        _ => Place::Waiting,
    };
    let giver = row.get::<_, Option<String>>(2)?.map(RunId::from_text);
    Ok(Member { run: RunId::from_text(row.get::<_, String>(0)?), place, giver })
}

/// A key's ledger.
pub(crate) fn starts(db: &Connection, key: &str) -> rusqlite::Result<Vec<Start>> {
    let mut query = db.prepare_cached("select id, at, started from starts where key = ? order by at, id")?;
    let start = |row: &Row<'_>| Ok(Start { id: row.get(0)?, at: time(row.get(1)?), started: row.get(2)? });
    query.query_map([key], start)?.collect()
}
