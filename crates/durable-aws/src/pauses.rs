//! Pauses: an item a workflow. A run that waits for the end of one is in the index `due`, in partitions of their own.
//!
//! The end of a pause wakes the first thousand at once. The item stays, marked as ended, until the caretaker has found
//! none left for longer than any invocation lasts: so a run that was suspended at that very moment, or that the index
//! showed late, is woken as well.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use durable::{Pause, Pauses, Result, RunId, Wakeups, after, minutes, seconds};
use futures::future::try_join_all;
use jiff::Timestamp;

use crate::{
    Aws,
    items::{Change, Item, Key, ms, required, s, text, time},
    runs::{self, DUE, SHARDS, shard},
    table::{Outcome, Range},
};

/// How old an answer may be that costs no request.
const FRESH: Duration = seconds(15);

/// A run that was woken is looked at again after this long, should the wake-up be lost.
const AGAIN: Duration = minutes(15);

/// Nobody suspends a run for a pause that ended so long ago.
const QUIET: Duration = minutes(20);

/// How many runs of a partition are woken at once.
const WOKEN: usize = 250;

/// What this process knows of pauses.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<String, Arc<Answer>>>);

/// Whether a workflow is paused, and when that was asked.
type Answer = tokio::sync::Mutex<Option<(Timestamp, bool)>>;

impl Known {
    /// Whoever holds it asks for all who want to know the same.
    fn of(&self, workflow: &str) -> Arc<Answer> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(workflow.to_owned()).or_default().clone()
    }
}

/// The partition in which a run waits for the end of a pause.
pub(crate) fn shard_of(run: &RunId) -> String {
    format!("paused#{}", shard(run.as_str()))
}

fn key(workflow: &str) -> Key {
    Key::new("control", format!("pause#{workflow}"))
}

fn is_on(item: Option<&Item>) -> bool {
    item.is_some_and(|item| !item.contains_key("ended_at"))
}

#[async_trait]
impl Pauses for Aws {
    async fn is_paused(&self, workflow: &str, fresh: bool) -> Result<bool> {
        let known = self.pauses.of(workflow);
        let mut known = known.lock().await;
        let now = self.clock.now();
        if let Some((_, paused)) = known.filter(|(asked_at, _)| !fresh && after(*asked_at, FRESH) > now) {
            return Ok(paused);
        }
        let paused = is_on(self.table.get(&key(workflow)).await?.as_ref());
        *known = Some((now, paused));
        Ok(paused)
    }

    async fn pause(&self, pause: &Pause) -> Result<bool> {
        let change = Change {
            key: key(&pause.workflow),
            update: "SET #since = :since, #by = :by REMOVE #ended_at".to_owned(),
            condition: "attribute_not_exists(pk) OR attribute_exists(#ended_at)".to_owned(),
            values: vec![(":since", ms(pause.since)), (":by", s(&pause.by))],
        };
        Ok(matches!(self.table.update(&change).await?, Outcome::Done(_)))
    }

    async fn unpause(&self, workflow: &str, now: Timestamp) -> Result<bool> {
        let change = Change {
            key: key(workflow),
            update: "SET #ended_at = :now".to_owned(),
            condition: "attribute_exists(pk) AND attribute_not_exists(#ended_at)".to_owned(),
            values: vec![(":now", ms(now))],
        };
        if let Outcome::Refused(_) = self.table.update(&change).await? {
            return Ok(false);
        }
        self.wake_the_paused(workflow).await?;
        Ok(true)
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        let items = self.pause_items().await?;
        items.iter().filter(|item| is_on(Some(item))).map(read).collect()
    }
}

fn read(item: &Item) -> Result<Pause> {
    Ok(Pause {
        workflow: workflow_of(item)?.to_owned(),
        since: time(item, "since").unwrap_or(Timestamp::UNIX_EPOCH),
        by: text(item, "by").unwrap_or_default().to_owned(),
    })
}

fn workflow_of(item: &Item) -> Result<&str> {
    Ok(required(item, "sk")?.trim_start_matches("pause#"))
}

impl Aws {
    async fn pause_items(&self) -> Result<Vec<Item>> {
        let range = Range {
            index: None,
            condition: "#pk = :pk AND begins_with(#sk, :pause)",
            filter: None,
            values: vec![(":pk", s("control")), (":pause", s("pause#"))],
            consistent: true,
            backwards: false,
            limit: 1_000,
            pages: 2,
        };
        self.table.query(&range).await
    }

    /// Wakes what pauses that have ended left asleep. Answers how many.
    pub(crate) async fn tend_pauses(&self, now: Timestamp) -> Result<usize> {
        let mut woken = 0;
        for item in self.pause_items().await? {
            let Some(ended_at) = time(&item, "ended_at") else { continue };
            let workflow = workflow_of(&item)?;
            let left = self.wake_the_paused(workflow).await?;
            woken += left;
            if left == 0 && after(ended_at, QUIET) <= now {
                let condition = "#ended_at = :seen".to_owned();
                let values = vec![(":seen", ms(ended_at))];
                let change = Change { key: key(workflow), update: String::new(), condition, values };
                // Refused when it was paused again.
                self.table.transact(vec![change.deletion(&self.table.name)?]).await?;
            }
        }
        Ok(woken)
    }

    async fn wake_the_paused(&self, workflow: &str) -> Result<usize> {
        let queries = (0..SHARDS).map(|shard| async move {
            let range = Range {
                index: Some(DUE),
                condition: "#due_shard = :shard",
                filter: Some("#workflow = :workflow"),
                values: vec![(":shard", s(format!("paused#{shard}"))), (":workflow", s(workflow))],
                consistent: false,
                backwards: false,
                limit: WOKEN,
                pages: 4,
            };
            self.table.query(&range).await
        });
        let mut asleep: Vec<_> = try_join_all(queries).await?.into_iter().flatten().collect();
        asleep.sort_by_key(|item| time(item, "due_at"));
        // A few at a time, so that they come in order of arrival, give or take.
        for some in asleep.chunks(10) {
            try_join_all(some.iter().map(|item| self.wake_from_pause(workflow, item))).await?;
        }
        Ok(asleep.len())
    }

    async fn wake_from_pause(&self, workflow: &str, item: &Item) -> Result<()> {
        let run = RunId::from_text(required(item, "pk")?.trim_start_matches("run#"));
        let now = self.clock.now();
        self.wake(workflow, &run, now).await?;
        // From here on, the caretaker minds it like any run that is to be woken.
        let change = Change {
            key: runs::key(&run),
            update: "SET #due_shard = :due_shard, #due_at = :later".to_owned(),
            condition: "#due_shard = :paused".to_owned(),
            values: vec![
                (":due_shard", s(runs::due_shard(&run))),
                (":later", ms(after(now, AGAIN))),
                (":paused", s(shard_of(&run))),
            ],
        };
        self.table.update(&change).await.map(drop)
    }
}
