//! What is put in order every minute, whoever died in the middle of what.
//!
//! A pass makes a bounded number of requests. What it does not reach, the next one does: the index `due` has the longest
//! overdue first.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, WriteRequest};
use durable::{Result, RunId, Wakeups, after, minutes};
use futures::future::try_join_all;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    Aws, commit,
    failure::failed,
    head::{Head, head_key},
    items::{Change, Item, Key, ms, number, required, s, text, time},
    metrics,
    runs::{self, DUE, SHARDS},
    table::{Outcome, Range},
};

/// A wake-up may be so late before anybody doubts that it comes, and a lease so long over.
const GRACE: Duration = minutes(2);

/// A run that was woken is not woken again for so long: its queue may be long.
const AGAIN: Duration = minutes(15);

/// How often a line is looked at.
const LINE: Duration = minutes(5);

/// A line that nobody has used for so long may be evened out or forgotten: nobody is between two writes any more.
const QUIET: Duration = minutes(20);

/// How many runs, lines and ended runs a pass takes from each partition of the index.
const RUNS: usize = 100;
const LINES: usize = 50;
const ENDED: usize = 50;

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Runs woken whose lease had expired, whose wake-up was overdue, or whose workflow's pause has ended.
    pub woken: usize,
    /// Slots freed whose run had ended.
    pub released: usize,
    /// Runs woken that have a slot and may not know it.
    pub handed: usize,
    /// Runs deleted whose retention had passed.
    pub forgotten: usize,
}

/// Makes one pass.
pub async fn sweep(aws: &Aws) -> Result<Swept> {
    let now = aws.clock.now();
    let mut swept = Swept { woken: aws.wake_the_overdue(now).await?, ..Swept::default() };
    swept.woken += aws.tend_pauses(now).await?;
    aws.tend_lines(now, &mut swept).await?;
    swept.forgotten = aws.forget_the_ended(now).await?;
    aws.note_sweep(now).await?;
    Ok(swept)
}

/// Where it is noted that a pass was made.
pub(crate) fn sweep_key() -> Key {
    Key::new("control", "sweep")
}

impl Aws {
    async fn note_sweep(&self, now: Timestamp) -> Result<()> {
        let mut item = sweep_key().item();
        item.insert("at".to_owned(), ms(now));
        self.table.put(item, "", Vec::new()).await.map(drop)
    }

    /// How many runs, of up to 1,000, nobody has woken or taken over in time.
    #[cfg(feature = "console")]
    pub(crate) async fn overdue(&self, now: Timestamp) -> Result<usize> {
        Ok(self.due("run", before(now, GRACE), 1_000 / SHARDS as usize).await?.len())
    }

    /// What is due in the index: in each partition of this kind, the first so many.
    async fn due(&self, kind: &str, before: Timestamp, limit: usize) -> Result<Vec<Item>> {
        let queries = (0..SHARDS).map(|shard| async move {
            let range = Range {
                index: Some(DUE),
                condition: "#due_shard = :shard AND #due_at <= :before",
                filter: None,
                values: vec![(":shard", s(format!("{kind}#{shard}"))), (":before", ms(before))],
                consistent: false,
                backwards: false,
                limit,
                pages: 2,
            };
            self.table.query(&range).await
        });
        Ok(try_join_all(queries).await?.into_iter().flatten().collect())
    }

    async fn wake_the_overdue(&self, now: Timestamp) -> Result<usize> {
        let due = self.due("run", before(now, GRACE), RUNS).await?;
        let woken = due.iter().map(|item| async move {
            let run = run_of(item)?;
            self.wake(required(item, "workflow")?, &run, now).await?;
            let put_off = Change {
                key: runs::key(&run),
                update: "SET #due_at = :later".to_owned(),
                condition: "#due_at = :seen".to_owned(),
                values: vec![(":later", ms(after(now, AGAIN))), (":seen", seen(item, "due_at"))],
            };
            tracing::warn!(%run, "woken: its lease had expired, or its wake-up was overdue");
            self.table.update(&put_off).await
        });
        Ok(try_join_all(woken).await?.len())
    }

    async fn tend_lines(&self, now: Timestamp, swept: &mut Swept) -> Result<()> {
        let due = self.due("line", before(now, LINE), LINES).await?;
        let keys = due.iter().map(|item| Ok(Key::new(required(item, "pk")?, "head")));
        let heads = self.fetch(&keys.collect::<Result<Vec<_>>>()?).await?;
        for (workflow, (held, waiting)) in lines_by_workflow(&heads) {
            metrics::lines(workflow, held, waiting, now);
        }
        for (partition, item) in &heads {
            let key = partition.trim_start_matches("line#");
            let limit = number(item, "slots").and_then(|limit| limit.try_into().ok()).unwrap_or(1);
            let head = Head::of(item);
            let holders: Vec<_> = head.held.iter().map(RunId::from_text).collect();
            let gone = self.no_longer_alive(&holders).await?;
            for run in &gone {
                self.give_slot_back(key, limit, run).await?;
                swept.released += 1;
            }
            let head = if gone.is_empty() { head } else { self.head(key).await? };
            let head = self.hand_over(key, limit, &RunId::from_text("caretaker"), head).await?;
            // Whoever handed these over may have died before the wake-up was sent.
            let handed: Vec<_> = head.handed.iter().map(|(run, _)| RunId::from_text(run)).collect();
            swept.handed += self.wake_all(&handed, now).await?;
            self.tidy(key, item, &head, now).await?;
        }
        Ok(())
    }

