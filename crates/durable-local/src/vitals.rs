//! Whether all is well.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use durable::{Health, OldestRun, QueueHealth, Result, Vitals, minutes};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::store::{Store, ms, parsed, time};

/// Overdue is what should have been received so long ago.
const GRACE: Duration = minutes(2);

/// How far what is overdue is counted.
const COUNTED: i64 = 1_000;

#[async_trait]
impl Vitals for Store {
    async fn health(&self, now: Timestamp) -> Result<Health> {
        let worker = Some(self.has_worker()?);
        let names: Vec<_> = self.workflows().map(str::to_owned).collect();
        self.look(move |db| {
            Ok(Health {
                queues: queues(db, names, now)?,
                oldest_queued: db
                    .prepare_cached(OLDEST)?
                    .query_row([], |row| parsed(row.get_ref(0)?.as_str()?))
                    .optional()?
                    .map(|run| OldestRun::of(&run)),
                overdue: db
                    .prepare_cached(OVERDUE)?
                    .query_row(params![ms(now) - ms_of(GRACE), COUNTED], |row| row.get(0))?,
                swept_at: db
                    .prepare_cached("select at from upkeep where name = 'sweep'")?
                    .query_row([], |row| row.get(0).map(time))
                    .optional()?,
                worker,
            })
        })
        .await
    }
}

impl Store {
    /// Notes that the store was put in order.
    pub(crate) async fn note_sweep(&self, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            let mut put = db.prepare_cached("insert or replace into upkeep values ('sweep', ?)")?;
            put.execute([ms(now)]).map(drop)
        })
        .await
    }
}

pub(crate) const OLDEST: &str =
    "select run from runs indexed by runs_by_status where status = 'queued' order by created_at, id limit 1";

pub(crate) const OVERDUE: &str =
    "select count(*) from (select 1 from messages where visible_at <= ? and owner is null limit ?)";

/// The messages there are, and those given up. Messages are what is under way: their number does not grow with history.
fn queues(db: &Connection, names: Vec<String>, now: Timestamp) -> rusqlite::Result<Vec<QueueHealth>> {
    let empty = |workflow: String| QueueHealth { workflow, ready: 0, in_flight: 0, delayed: 0, dead: 0 };
    let mut queues: BTreeMap<_, _> = names.into_iter().map(|name| (name.clone(), empty(name))).collect();
    let mut of = db.prepare_cached(
        "select workflow, sum(owner is null and visible_at <= ?1), sum(owner is not null),
                sum(owner is null and visible_at > ?1) from messages group by workflow",
    )?;
    let mut rows = of.query([ms(now)])?;
    while let Some(row) = rows.next()? {
        let queue = queues.entry(row.get(0)?).or_insert_with_key(|name| empty(name.clone()));
        (queue.ready, queue.in_flight, queue.delayed) = (row.get(1)?, row.get(2)?, row.get(3)?);
    }
    let mut dead = db.prepare_cached("select workflow, count(*) from dead_letters group by workflow")?;
    let mut rows = dead.query([])?;
    while let Some(row) = rows.next()? {
        queues.entry(row.get(0)?).or_insert_with_key(|name| empty(name.clone())).dead = row.get(1)?;
    }
    Ok(queues.into_values().collect())
}

fn ms_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
