//! Lists of runs: an index of small items by workflow and time of creation, then the runs themselves.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use durable::{Envelope, Filter, Result, Run, RunId};
use futures::future::try_join_all;

use crate::{
    Aws,
    failure::failed,
    items::{Item, Key, json, required, s, text},
    runs::{self, LISTED, SHARDS},
    table::Range,
};

/// Requests for one partition of the index, each of up to 1 MB of its small items: 7,000 runs or so.
const PAGES: usize = 16;

/// The longest list: a person reads it.
const LONGEST: usize = 10_000;

/// A request fetches so many items.
const BATCH: usize = 100;

impl Aws {
    /// Runs, newest first. A list ends at 10,000 runs, and a filter that matches few looks at the newest 100,000 or so of
    /// each workflow.
    pub(crate) async fn list(&self, filter: &Filter) -> Result<Vec<Run>> {
        let limit = if filter.limit == 0 { LONGEST } else { filter.limit.min(LONGEST) };
        let workflows: Vec<&str> = match &filter.workflow {
            Some(workflow) => vec![workflow],
            None => self.settings.queues.keys().map(String::as_str).collect(),
        };
        let partitions =
            workflows.iter().flat_map(|workflow| (0..SHARDS).map(move |shard| format!("{workflow}#{shard}")));
        let queries = partitions.map(|partition| self.newest(partition, filter, limit));
        let mut found: Vec<_> = try_join_all(queries).await?.into_iter().flatten().collect();
        found.sort_unstable_by(|a, b| text(b, "list_at").cmp(&text(a, "list_at")));
        found.truncate(limit);
        let keys = found
            .iter()
            .map(|item| Ok(Key::new(required(item, "pk")?, "run")))
            .collect::<Result<Vec<_>>>()?;
        let items = self.fetch(&keys).await?;
        let apart = items.values().filter(|item| runs::event_is_apart(item));
        let apart =
            apart.map(|item| Ok(Key::new(required(item, "pk")?, "event"))).collect::<Result<Vec<_>>>()?;
        let events = self.fetch(&apart).await?;
        let mut listed = Vec::with_capacity(keys.len());
        // A run that is not found was deleted a moment ago.
        for item in keys.iter().filter_map(|key| items.get(&key.pk)) {
            let event = events.get(required(item, "pk")?);
            let event = event.map(|event| json::<Envelope>(event, "event")).transpose()?.flatten();
            listed.push(runs::run(item, event)?);
        }
        // The index may be a moment behind the runs.
        listed.retain(|run| filter.status.is_none_or(|status| run.status == status));
        Ok(listed)
    }

    async fn newest(&self, partition: String, filter: &Filter, limit: usize) -> Result<Vec<Item>> {
        let mut values = vec![(":partition", s(partition))];
        values.extend(filter.status.map(|status| (":status", s(status.as_str()))));
        let range = Range {
            index: Some(LISTED),
            condition: "#list_shard = :partition",
            filter: filter.status.map(|_| "#status = :status"),
            values,
            consistent: false,
            backwards: true,
            limit,
            pages: PAGES,
        };
        self.table.query(&range).await
    }

    /// Items by partition; those that are not there are left out.
    pub(crate) async fn fetch(&self, keys: &[Key]) -> Result<HashMap<String, Item>> {
        let batches = keys.chunks(BATCH).map(|keys| self.fetch_batch(keys));
        Ok(try_join_all(batches).await?.into_iter().flatten().collect())
    }

    async fn fetch_batch(&self, keys: &[Key]) -> Result<Vec<(String, Item)>> {
        let mut found = Vec::new();
        let mut left: Vec<Item> = keys.iter().map(Key::item).collect();
        while !left.is_empty() {
            let wanted = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(true).build()?;
            let request =
                self.clients.dynamodb().batch_get_item().request_items(&self.settings.table, wanted);
            let output = request.send().await.map_err(|error| failed("DynamoDB: BatchGetItem", error))?;
            for item in output.responses.into_iter().flat_map(HashMap::into_values).flatten() {
                found.push((required(&item, "pk")?.to_owned(), item));
            }
            // An answer holds up to 16 MB; the rest is asked for again.
            let rest = output.unprocessed_keys.and_then(|mut rest| rest.remove(&self.settings.table));
            left = rest.map(|rest| rest.keys).unwrap_or_default();
        }
        Ok(found)
    }

    /// Which of these runs have ended, or do not exist any more.
    pub(crate) async fn no_longer_alive(&self, runs: &[RunId]) -> Result<Vec<RunId>> {
        let keys: Vec<_> = runs.iter().map(runs::key).collect();
        let items = self.fetch(&keys).await?;
        let mut ended = Vec::new();
        for run in runs {
            let is_alive = match items.get(&runs::partition(run)) {
                Some(item) => !runs::status(item)?.is_final(),
                None => false,
            };
            if !is_alive {
                ended.push(run.clone());
            }
        }
        Ok(ended)
    }
}
