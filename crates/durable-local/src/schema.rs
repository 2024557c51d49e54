//! The tables, and the settings of a connection.

use rusqlite::{Connection, ffi};

/// The version of [`TABLES`]; kept in the file as `user_version`.
const VERSION: i64 = 3;

/// Times are milliseconds since 1970, in UTC. JSON columns hold the engine's types in their serialised form.
const TABLES: &str = "
create table events (
    id text primary key, name text not null, data text not null, sent_at integer not null
) strict, without rowid;

-- `wake_at`, `epoch`, `lease_until` and `owner` decide who may work on a run; all else about it is in `run`.
create table runs (
    seq integer primary key, id text not null unique, workflow text not null, status text not null,
    epoch integer not null, wake_at integer, lease_until integer, owner text, run text not null
) strict;
create index runs_by_workflow on runs (workflow, seq);
create index runs_by_status on runs (status, seq);

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

-- What is left to workers, and who has begun what.
create table jobs (
    id integer primary key, job text not null, visible_at integer not null, receives integer not null default 0
) strict;
create index jobs_by_time on jobs (visible_at);

create table claims (
    name text primary key, claim text not null, version integer not null, at integer not null
) strict, without rowid;
create index claims_by_time on claims (at);

create table schedules (workflow text primary key, fired integer not null) strict;
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
    if version == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    } else if version != VERSION {
        let problem = format!(
            "it was made by version {version} of the store, and this is {VERSION}: remove it, or use another folder"
        );
        return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_SCHEMA), Some(problem)));
    }
    transaction.commit()
}
