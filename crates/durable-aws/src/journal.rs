//! Runs and their steps in DynamoDB.

use async_trait::async_trait;
use durable::{
    Begin, Checkpoint, Envelope, Error, Journal, Lease, Outcome, Result, Run, RunId, Status, Suspended,
    Suspension, WaitingFor, Written, after,
    callback::{Answer, Settled, Token},
};
use jiff::Timestamp;

use crate::{
    Aws, answers,
    commit::{self, STEP},
    failure::Reason,
    items::{Change, Item, creation, json, ms, n, s},
    pauses,
    runs::{self, ALIVE, LEASABLE, Standing},
    table::{self, Range, Transacted},
};

/// Sleeps that one suspension records in its own transaction; more are recorded before it.
const UNSAVED: usize = 98;

#[async_trait]
impl Journal for Aws {
    async fn begin(&self, run: Run, now: Timestamp, until: Timestamp) -> Result<Begin> {
        let holder = self.holder();
        let (item, event) = runs::created(&run, until, &holder)?;
        let found = match event {
            None => match self.table.put(item, "attribute_not_exists(pk)", Vec::new()).await? {
                table::Outcome::Done(_) => return Ok(leased(run)),
                table::Outcome::Refused(found) => found,
            },
            Some(event) => {
                let parts = vec![creation(&self.table.name, item)?, creation(&self.table.name, event)?];
                match self.table.transact(parts).await? {
                    Transacted::Done => return Ok(leased(run)),
                    Transacted::Refused(reasons) => reasons.into_iter().next().and_then(|(_, found)| found),
                }
            }
        };
        // A delivery repeated: the run says what is to be done.
        let Some(found) = found else { return self.lease(&run.id, now, until, &holder).await };
        match runs::standing(&found, now, &holder)? {
            Standing::Mine => Ok(leased(run)),
            Standing::Free => self.lease(&run.id, now, until, &holder).await,
            // As it was stored: whoever sends an id again may not send the same data with it.
            Standing::Ended => Ok(Begin::Ended(Box::new(self.read(&found).await?))),
            Standing::Busy(until) => Ok(Begin::Busy(until)),
            Standing::Early(wake_at) => Ok(Begin::Early(wake_at)),
        }
    }

    async fn resume(&self, run: &RunId, now: Timestamp, until: Timestamp) -> Result<Begin> {
        self.lease(run, now, until, &self.holder()).await
    }

    async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<Written<()>> {
        let change = Change {
            key: runs::key(&lease.run),
            update: "SET #lease_until = :until, #due_at = :until".to_owned(),
            condition: "#epoch = :epoch AND #status = :running".to_owned(),
            values: vec![
                (":until", ms(until)),
                (":epoch", n(lease.epoch)),
                (":running", s(Status::Running.as_str())),
            ],
        };
        Ok(match self.table.update(&change).await? {
            table::Outcome::Done(_) => Written::Done(()),
            table::Outcome::Refused(_) => Written::Fenced,
        })
    }

    async fn checkpoints(&self, run: &RunId) -> Result<Vec<Checkpoint>> {
        let range = Range {
            index: None,
            condition: "#pk = :pk AND begins_with(#sk, :step)",
            filter: None,
            values: vec![(":pk", s(runs::partition(run))), (":step", s(STEP))],
            consistent: true,
            backwards: false,
            limit: usize::MAX,
            pages: usize::MAX,
        };
        let items = self.table.query(&range).await?;
        let mut records = items.iter().map(commit::read).collect::<Result<Vec<_>>>()?;
        records.sort_by_key(|(seq, _)| *seq);
        Ok(records.into_iter().map(|(_, record)| record).collect())
    }

    async fn checkpoint(
        &self,
        lease: &Lease,
        checkpoint: &Checkpoint,
    ) -> Result<Written<Option<Checkpoint>>> {
        self.committers.of(lease).commit(&self.table, checkpoint).await
    }

