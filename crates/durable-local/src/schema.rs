//! The tables, and the settings of a connection.

use durable::{Run, Tally};
use rusqlite::{Connection, ffi, params};

use crate::{
    store::{ms, parsed},
    tallies,
};

/// The version of the tables; kept in the file as `user_version`.
const VERSION: i64 = 4;

/// The tables of version 2. Times are milliseconds since 1970, in UTC. JSON columns hold the engine's types in their serialised form.
const TABLES: &str = "
create table events (
    id text primary key, name text not null, data text not null, sent_at integer not null
) strict, without rowid;

-- `wake_at`, `epoch`, `lease_until` and `owner` decide who may work on a run; all else about it is in `run`.
create table runs (
    seq integer primary key, id text not null unique, workflow text not null, status text not null,
    epoch integer not null, wake_at integer, lease_until integer, owner text, run text not null
) strict;

create table steps (
    run_id text not null, name text not null, nth integer not null, seq integer not null, rank integer not null,
    record text not null, primary key (run_id, name, nth)
) strict, without rowid;

create table messages (
    id integer primary key, workflow text not null, run_id text not null, visible_at integer not null,
    receives integer not null default 0, owner text
) strict;
create index messages_by_time on messages (visible_at);
create index messages_by_run on messages (run_id);

create table members (
    key text not null, run_id text not null, seq integer not null, place text not null, slots integer not null,
    primary key (key, run_id)
) strict, without rowid;

create table starts (
    key text not null, id text not null, at integer not null, started integer not null, primary key (key, id)
) strict, without rowid;

create table blobs (key text primary key, data blob not null) strict;

create table dead_letters (
    id integer primary key, workflow text not null, run_id text not null, reason text not null, at integer not null
) strict;

create table schedules (workflow text primary key, fired integer not null) strict;
";

/// What came with version 3: what lists, numbers and people's deeds are kept in. The columns repeat parts of `run`, for the
/// indexes; each index has the order of the lists, so that a page reads about as many rows as it shows.
const SINCE_3: &str = "
drop index if exists runs_by_workflow;
drop index if exists runs_by_status;
alter table runs add column created_at integer not null default 0;
alter table runs add column event_id text not null default '';
alter table runs add column event_name text not null default '';
alter table runs add column key text;
create index runs_by_status on runs (status, created_at, id);
create index runs_by_workflow on runs (workflow, status, created_at, id);
create index runs_by_event_name on runs (event_name, status, created_at, id);
create index runs_by_key on runs (key, status, created_at, id) where key is not null;
create index runs_by_event on runs (event_id, created_at, id);

create index events_by_time on events (sent_at, id);
create index events_by_name on events (name, sent_at, id);

alter table members add column giver text;
create index members_by_arrival on members (key, seq);
create index members_by_place on members (key, place, seq);
create index members_by_run on members (run_id);

create table registers (key text primary key, register text not null) strict;

-- `step` is empty for the wait that cancels a run.
create table waits (
    run_id text not null, step text not null, event text not null, shape text not null, key text not null,
    wait text not null, primary key (run_id, step, event)
) strict, without rowid;
create index waits_by_event on waits (event, shape);
create index waits_by_key on waits (key);

create table audit (
    at integer not null, id text not null, target text not null, entry text not null, primary key (at, id)
) strict, without rowid;
create index audit_by_target on audit (target, at, id);

create table pauses (workflow text primary key, since integer not null, by text not null) strict, without rowid;

-- By the hour: what the runs of a workflow did, and how many took how long (a bucket of `durable::Buckets`).
create table run_hours (
    workflow text not null, hour integer not null, started integer not null default 0,
    completed integer not null default 0, failed integer not null default 0, cancelled integer not null default 0,
    retried integer not null default 0, primary key (workflow, hour)
) strict, without rowid;
create table run_durations (
    workflow text not null, hour integer not null, bucket integer not null, runs integer not null,
    primary key (workflow, hour, bucket)
) strict, without rowid;

create table upkeep (name text primary key, at integer not null) strict, without rowid;
";

/// What came with version 4.
const SINCE_4: &str = "
-- What is left to workers, and who has begun what.
create table jobs (
    id integer primary key, job text not null, visible_at integer not null, receives integer not null default 0
) strict;
create index jobs_by_time on jobs (visible_at);

