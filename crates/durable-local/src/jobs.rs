//! What is left to workers: a queue, and the claims that say who has begun what. A worker is another process.

use std::time::Duration;

use async_trait::async_trait;
use durable::{
    Clock, Jobs, Result, after,
    callback::Token,
    claim::{self, Claim},
    hours,
    job::Job,
};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use crate::{
    SystemClock,
    store::{Store, json, ms, parsed, time},
};

/// A claim is kept for so long after its last change: longer than anybody delivers its job again.
const KEPT: Duration = hours(24 * 15);

/// A job that was received.
#[derive(Debug, Clone)]
pub struct ReceivedJob {
    /// Names the delivery.
    pub id: i64,
    /// The job.
    pub job: Job,
}

/// A claim as it stands: what it says, and which version of it this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingClaim {
    /// What it says.
    pub claim: String,
    /// Names this version of it.
    pub version: i64,
}

#[async_trait]
impl Jobs for Store {
    async fn post(&self, job: &Job) -> Result<()> {
        let job = job.clone();
        self.write(move |db| {
            let mut insert = db.prepare_cached("insert into jobs (job, visible_at) values (?, ?)")?;
            insert.execute(params![json(&job)?, ms(SystemClock.now())]).map(drop)
        })
        .await
    }

    async fn withdraw(&self, job: &Token) -> Result<()> {
        let name = claim::name(job);
        self.write(move |db| {
            let mut upsert = db.prepare_cached(
                "insert into claims values (?1, ?2, 1, ?3) on conflict do
                 update set claim = excluded.claim, version = version + 1, at = excluded.at",
            )?;
            let claim = json(&Claim::withdrawn())?;
            upsert.execute(params![name, claim, ms(SystemClock.now())]).map(drop)
        })
        .await
    }
}

impl Store {
    /// Receives a job that nobody works on: for so long it is delivered to nobody else. `None` when there is none.
    pub async fn receive_job(&self, visibility: Duration) -> Result<Option<ReceivedJob>> {
        let now = SystemClock.now();
        // Looking costs no write: most of the time there is nothing.
        let due = "select 1 from jobs where visible_at <= ? limit 1";
        if !self.read(move |db| db.prepare_cached(due)?.exists([ms(now)])).await? {
            return Ok(None);
        }
        self.write(move |db| {
            let mut claim = db.prepare_cached(
                "update jobs set visible_at = ?1, receives = receives + 1 where id in (
                     select id from jobs where visible_at <= ?2 order by visible_at, id limit 1)
                 returning id, job",
            )?;
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?));
            let found = claim.query_row(params![ms(after(now, visibility)), ms(now)], row).optional()?;
            found.map(|(id, job)| Ok(ReceivedJob { id, job: parsed(&job)? })).transpose()
        })
        .await
    }

    /// Delivers a job again at this time.
    pub async fn return_job(&self, id: i64, at: Timestamp) -> Result<()> {
        self.write(move |db| {
            let mut update = db.prepare_cached("update jobs set visible_at = ? where id = ?")?;
            update.execute(params![ms(at), id]).map(drop)
        })
        .await
    }

    /// Deletes a job that is done with.
    pub async fn delete_job(&self, id: i64) -> Result<()> {
        self.write(move |db| db.prepare_cached("delete from jobs where id = ?")?.execute([id]).map(drop))
            .await
    }

    /// Deletes a large value that nobody will ask for again.
    pub async fn delete_blob(&self, key: &str) -> Result<()> {
        let key = key.to_owned();
        self.write(move |db| db.prepare_cached("delete from blobs where key = ?")?.execute([key]).map(drop))
            .await
    }

    /// When the job that has waited longest was to be received; `None` when none waits.
    pub async fn oldest_job(&self) -> Result<Option<Timestamp>> {
        let oldest = "select min(visible_at) from jobs where visible_at <= ?";
        let now = ms(SystemClock.now());
        let found = self.read(move |db| db.query_row(oldest, [now], |row| row.get::<_, Option<i64>>(0)));
        Ok(found.await?.map(time))
    }

    /// Who has begun what goes by this name, if anybody has.
    pub async fn claim(&self, name: &str) -> Result<Option<StandingClaim>> {
        let name = name.to_owned();
        self.read(move |db| {
            let mut query = db.prepare_cached("select claim, version from claims where name = ?")?;
            query
                .query_row([name], |row| Ok(StandingClaim { claim: row.get(0)?, version: row.get(1)? }))
                .optional()
        })
        .await
    }

    /// Writes a claim, if the one of this version still stands, or none when that is `None`. Answers the new version, or
    /// `None` when somebody else was first.
    pub async fn swap_claim(&self, name: &str, claim: String, before: Option<i64>) -> Result<Option<i64>> {
        let (name, now) = (name.to_owned(), SystemClock.now());
        let long_ago = now.checked_sub(KEPT)?;
        self.write(move |db| {
            db.prepare_cached("delete from claims where at < ?")?.execute([ms(long_ago)])?;
            let changed = match before {
                None => db
                    .prepare_cached("insert into claims values (?, ?, 1, ?) on conflict do nothing")?
                    .execute(params![name, claim, ms(now)])?,
                Some(version) => db
                    .prepare_cached(
                        "update claims set claim = ?, version = version + 1, at = ? where name = ? and version = ?",
                    )?
                    .execute(params![claim, ms(now), name, version])?,
            };
            Ok((changed == 1).then(|| before.unwrap_or(0) + 1))
        })
        .await
    }
}
