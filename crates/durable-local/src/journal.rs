//! Runs and their steps in SQLite.

use async_trait::async_trait;
use durable::{
    Begin, Checkpoint, FINAL, Journal, Lease, Outcome, Result, Run, RunId, Status, StepId, StepState,
    Suspended, Suspension, Tally, Written,
    callback::{self, Answer, Settled, Token, Verdict},
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    store::{Store, json, ms, parsed, time},
    tallies,
};

#[async_trait]
impl Journal for Store {
    async fn begin(&self, run: Run, now: Timestamp, until: Timestamp) -> Result<Begin> {
        let owner = self.owner();
        self.write(move |db| {
            insert(db, &run)?;
            lease(db, &run.id, now, until, owner.as_deref())
        })
        .await
    }

    async fn resume(&self, run: &RunId, now: Timestamp, until: Timestamp) -> Result<Begin> {
        let (run, owner) = (run.clone(), self.owner());
        self.write(move |db| lease(db, &run, now, until, owner.as_deref())).await
    }

    async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<Written<()>> {
        let lease = lease.clone();
        self.write(move |db| {
            let mut renew = db.prepare_cached(
                "update runs set lease_until = ? where id = ? and epoch = ? and status = 'running'",
            )?;
            let renewed = renew.execute(params![ms(until), lease.run.as_str(), lease.epoch])?;
            Ok(if renewed == 1 { Written::Done(()) } else { Written::Fenced })
        })
        .await
    }

    async fn checkpoints(&self, run: &RunId) -> Result<Vec<Checkpoint>> {
        let run = run.clone();
        self.read(move |db| records(db, &run)).await
    }

    async fn checkpoint(
        &self,
        lease: &Lease,
        checkpoint: &Checkpoint,
    ) -> Result<Written<Option<Checkpoint>>> {
        let (lease, record) = (lease.clone(), checkpoint.clone());
        self.write(move |db| {
            let Some(run) = held(db, &lease)? else { return Ok(Written::Fenced) };
            Ok(Written::Done(record_step(db, &run, &record)?))
        })
        .await
    }

    async fn suspend(
        &self,
        lease: &Lease,
        suspension: Suspension,
        records: &[Checkpoint],
    ) -> Result<Suspended> {
        let (lease, records) = (lease.clone(), records.to_vec());
        self.write(move |db| {
            let Some(mut run) = held(db, &lease)? else { return Ok(Suspended::Fenced) };
            if run.signals != suspension.signals {
                return Ok(Suspended::Signalled(run.signals));
            }
            for record in &records {
                record_step(db, &run, record)?;
            }
            let before = run.clone();
            (run.status, run.waiting_for) = (suspension.status, suspension.waiting_for);
            (run.wake_at, run.failures) = (suspension.wake_at, suspension.failures);
            run.started_at = run.started_at.or(suspension.started_at);
            tallies::add(db, &run.workflow, Tally::of_run(&before, &run))?;
            update(db, &run, None, None)?;
            Ok(Suspended::Done)
        })
        .await
    }

    async fn settle(&self, token: &Token, answer: &Answer, now: Timestamp) -> Result<Settled> {
        let (token, answer) = (token.clone(), answer.clone());
        self.write(move |db| settle(db, &token, &answer, now)).await
    }

