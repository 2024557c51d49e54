//! Numbers by the hour: added in the transaction that makes them true.

use std::collections::BTreeMap;

use durable::{Buckets, Counts, Tally, WorkflowStatistics, hour_of};
use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::store::{ms, time};

/// Adds to a workflow's numbers.
pub(crate) fn add(
    db: &Connection,
    workflow: &str,
    tallies: impl IntoIterator<Item = Tally>,
) -> rusqlite::Result<()> {
    for Tally { hour, counts, took } in tallies {
        let Counts { started, completed, failed, cancelled, retried } = counts;
        db.prepare_cached(
            "insert into run_hours values (?, ?, ?, ?, ?, ?, ?) on conflict do update set
                 started = started + excluded.started, completed = completed + excluded.completed,
                 failed = failed + excluded.failed, cancelled = cancelled + excluded.cancelled,
                 retried = retried + excluded.retried",
        )?
        .execute(params![workflow, ms(hour), started, completed, failed, cancelled, retried])?;
        if let Some(took) = took {
            db.prepare_cached(
                "insert into run_durations values (?, ?, ?, 1) on conflict do update set runs = runs + 1",
            )?
            .execute(params![workflow, ms(hour), Buckets::index(took)])?;
        }
    }
    Ok(())
}

/// What a workflow's hours have in a time: one row an hour, and one for each bucket that is not empty.
pub(crate) fn read(
    db: &Connection,
    workflow: &str,
    from: Timestamp,
    to: Timestamp,
) -> rusqlite::Result<WorkflowStatistics> {
    let span = params![workflow, ms(hour_of(from)), ms(to)];
    let mut hours = db.prepare_cached(HOURS)?;
    let hours = hours.query_map(span, |row| {
        let counts = Counts {
            started: row.get(1)?,
            completed: row.get(2)?,
            failed: row.get(3)?,
            cancelled: row.get(4)?,
            retried: row.get(5)?,
        };
        Ok((time(row.get(0)?), counts))
    })?;
    let hours = hours.collect::<rusqlite::Result<BTreeMap<_, _>>>()?;
    let mut durations = Buckets::default();
    let mut buckets = db.prepare_cached(DURATIONS)?;
    let mut rows = buckets.query(span)?;
    while let Some(row) = rows.next()? {
        durations.add(row.get(0)?, row.get(1)?);
    }
    Ok(WorkflowStatistics::of(workflow, &hours, &durations, from, to))
}

pub(crate) const HOURS: &str = "select hour, started, completed, failed, cancelled, retried from run_hours
     where workflow = ? and hour >= ? and hour < ?";

pub(crate) const DURATIONS: &str = "select bucket, sum(runs) from run_durations where workflow = ? and hour >= ? and hour < ? group by bucket";