    async fn suspend(
        &self,
        lease: &Lease,
        suspension: Suspension,
        records: &[Checkpoint],
    ) -> Result<Suspended> {
        let change = suspended(lease, &suspension, self.clock.now())?;
        let committer = self.committers.of(lease);
        let (before, with) = records.split_at(records.len().saturating_sub(UNSAVED));
        for record in before {
            if committer.commit(&self.table, record).await? == Written::Fenced {
                return Ok(Suspended::Fenced);
            }
        }
        let mut unsaved = with.iter().map(|record| committer.prepare(record)).collect::<Result<Vec<_>>>()?;
        let written = loop {
            if unsaved.is_empty() {
                break match self.table.update(&change).await? {
                    table::Outcome::Done(_) => Suspended::Done,
                    table::Outcome::Refused(found) => unsuspended(found.as_ref(), lease)?,
                };
            }
            let mut parts = vec![change.part(&self.table.name)?];
            for record in &unsaved {
                parts.push(record.change().part(&self.table.name)?);
            }
            let Transacted::Refused(reasons) = self.table.transact(parts).await? else {
                break Suspended::Done;
            };
            match reasons.first() {
                Some((Reason::Condition, found)) => break unsuspended(found.as_ref(), lease)?,
                None => break Suspended::Fenced,
                Some(_) => {}
            }
            // What is final on record stays as it is.
            let mut refused = reasons.iter().skip(1).map(|(reason, _)| *reason == Reason::Condition);
            unsaved.retain(|_| !refused.next().unwrap_or(false));
        };
        if !matches!(written, Suspended::Signalled(_)) {
            self.committers.forget(lease);
        }
        Ok(written)
    }

    async fn settle(&self, token: &Token, answer: &Answer, now: Timestamp) -> Result<Settled> {
        self.settle_answer(token, answer, now).await
    }