create table claims (
    name text primary key, claim text not null, version integer not null, at integer not null
) strict, without rowid;
create index claims_by_time on claims (at);
";

/// Prepares a connection; creates the tables in a file that has none.
pub(crate) fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(30))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // A commit is on disk before it is answered: what a step did is never forgotten, power failures included.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.set_prepared_statement_cache_capacity(64);
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        VERSION => {}
        0 => {
            transaction.execute_batch(TABLES)?;
            transaction.execute_batch(SINCE_3)?;
            transaction.execute_batch(SINCE_4)?;
        }
        2 => {
            transaction.execute_batch(SINCE_3)?;
            fill_in(&transaction)?;
            transaction.execute_batch(SINCE_4)?;
        }
        3 => transaction.execute_batch(SINCE_4)?,
        other => {
            let problem = format!(
                "it was made by version {other} of the store, and this is {VERSION}: remove it, or use another folder"
            );
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_SCHEMA), Some(problem)));
        }
    }
    if version != VERSION {
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}

/// Fills in what version 3 keeps of the runs that there were before. Their flow-control keys are not known any more.
fn fill_in(db: &Connection) -> rusqlite::Result<()> {
    let mut query = db.prepare("select run from runs")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let run: Run = parsed(row.get_ref(0)?.as_str()?)?;
        db.prepare_cached("update runs set created_at = ?, event_id = ?, event_name = ? where id = ?")?
            .execute(params![ms(run.created_at), run.event.id, run.event.name, run.id.as_str()])?;
        let queued = Run::queued(&run.workflow, run.event.clone(), run.created_at);
        tallies::add(db, &run.workflow, Tally::of_run(&queued, &run))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use durable::{Envelope, Status, after, seconds};
    use jiff::Timestamp;

    use super::*;

    /// What version 2 made: its tables and indexes.
    fn version_2(runs: &[Run]) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(TABLES).unwrap();
        db.execute_batch(
            "create index runs_by_workflow on runs (workflow, seq); create index runs_by_status on runs (status, seq);",
        )
        .unwrap();
        db.pragma_update(None, "user_version", 2).unwrap();
        for run in runs {
            let mut json = serde_json::to_value(run).unwrap();
            json.as_object_mut().unwrap().remove("signals");
            db.execute(
                "insert into runs (id, workflow, status, epoch, run) values (?, ?, ?, 1, ?)",
                params![run.id.as_str(), run.workflow, run.status.as_str(), json.to_string()],
            )
            .unwrap();
        }
        db
    }

    #[test]
    fn a_store_of_version_2_is_taken_over_with_its_runs() {
        let at = |second| after(Timestamp::UNIX_EPOCH, seconds(second));
        let event = Envelope { id: "e".into(), name: "go".into(), data: 1.into(), sent_at: at(0) };
        let ended = Run { status: Status::Failed, ended_at: Some(at(9)), ..Run::queued("w", event, at(5)) };
        let mut db = version_2(&[ended]);
        prepare(&mut db).unwrap();
        let read = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(read("select created_at from runs where event_id = 'e' and event_name = 'go'"), 5000);
        assert_eq!(read("select failed from run_hours where workflow = 'w'"), 1);
        assert_eq!(read("select runs from run_durations"), 1);
        assert_eq!(read("select count(*) from jobs"), 0);
        prepare(&mut db).unwrap();
    }

    #[test]
    fn a_store_of_version_3_is_taken_over() {
        let mut db = version_2(&[]);
        db.execute_batch(SINCE_3).unwrap();
        db.pragma_update(None, "user_version", 3).unwrap();
        prepare(&mut db).unwrap();
        db.query_row("select count(*) from claims", [], |row| row.get::<_, i64>(0)).unwrap();
    }

    #[test]
    fn a_store_of_another_version_is_refused_and_says_so() {
        let mut db = Connection::open_in_memory().unwrap();
        db.pragma_update(None, "user_version", 9).unwrap();
        let error = prepare(&mut db).unwrap_err().to_string();
        assert!(error.contains("made by version 9"), "{error}");
    }
}
