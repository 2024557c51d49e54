//! Many items at once.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use durable::{Result, RunId};
use futures::future::try_join_all;

use crate::{
    Aws,
    failure::failed,
    items::{Item, Key, required},
    runs,
};

/// A request fetches so many items.
const BATCH: usize = 100;

impl Aws {
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
