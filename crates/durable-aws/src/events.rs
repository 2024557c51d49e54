//! Events of the past, and what they started.

use std::collections::HashMap;

use durable::{Envelope, EventFilter, Page, PageRequest, Result, Run, RunId, after};

use crate::{
    Aws,
    index::{Wanted, below, place_of},
    items::{Change, members, n, ss},
    recorder::{key, listed, partition},
    runs::{self, SHARDS},
};

/// At most so many runs of an event.
const RUNS_OF_EVENT: usize = 100;

impl Aws {
    pub(crate) async fn find_event(&self, id: &str) -> Result<Option<Envelope>> {
        Ok(self.kept_events(&[id.to_owned()]).await?.pop())
    }

    pub(crate) async fn list_events(
        &self,
        filter: &EventFilter,
        page: &PageRequest,
    ) -> Result<Page<Envelope>> {
        let (size, name) = (page.size(), filter.name.as_deref());
        let wanted = Wanted {
            partitions: (0..SHARDS).map(|shard| listed(name, shard)).collect(),
            of_table: name.is_some(),
            from: filter.from,
            below: below(page, filter.before)?,
            ..Wanted::default()
        };
        let (listed, next) = self.slice(&wanted, size + 1).await?.cut(size);
        let ids = listed.iter().filter_map(|item| Some(place_of(item).split_once('#')?.1.to_owned()));
        let ids: Vec<_> = ids.collect();
        let events = self.kept_events(&ids).await?;
        let mut events: HashMap<_, _> = events.into_iter().map(|event| (event.id.clone(), event)).collect();
        Ok(Page { items: ids.iter().filter_map(|id| events.remove(id)).collect(), next })
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
