//! Answers from outside (see [`durable::callback`]): the record of the step and the run that is to be woken, in one
//! transaction, by whoever holds the lease or nobody.

use durable::{
    Checkpoint, Error, Journal, Result, Run, Status,
    callback::{self, Answer, Settled, Token, Verdict},
};
use jiff::Timestamp;

use crate::{
    Aws,
    commit::{self, StepRecord},
    items::{Change, Item, ms, n, number, s, text},
    runs::{self, ALIVE},
    table::Transacted,
};

/// How often an answer is given that something else comes before. An answer is no hot spot: this is for the run that
/// suspends at the same moment.
const TRIES: u32 = 8;

/// Places an answer's record behind those that the run's last invocation made before it, should it be the step's first.
const AFTER_THOSE_OF_THE_RUN: u64 = 1 << 19;

impl Aws {
    pub(crate) async fn settle_answer(
        &self,
        token: &Token,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<Settled> {
        for _ in 0..TRIES {
            let Some(run) = self.table.get(&runs::key(&token.run)).await? else {
                return Ok(Settled::Missing);
            };
            if runs::status(&run)?.is_final() {
                return Ok(Settled::Late);
            }
            let before = self.table.get(&commit::key(&token.run, &token.step)).await?;
            let record = before.as_ref().map(commit::read).transpose()?.map(|(_, record)| record);
            let (record, wakes) = match callback::settle(record.as_ref(), token, answer, now) {
                Verdict::Late => return Ok(Settled::Late),
                Verdict::Nothing => return Ok(Settled::Done(None)),
                Verdict::Record(record, wakes) => (record, wakes),
            };
            if self.write_answer(token, &run, before.as_ref(), &record, wakes.then_some(now)).await? {
                return self.settled(token, wakes).await;
            }
        }
        Err(Error::new(format!("DynamoDB: the answer to {token} met other writes {TRIES} times")))
    }

    /// Writes the record if neither it nor the run's standing has changed since they were read.
    async fn write_answer(
        &self,
        token: &Token,
        run: &Item,
        before: Option<&Item>,
        record: &Checkpoint,
        wake_at: Option<Timestamp>,
    ) -> Result<bool> {
        let seq = (runs::epoch(run) << 20) + AFTER_THOSE_OF_THE_RUN;
        let mut change = StepRecord::new(&token.run, record, seq)?.change();
        // Compared with what was read, not with what may be replaced.
        change.values.retain(|(name, _)| *name != ":final");
        let unchanged = if let Some(before) = before {
            change.values.push((":before", s(text(before, "record").unwrap_or_default())));
            "#record = :before"
        } else {
            "attribute_not_exists(pk)"
        };
        unchanged.clone_into(&mut change.condition);
        let table = &self.table.name;
        let parts = vec![signal(token, run, wake_at)?.part(table)?, change.part(table)?];
        Ok(matches!(self.table.transact(parts).await?, Transacted::Done))
    }

    async fn settled(&self, token: &Token, wakes: bool) -> Result<Settled> {
        if !wakes {
            return Ok(Settled::Done(None));
        }
        let run: Option<Run> = self.run(&token.run).await?;
        Ok(run.map_or(Settled::Missing, |run| Settled::Done(Some(Box::new(run)))))
    }
}

/// The run is due, and its invocation, should it be about to suspend, is told that it has not seen all answers.
fn signal(token: &Token, run: &Item, wake_at: Option<Timestamp>) -> Result<Change> {
    let key = runs::key(&token.run);
    let Some(now) = wake_at else {
        let values = runs::alive().to_vec();
        return Ok(Change { key, update: String::new(), condition: ALIVE.to_owned(), values });
    };
    let status = runs::status(run)?;
    let mut update = "SET #wake_at = :now, #signals = if_not_exists(#signals, :zero) + :one".to_owned();
    let mut values =
        vec![(":now", ms(now)), (":zero", n(0)), (":one", n(1)), (":status", s(status.as_str()))];
    if status != Status::Running {
        // Should the wake-up be lost, the caretaker sends another.
        update.push_str(", #due_at = :now, #due_shard = :due");
        values.push((":due", s(runs::due_shard(&token.run))));
    }
    Ok(Change { key, update, condition: "#status = :status".to_owned(), values })
}

/// How many answers a run has got.
pub(crate) fn signals(run: &Item) -> u64 {
    number(run, "signals").and_then(|count| count.try_into().ok()).unwrap_or(0)
}