    async fn head(&self, key: &str) -> Result<Head> {
        Ok(Head::of(&self.table.get(&head_key(key)).await?.unwrap_or_default()))
    }

    async fn wake_all(&self, runs: &[RunId], now: Timestamp) -> Result<usize> {
        let keys: Vec<_> = runs.iter().map(runs::key).collect();
        let items = self.fetch(&keys).await?;
        let woken = items
            .values()
            .map(|item| async move { self.wake(required(item, "workflow")?, &run_of(item)?, now).await });
        Ok(try_join_all(woken).await?.len())
    }

    /// A line that has been quiet is forgotten when it is idle, and evened out when tickets were drawn and never used; any
    /// other is looked at again later.
    async fn tidy(&self, key: &str, item: &Item, head: &Head, now: Timestamp) -> Result<()> {
        let quiet = time(item, "used_at").is_none_or(|used_at| after(used_at, QUIET) <= now);
        let unchanged = "#used_at = :seen AND attribute_not_exists(#held)";
        let used_at = vec![(":seen", seen(item, "used_at"))];
        let key = head_key(key);
        let (update, condition, values) = if quiet && head.is_idle() {
            let idle = format!("{unchanged} AND (attribute_not_exists(#tickets) OR #tickets = #gone)");
            let change = Change { key, update: String::new(), condition: idle, values: used_at };
            // Refused when somebody has come since.
            self.table.transact(vec![change.deletion(&self.table.name)?]).await?;
            return Ok(());
        } else if quiet && head.held.is_empty() {
            ("SET #gone = #tickets", unchanged.to_owned(), used_at)
        } else {
            ("SET #due_at = :now", "attribute_exists(pk)".to_owned(), vec![(":now", ms(now))])
        };
        let change = Change { key, update: update.to_owned(), condition, values };
        let _: Outcome = self.table.update(&change).await?;
        Ok(())
    }

    async fn forget_the_ended(&self, now: Timestamp) -> Result<usize> {
        let due = self.due("ended", now, ENDED).await?;
        for item in &due {
            self.forget(&run_of(item)?).await?;
        }
        Ok(due.len())
    }

    /// Deletes a run: what its records keep in the blob store, its records, and last the run itself, so that one that was
    /// cut off is found again.
    async fn forget(&self, run: &RunId) -> Result<()> {
        let partition = runs::partition(run);
        let range = Range {
            index: None,
            condition: "#pk = :pk",
            filter: None,
            values: vec![(":pk", s(&partition))],
            consistent: true,
            backwards: false,
            limit: usize::MAX,
            pages: usize::MAX,
        };
        let items = self.table.query(&range).await?;
        let mut keys = Vec::with_capacity(items.len());
        for item in &items {
            if let Some(durable::Payload::Blob { key, .. }) = runs::payload(item)? {
                self.delete_blob(&key).await?;
            }
            let sk = required(item, "sk")?;
            if sk.starts_with(commit::STEP) || sk == "event" {
                keys.push(Key::new(&partition, sk));
            }
        }
        self.delete(&keys).await?;
        self.delete(&[runs::key(run)]).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<()> {
        for batch in keys.chunks(25) {
            let mut left = batch
                .iter()
                .map(|key| {
                    let delete = DeleteRequest::builder().set_key(Some(key.item())).build()?;
                    Ok(WriteRequest::builder().delete_request(delete).build())
                })
                .collect::<Result<Vec<_>>>()?;
            while !left.is_empty() {
                let request = self.clients.dynamodb().batch_write_item();
                let output = request.request_items(&self.settings.table, left).send().await;
                let output = output.map_err(|error| failed("DynamoDB: BatchWriteItem", error))?;
                let rest = output.unprocessed_items.and_then(|mut rest| rest.remove(&self.settings.table));
                left = rest.unwrap_or_default();
            }
        }
        Ok(())
    }
}

fn before(now: Timestamp, time: Duration) -> Timestamp {
    now.checked_sub(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn run_of(item: &Item) -> Result<RunId> {
    Ok(RunId::from_text(required(item, "pk")?.trim_start_matches("run#")))
}

/// An attribute as it was seen, for the condition that it still is so.
fn seen(item: &Item, name: &str) -> AttributeValue {
    item.get(name).cloned().unwrap_or_else(|| s(text(item, name).unwrap_or_default()))
}
/// How many slots are held and how many runs wait for one, by workflow: what comes before a key's first colon.
fn lines_by_workflow(heads: &HashMap<String, Item>) -> BTreeMap<&str, (u64, u64)> {
    let mut lines = BTreeMap::new();
    for (partition, item) in heads {
        let (key, head) = (partition.trim_start_matches("line#"), Head::of(item));
        let workflow = key.split(':').next().unwrap_or(key);
        let line: &mut (u64, u64) = lines.entry(workflow).or_default();
        line.0 += head.held.len() as u64;
        line.1 += (head.tickets - head.gone).unsigned_abs();
    }
    lines
}
