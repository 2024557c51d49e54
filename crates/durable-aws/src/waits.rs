//! Who waits for which event, in DynamoDB.
//!
//! A wait is an item in the partition of its key, and its shape one in that of its event's name; both go when the wait's time is
//! up. All reads are consistent: of a wait and an event that come at the same moment, the later one sees the other.

use std::collections::HashMap;

use async_trait::async_trait;
use durable::{Envelope, Result, Shape, Wait, Waits, after, hours};
use futures::future::try_join_all;
use jiff::Timestamp;

use crate::{
    Aws,
    items::{Change, Item, Key, json, n, s, text},
    recorder::{self, place},
    runs::SHARDS,
    table::Range,
};

/// More events of one name than this since a run began are not looked through: 4 partitions of up to 1 MB each.
const PAGES: usize = 8;

/// More waits of one key than this are not answered: 1 MB a page.
const WAITS: usize = 10_000;

fn key(wait: &Wait) -> Key {
    let step = wait.step.as_ref().map(ToString::to_string).unwrap_or_default();
    Key::new(format!("wait#{}", wait.key()), format!("{}#{step}", wait.run))
}

fn shapes(event: &str) -> String {
    format!("shapes#{event}")
}

#[async_trait]
impl Waits for Aws {
    async fn wait_for(&self, wait: &Wait) -> Result<Option<Envelope>> {
        let last = wait.until.unwrap_or_else(|| after(self.clock.now(), self.settings.retention));
        // TTL removes items late, never early; a clock may be.
        let expires_at = |at: Timestamp| ("expires_at".to_owned(), n(at.as_second()));
        let mut item = key(wait).item();
        item.extend([
            ("wait".to_owned(), s(serde_json::to_string(wait)?)),
            expires_at(after(last, hours(24))),
        ]);
        // One that is used again must outlast its last use.
        let mut shape = Key::new(shapes(&wait.event), format!("shape#{}", wait.shape().text())).item();
        shape.extend([expires_at(after(last, self.settings.retention))]);
        // First the shape: a wait whose shape is not known is not found.
        self.table.put(shape, "", Vec::new()).await?;
        self.table.put(item, "", Vec::new()).await?;
        self.first_accepted(wait).await
    }

    async fn no_longer(&self, wait: &Wait) -> Result<()> {
        let condition = "attribute_exists(pk)".to_owned();
        let change = Change { key: key(wait), update: String::new(), condition, values: Vec::new() };
        self.table.transact(vec![change.deletion(&self.table.name)?]).await.map(drop)
    }

    async fn waiting_for(&self, event: &Envelope) -> Result<Vec<Wait>> {
        let shapes = self.items_of(shapes(&event.name)).await?;
        let shapes = shapes.iter().filter_map(|item| text(item, "sk")?.strip_prefix("shape#"));
        let keys = shapes.filter_map(|shape| Shape::from_text(shape).key_of(event));
        let waits = try_join_all(keys.map(|key| self.items_of(format!("wait#{key}")))).await?;
        waits.iter().flatten().filter_map(|item| json(item, "wait").transpose()).collect()
    }
}

impl Aws {
    async fn items_of(&self, partition: String) -> Result<Vec<Item>> {
        let range = Range {
            index: None,
            condition: "#pk = :pk",
            filter: None,
            values: vec![(":pk", s(partition))],
            consistent: true,
            backwards: false,
            limit: WAITS,
            pages: PAGES,
        };
        self.table.query(&range).await
    }

    /// The first event of the history that a wait accepts.
    async fn first_accepted(&self, wait: &Wait) -> Result<Option<Envelope>> {
        let parts = (0..SHARDS).map(|shard| self.since(&wait.event, shard, wait.since));
        let mut listed: Vec<_> = try_join_all(parts).await?.into_iter().flatten().collect();
        listed.sort_unstable();
        let ids: Vec<_> =
            listed.iter().filter_map(|place| Some(place.split_once('#')?.1.to_owned())).collect();
        let mut events: HashMap<_, _> = HashMap::new();
        for event in self.kept_events(&ids).await? {
            events.insert(event.id.clone(), event);
        }
        Ok(ids.iter().filter_map(|id| events.get(id)).find(|event| wait.accepts(event)).cloned())
    }

    /// The places of the events of a name that were sent at this time or later.
    async fn since(&self, event: &str, shard: u32, since: Timestamp) -> Result<Vec<String>> {
        let range = Range {
            index: None,
            condition: "#pk = :pk AND #sk >= :since",
            filter: None,
            values: vec![(":pk", s(recorder::listed(Some(event), shard))), (":since", s(place(since, "")))],
            consistent: true,
            backwards: false,
            limit: WAITS,
            pages: PAGES,
        };
        let items = self.table.query(&range).await?;
        Ok(items.iter().filter_map(|item| text(item, "sk")).map(str::to_owned).collect())
    }
}