    async fn finish(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        started_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Written<()>> {
        let (lease, outcome) = (lease.clone(), outcome.clone());
        self.write(move |db| {
            let Some(mut run) = held(db, &lease)? else { return Ok(Written::Fenced) };
            let before = run.clone();
            run.started_at = run.started_at.or(started_at);
            match outcome {
                Outcome::Completed(output) => (run.status, run.output) = (Status::Completed, Some(output)),
                Outcome::Failed(error) => (run.status, run.error) = (Status::Failed, Some(error)),
            }
            end(db, &before, &mut run, now)?;
            Ok(Written::Done(()))
        })
        .await
    }

    async fn cancel(&self, run: &RunId, now: Timestamp) -> Result<Option<Run>> {
        let run = run.clone();
        self.write(move |db| {
            let cancelled = cancel(db, &run, now)?;
            if cancelled.is_some() { Ok(cancelled) } else { read(db, &run) }
        })
        .await
    }

    async fn run(&self, run: &RunId) -> Result<Option<Run>> {
        let run = run.clone();
        self.read(move |db| read(db, &run)).await
    }
}

/// Creates a run, unless there is one with its id.
pub(crate) fn insert(db: &Connection, run: &Run) -> rusqlite::Result<bool> {
    let mut insert = db.prepare_cached(
        "insert into runs (id, workflow, status, epoch, run, created_at, event_id, event_name, key)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
    )?;
    let inserted = insert.execute(params![
        run.id.as_str(),
        run.workflow,
        run.status.as_str(),
        run.epoch,
        json(run)?,
        ms(run.created_at),
        run.event.id,
        run.event.name,
        run.key,
    ])?;
    Ok(inserted == 1)
}

/// Creates a run with the records of its first steps, unless there is one with its id.
pub(crate) fn create(db: &Connection, run: &Run, records: &[Checkpoint]) -> rusqlite::Result<bool> {
    let created = insert(db, run)?;
    if created {
        for record in records {
            record_step(db, run, record)?;
        }
    }
    Ok(created)
}

/// The records of a run's steps, in the order in which they were first written.
pub(crate) fn records(db: &Connection, run: &RunId) -> rusqlite::Result<Vec<Checkpoint>> {
    let mut query = db.prepare_cached("select record from steps where run_id = ? order by seq")?;
    query.query_map([run.as_str()], |row| parsed(row.get_ref(0)?.as_str()?))?.collect()
}

pub(crate) fn read(db: &Connection, run: &RunId) -> rusqlite::Result<Option<Run>> {
    let mut query = db.prepare_cached("select run from runs where id = ?")?;
    query.query_row([run.as_str()], |row| parsed(row.get_ref(0)?.as_str()?)).optional()
}

/// The run, if the lease still holds.
fn held(db: &Connection, lease: &Lease) -> rusqlite::Result<Option<Run>> {
    Ok(read(db, &lease.run)?.filter(|run| run.epoch == lease.epoch && !run.status.is_final()))
}

fn lease(
    db: &Connection,
    id: &RunId,
    now: Timestamp,
    until: Timestamp,
    owner: Option<&str>,
) -> rusqlite::Result<Begin> {
    let mut query = db.prepare_cached("select run, lease_until from runs where id = ?")?;
    let found = query.query_row([id.as_str()], |row| {
        let run: Run = parsed(row.get_ref(0)?.as_str()?)?;
        Ok((run, row.get::<_, Option<i64>>(1)?.map(time)))
    });
    let Some((mut run, free_at)) = found.optional()? else { return Ok(Begin::Missing) };
    if run.status.is_final() {
        return Ok(Begin::Ended(Box::new(run)));
    }
    if let Some(free_at) = free_at.filter(|free_at| *free_at > now) {
        return Ok(Begin::Busy(free_at));
    }
    if let Some(wake_at) = run.wake_at.filter(|wake_at| run.status != Status::Running && *wake_at > now) {
        return Ok(Begin::Early(wake_at));
    }
    run.epoch += 1;
    run.status = Status::Running;
    update(db, &run, Some(until), owner)?;
    Ok(Begin::Leased(Box::new(run)))
}

/// Cancels a run; answers it, unless it had ended or there is none.
pub(crate) fn cancel(db: &Connection, run: &RunId, now: Timestamp) -> rusqlite::Result<Option<Run>> {
    let Some(mut run) = read(db, run)?.filter(|run| !run.status.is_final()) else { return Ok(None) };
    let before = run.clone();
    run.status = Status::Cancelled;
    run.waited_for.clone_from(&run.waiting_for);
    // The next epoch fences off whoever is at work.
    run.epoch += 1;
    end(db, &before, &mut run, now)?;
    Ok(Some(run))
}

pub(crate) fn settle(
    db: &Connection,
    token: &Token,
    answer: &Answer,
    now: Timestamp,
) -> rusqlite::Result<Settled> {
    let Some(mut run) = read(db, &token.run)? else { return Ok(Settled::Missing) };
    if run.status.is_final() {
        return Ok(Settled::Late);
    }
    let record = read_step(db, &token.run, &token.step)?;
    let (record, wakes) = match callback::settle(record.as_ref(), token, answer, now) {
        Verdict::Late => return Ok(Settled::Late),
        Verdict::Nothing => return Ok(Settled::Done(None)),
        Verdict::Record(record, wakes) => (record, wakes),
    };
    record_step(db, &run, &record)?;
    if !wakes {
        return Ok(Settled::Done(None));
    }
    (run.signals, run.wake_at) = (run.signals + 1, Some(now));
    // The lease stays with whoever has it.
    db.prepare_cached("update runs set wake_at = ?, run = ? where id = ?")?.execute(params![
        ms(now),
        json(&run)?,
        run.id.as_str()
    ])?;
    Ok(Settled::Done(Some(Box::new(run))))
}

fn end(db: &Connection, before: &Run, run: &mut Run, now: Timestamp) -> rusqlite::Result<()> {
    run.ended_at = Some(now);
    run.waiting_for.clear();
    run.wake_at = None;
    db.prepare_cached("delete from waits where run_id = ?")?.execute([run.id.as_str()])?;
    tallies::add(db, &run.workflow, Tally::of_run(before, run))?;
    update(db, run, None, None)
}

fn update(
    db: &Connection,
    run: &Run,
    lease_until: Option<Timestamp>,
    owner: Option<&str>,
) -> rusqlite::Result<()> {
    let mut update = db.prepare_cached(
        "update runs set status = ?, epoch = ?, wake_at = ?, lease_until = ?, owner = ?, run = ? where id = ?",
    )?;
    let (wake_at, lease_until) = (run.wake_at.map(ms), lease_until.map(ms));
    let status = run.status.as_str();
    update.execute(params![status, run.epoch, wake_at, lease_until, owner, json(run)?, run.id.as_str()])?;
    Ok(())
}

/// Writes a step's record, unless the one there is has come further: then that is answered.
fn record_step(db: &Connection, run: &Run, record: &Checkpoint) -> rusqlite::Result<Option<Checkpoint>> {
    if matches!(record.state, StepState::Retrying { .. }) {
        let before = read_step(db, &run.id, &record.step)?;
        if before.as_ref().is_none_or(|before| record.replaces(before)) {
            tallies::add(db, &run.workflow, Tally::of_record(before.as_ref(), record))?;
        }
    }
    // The order of first records is kept: a replaced record keeps its number.
    let mut write = db.prepare_cached(
        "insert into steps (run_id, name, nth, seq, rank, record)
         values (?1, ?2, ?3, (select coalesce(max(seq), 0) + 1 from steps where run_id = ?1), ?4, ?5)
         on conflict do update set rank = excluded.rank, record = excluded.record
         where rank <= excluded.rank and rank < ?6",
    )?;
    let (name, nth) = (&record.step.name, record.step.nth);
    let written = write.execute(params![run.id.as_str(), name, nth, record.rank(), json(record)?, FINAL])?;
    if written == 1 {
        return Ok(None);
    }
    read_step(db, &run.id, &record.step)
}

fn read_step(db: &Connection, run: &RunId, step: &StepId) -> rusqlite::Result<Option<Checkpoint>> {
    let mut query =
        db.prepare_cached("select record from steps where run_id = ? and name = ? and nth = ?")?;
    let key = params![run.as_str(), step.name, step.nth];
    query.query_row(key, |row| parsed(row.get_ref(0)?.as_str()?)).optional()
}
