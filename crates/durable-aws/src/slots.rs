//! The slots of a concurrency key, and the line for them. [`durable::line`] is the law; this is how it is kept where there is
//! no reading and writing a whole line at once.
//!
//! A key has a partition. Its *head* holds who has a slot (`held`), which of these do not know it yet and by whom it was
//! handed to them (an attribute `to_<run>` each), and how many tickets were drawn (`tickets`) and are done with (`gone`). A waiter is an item of its own, found by its run, and
//! through the local index `arrival` by its ticket. While nobody waits, `tickets` equals `gone`, and a slot is taken or given
//! back with one write. Nothing reads a number to write it back: tickets are counted by `ADD`, a slot is handed over by a
//! transaction of the head and the waiter.
//!
//! - A release that is repeated wakes again whom it woke before, while these have not come, and nobody else. In a queue that
//!   is behind, wake-ups of ended runs are many; were each to wake all who have not come, they would multiply.
//! - A waiter looks at the head once more when its item is there: whoever released a slot before could not see it, whoever
//!   releases one after does.
//! - A process that dies between a ticket and its item leaves `gone` one behind. That costs a look at the line with each
//!   release until the caretaker finds the line empty and evens it out; it lets nobody in and keeps nobody out.
//! - Two that arrive within the milliseconds between a ticket and its item may be served in either order.

use durable::{Error, Result, RunId, Slot};

use crate::{
    Aws,
    head::{Head, check, draw_ticket, give_back, hand, head_key, partition, take},
    items::{Change, Key, n, number, s, text},
    table::{Outcome, Range, Transacted},
};

/// The local index of waiters by ticket.
pub(crate) const ARRIVAL: &str = "arrival";

/// How many waiters one transaction hands a slot: it takes 100 parts.
const HANDED_AT_ONCE: usize = 50;

/// How often a hand-over is tried that others interfere with. They hand over as well: there is less to do each time.
const TRIES: u32 = 8;

fn waiter_key(key: &str, run: &RunId) -> Key {
    Key::new(partition(key), format!("wait#{run}"))
}

fn waiter_goes(key: &str, run: &RunId) -> Change {
    let condition = "attribute_exists(pk)".to_owned();
    Change { key: waiter_key(key, run), update: String::new(), condition, values: Vec::new() }
}

impl Aws {
    pub(crate) async fn take_slot(&self, key: &str, limit: u32, run: &RunId) -> Result<Slot> {
        check(run)?;
        let head = match self.table.update(&take(key, limit, run, self.clock.now())).await? {
            Outcome::Done(_) => return Ok(Slot::Held),
            Outcome::Refused(head) => Head::of(&head.unwrap_or_default()),
        };
        let ticket = match self.table.get(&waiter_key(key, run)).await? {
            Some(waiter) => number(&waiter, "ticket").unwrap_or(head.tickets),
            None => self.stand_in_line(key, run).await?,
        };
        let head = self.table.get(&head_key(key)).await?.unwrap_or_default();
        let head = self.hand_over(key, limit, run, Head::of(&head)).await?;
        if head.holds(run) {
            // What was handed to it, it knows now.
            if let Outcome::Done(_) = self.table.update(&take(key, limit, run, self.clock.now())).await? {
                return Ok(Slot::Held);
            }
        }
        Ok(Slot::Waiting(head.position(ticket)))
    }

    /// Answers the run's ticket.
    async fn stand_in_line(&self, key: &str, run: &RunId) -> Result<i64> {
        let Outcome::Done(head) = self.table.update(&draw_ticket(key, self.clock.now())).await? else {
            return Err(Error::new("DynamoDB: a ticket was refused"));
        };
        let ticket = Head::of(&head).tickets;
        let mut waiter = waiter_key(key, run).item();
        waiter.extend([("run".to_owned(), s(run.as_str())), ("ticket".to_owned(), n(ticket))]);
        match self.table.put(waiter, "attribute_not_exists(pk)", Vec::new()).await? {
            Outcome::Refused(Some(before)) => Ok(number(&before, "ticket").unwrap_or(ticket)),
            Outcome::Done(_) | Outcome::Refused(None) => Ok(ticket),
        }
    }

    pub(crate) async fn give_slot_back(&self, key: &str, limit: u32, run: &RunId) -> Result<Vec<RunId>> {
        check(run)?;
        let head = match self.table.update(&give_back(key, run, self.clock.now())).await? {
            Outcome::Done(head) => Head::of(&head),
            Outcome::Refused(None) => return Ok(Vec::new()),
            Outcome::Refused(Some(head)) => {
                let head = Head::of(&head);
                if head.may_have_waiters() { self.leave_line(key, run).await? } else { head }
            }
        };
        Ok(self.hand_over(key, limit, run, head).await?.handed_by(run))
    }

    /// A run that waits for a slot waits no more.
    async fn leave_line(&self, key: &str, run: &RunId) -> Result<Head> {
        let counted = Change {
            key: head_key(key),
            update: "ADD #gone :one".to_owned(),
            condition: "attribute_exists(pk)".to_owned(),
            values: vec![(":one", n(1))],
        };
        let name = &self.table.name;
        self.table.transact(vec![waiter_goes(key, run).deletion(name)?, counted.part(name)?]).await?;
        Ok(Head::of(&self.table.get(&head_key(key)).await?.unwrap_or_default()))
    }

    /// Hands the free slots to the first in line. Answers the head as it is then.
    pub(crate) async fn hand_over(
        &self,
        key: &str,
        limit: u32,
        giver: &RunId,
        mut head: Head,
    ) -> Result<Head> {
        let name = &self.table.name;
        for _ in 0..TRIES {
            let free = head.free(limit).min(HANDED_AT_ONCE);
            if free == 0 || !head.may_have_waiters() {
                return Ok(head);
            }
            let next = self.first_in_line(key, free).await?;
            if next.is_empty() {
                return Ok(head);
            }
            let mut parts = vec![hand(key, limit, &next, giver).part(name)?];
            for run in &next {
                parts.push(waiter_goes(key, run).deletion(name)?);
            }
            // Refused when somebody else handed the slots over: what is left is seen from the head.
            let _: Transacted = self.table.transact(parts).await?;
            head = Head::of(&self.table.get(&head_key(key)).await?.unwrap_or_default());
        }
        Err(Error::new(format!("the line of {key} is handed over by many at once")))
    }

    pub(crate) async fn first_in_line(&self, key: &str, count: usize) -> Result<Vec<RunId>> {
        let range = Range {
            index: Some(ARRIVAL),
            condition: "#pk = :pk AND #ticket > :zero",
            filter: None,
            values: vec![(":pk", s(partition(key))), (":zero", n(0))],
            consistent: true,
            backwards: false,
            limit: count,
            pages: 2,
        };
        let waiters = self.table.query(&range).await?;
        let runs = waiters.iter().filter_map(|waiter| text(waiter, "sk")?.strip_prefix("wait#"));
        Ok(runs.map(RunId::from_text).collect())
    }
}