    async fn finish(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        started_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Written<()>> {
        let (status, name, text) = runs::outcome_attribute(outcome)?;
        let mut change = self.ended(&lease.run, status, now, &format!(", #{name} = :outcome"));
        change.values.push((":outcome", s(text)));
        if let Some(started_at) = started_at {
            change.update.push_str(", #started_at = if_not_exists(#started_at, :started_at)");
            change.values.push((":started_at", ms(started_at)));
        }
        change.condition = format!("#epoch = :epoch AND {ALIVE}");
        change.values.push((":epoch", n(lease.epoch)));
        let written = match self.table.update(&change).await? {
            table::Outcome::Done(_) => Written::Done(()),
            // An answer was lost, and the SDK asked again: it is as we would have it.
            table::Outcome::Refused(Some(found)) if is_ours(&found, lease, status, now)? => Written::Done(()),
            table::Outcome::Refused(_) => Written::Fenced,
        };
        self.committers.forget(lease);
        Ok(written)
    }

    async fn cancel(&self, run: &RunId, now: Timestamp) -> Result<Option<Run>> {
        let and = ", #waited_for = if_not_exists(#waiting_for, :nothing) ADD #epoch :one";
        let mut change = self.ended(run, Status::Cancelled, now, and);
        change.values.extend([(":one", n(1)), (":nothing", s("[]"))]);
        match self.table.update(&change).await? {
            table::Outcome::Done(item) | table::Outcome::Refused(Some(item)) => {
                self.read(&item).await.map(Some)
            }
            table::Outcome::Refused(None) => Ok(None),
        }
    }

    async fn run(&self, run: &RunId) -> Result<Option<Run>> {
        match self.table.get(&runs::key(run)).await? {
            Some(item) => self.read(&item).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Aws {
    /// Tells a lease that was taken, but whose answer was lost, from one that another invocation holds.
    fn holder(&self) -> String {
        format!("{:016x}", self.random.bits())
    }

    async fn lease(&self, run: &RunId, now: Timestamp, until: Timestamp, holder: &str) -> Result<Begin> {
        let mut values = vec![
            (":until", ms(until)),
            (":now", ms(now)),
            (":holder", s(holder)),
            (":due_shard", s(runs::due_shard(run))),
            (":one", n(1)),
        ];
        values.extend(runs::alive());
        let change = Change {
            key: runs::key(run),
            update:
                "SET #status = :running, #lease_until = :until, #holder = :holder, #due_shard = :due_shard, \
                     #due_at = :until ADD #epoch :one"
                    .to_owned(),
            condition: LEASABLE.to_owned(),
            values,
        };
        let found = match self.table.update(&change).await? {
            table::Outcome::Done(item) => return Ok(Begin::Leased(Box::new(self.read(&item).await?))),
            table::Outcome::Refused(None) => return Ok(Begin::Missing),
            table::Outcome::Refused(Some(found)) => found,
        };
        Ok(match runs::standing(&found, now, holder)? {
            Standing::Busy(until) => Begin::Busy(until),
            Standing::Early(wake_at) => Begin::Early(wake_at),
            Standing::Ended => Begin::Ended(Box::new(self.read(&found).await?)),
            Standing::Mine => Begin::Leased(Box::new(self.read(&found).await?)),
            // The condition and `standing` are one rule.
            Standing::Free => return Err(Error::new("DynamoDB: a lease that is free was refused")),
        })
    }

    /// The run of an item; an event that is kept apart is fetched.
    pub(crate) async fn read(&self, item: &Item) -> Result<Run> {
        if !runs::event_is_apart(item) {
            return runs::run(item, None);
        }
        let run = RunId::from_text(crate::items::required(item, "pk")?.trim_start_matches("run#"));
        let apart = self.table.get(&runs::event_key(&run)).await?.unwrap_or_default();
        runs::run(item, json::<Envelope>(&apart, "event")?)
    }

    /// What every end of a run has in common. The caretaker deletes the run when its retention has passed.
    fn ended(&self, run: &RunId, status: Status, now: Timestamp, and: &str) -> Change {
        let mut values = vec![
            (":status", s(status.as_str())),
            (":now", ms(now)),
            (":ended", s(runs::ended_shard(run))),
            (":forget_at", ms(after(now, self.settings.retention))),
        ];
        values.extend(runs::alive());
        Change {
            key: runs::key(run),
            update: format!(
                "REMOVE #lease_until, #holder, #wake_at, #waiting_for \
                 SET #status = :status, #ended_at = :now, #due_shard = :ended, #due_at = :forget_at{and}"
            ),
            condition: ALIVE.to_owned(),
            values,
        }
    }
}

fn leased(run: Run) -> Begin {
    Begin::Leased(Box::new(Run { status: Status::Running, epoch: 1, ..run }))
}

fn is_ours(item: &Item, lease: &Lease, status: Status, now: Timestamp) -> Result<bool> {
    let same = runs::epoch(item) == lease.epoch && crate::items::time(item, "ended_at") == Some(now);
    Ok(same && runs::status(item)? == status)
}

/// Why a suspension was refused: the run was overtaken, or answers came that its invocation has not seen.
fn unsuspended(found: Option<&Item>, lease: &Lease) -> Result<Suspended> {
    let Some(found) = found else { return Ok(Suspended::Fenced) };
    let holds = runs::epoch(found) == lease.epoch && !runs::status(found)?.is_final();
    Ok(if holds { Suspended::Signalled(answers::signals(found)) } else { Suspended::Fenced })
}

fn suspended(lease: &Lease, suspension: &Suspension, now: Timestamp) -> Result<Change> {
    let mut change = commit::fence(lease);
    change.condition.push_str(if suspension.signals == 0 {
        " AND attribute_not_exists(#signals)"
    } else {
        " AND #signals = :signals"
    });
    if suspension.signals > 0 {
        change.values.push((":signals", n(suspension.signals)));
    }
    change.update.push_str("SET #status = :status, #waiting_for = :waiting_for, #failures = :failures");
    change.values.extend([
        (":status", s(suspension.status.as_str())),
        (":waiting_for", s(serde_json::to_string(&suspension.waiting_for)?)),
        (":failures", n(suspension.failures)),
    ]);
    if let Some(started_at) = suspension.started_at {
        change.update.push_str(", #started_at = if_not_exists(#started_at, :started_at)");
        change.values.push((":started_at", ms(started_at)));
    }
    let remove = if let Some(wake_at) = suspension.wake_at {
        change.update.push_str(", #wake_at = :wake_at, #due_at = :wake_at");
        change.values.push((":wake_at", ms(wake_at)));
        " REMOVE #lease_until, #holder"
    } else if suspension.waiting_for.contains(&WaitingFor::Paused) {
        // Whoever ends the pause finds it there, in order of arrival.
        change.update.push_str(", #due_shard = :paused, #due_at = :now");
        change.values.extend([(":paused", s(pauses::shard_of(&lease.run))), (":now", ms(now))]);
        " REMOVE #lease_until, #holder, #wake_at"
    } else {
        // Nothing is due: whoever frees the slot wakes it, and the caretaker watches the line.
        " REMOVE #lease_until, #holder, #wake_at, #due_shard, #due_at"
    };
    change.update.push_str(remove);
    Ok(change)
}
