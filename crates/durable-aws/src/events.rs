//! Events of the past, and what they started.

use std::collections::HashMap;

use durable::{Envelope, EventFilter, Page, PageRequest, Result, Run, RunId, after};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Aws,
    index::{Wanted, below},
    items::{Change, Item, Key, members, n, parsed, required, ss, text, time},
    recorder::{listed, partition},
    runs::{self, SHARDS},
};

/// At most so many runs of an event.
const RUNS_OF_EVENT: usize = 100;

fn key(id: &str) -> Key {
    Key::new(partition(id), "event")
}

impl Aws {
    pub(crate) async fn find_event(&self, id: &str) -> Result<Option<Envelope>> {
        let Some(item) = self.table.get(&key(id)).await? else { return Ok(None) };
        let apart = match text(&item, "data") {
            Some(_) => None,
            None => self.table.get(&Key::new(partition(id), "data")).await?,
        };
        event(&item, apart.as_ref())
    }

    pub(crate) async fn list_events(
        &self,
        filter: &EventFilter,
        page: &PageRequest,
    ) -> Result<Page<Envelope>> {
        let (size, name) = (page.size(), filter.name.as_deref());
        let wanted = Wanted {
            partitions: (0..SHARDS).map(|shard| listed(name, shard)).collect(),
            from: filter.from,
            below: below(page, filter.before)?,
            ..Wanted::default()
        };
        let (listed, next) = self.slice(&wanted, size + 1).await?.cut(size);
        let keys = listed.iter().map(|item| Ok(Key::new(required(item, "pk")?, "event")));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let items = self.fetch(&keys).await?;
        let apart = items.iter().filter(|(_, item)| !item.contains_key("data"));
        let apart: Vec<_> = apart.map(|(pk, _)| Key::new(pk, "data")).collect();
        let apart = self.fetch(&apart).await?;
        let mut events = Vec::with_capacity(keys.len());
        for key in &keys {
            let Some(item) = items.get(&key.pk) else { continue };
            events.extend(event(item, apart.get(&key.pk))?);
        }
        Ok(Page { items: events, next })
    }

    /// For each event, the runs it started, reruns included: those whose ids are made of it, and those it names.
    pub(crate) async fn started_by(&self, events: &[String], workflows: &[String]) -> Result<Vec<Vec<Run>>> {
        let known = self.settings.queues.keys().chain(workflows);
        let names: std::collections::BTreeSet<_> = known.collect();
        let keys: Vec<_> = events.iter().map(|id| key(id)).collect();
        let items = self.fetch(&keys).await?;
        let ids = |id: &String| {
            let reruns = items.get(&partition(id)).map(|item| members(item, "reruns")).unwrap_or_default();
            let made = names.iter().map(|workflow| RunId::of(workflow, id));
            made.chain(reruns.into_iter().map(RunId::from_text)).take(RUNS_OF_EVENT).collect::<Vec<_>>()
        };
        let ids: Vec<_> = events.iter().map(ids).collect();
        let keys: Vec<_> = ids.iter().flatten().map(runs::key).collect();
        let runs = self.fetch_runs(&keys).await?;
        let runs: HashMap<_, _> = runs.into_iter().map(|run| (run.id.clone(), run)).collect();
        let of_each = |ids: &Vec<RunId>| {
            let mut of_one: Vec<_> = ids.iter().filter_map(|id| runs.get(id)).cloned().collect();
            of_one.sort_by_key(|run| (run.created_at.as_millisecond(), run.id.clone()));
            of_one
        };
        Ok(ids.iter().map(of_each).collect())
    }

    /// Notes on an event that a run of it was run again.
    pub(crate) async fn note_rerun(&self, run: &Run) -> Result<()> {
        let expires_at = after(self.clock.now(), self.settings.retention);
        let change = Change {
            key: key(&run.event.id),
            update: "SET #expires_at = if_not_exists(#expires_at, :expires_at) ADD #reruns :run".to_owned(),
            condition: String::new(),
            values: vec![(":expires_at", n(expires_at.as_second())), (":run", ss([run.id.to_string()]))],
        };
        self.table.update(&change).await.map(drop)
    }
}

/// The event of an item; `None` for one that only names reruns.
fn event(item: &Item, apart: Option<&Item>) -> Result<Option<Envelope>> {
    let Some(name) = text(item, "name") else { return Ok(None) };
    let Some(data) = text(item, "data").or_else(|| text(apart?, "data")) else { return Ok(None) };
    Ok(Some(Envelope {
        id: required(item, "pk")?.trim_start_matches("event#").to_owned(),
        name: name.to_owned(),
        data: parsed::<Value>("data", data)?,
        sent_at: time(item, "sent_at").unwrap_or(Timestamp::UNIX_EPOCH),
    }))
}
