//! Lists of runs: an index of small items by workflow and time of creation, then the runs themselves.

use durable::{Cursor, Envelope, Page, PageRequest, Result, Run, RunFilter, RunId, Status};

use crate::{
    Aws,
    index::{Wanted, below, cursor, place_of},
    items::{Item, Key, json, required},
    runs::{self, SHARDS},
};

/// How often a page looks at another hundred runs for those that its filter wants.
const ROUNDS: usize = 10;

/// How many runs are looked at in a round.
const BATCH: usize = 100;

/// The length of a whole id.
const WHOLE: usize = 32;

impl Aws {
    /// A page of runs, the newest first. What the index knows (workflow, time, status) is found there; what only the runs
    /// themselves say is looked for among up to 1,000 of them a page.
    pub(crate) async fn list(&self, filter: &RunFilter, page: &PageRequest) -> Result<Page<Run>> {
        let below = below(page, filter.before)?;
        if let Some(known) = self.known_by_name(filter).await? {
            return Ok(page_of(known, filter, below.as_deref(), page.size()));
        }
        let is_narrow = filter.event_id.is_some()
            || filter.event_name.is_some()
            || filter.key.is_some()
            || filter.text.is_some();
        let size = page.size();
        let ahead = if is_narrow { BATCH.max(size) } else { size + 1 };
        let statuses = filter.statuses.iter().map(|status| status.as_str()).collect();
        let mut wanted =
            Wanted { partitions: self.partitions(&filter.workflows), statuses, from: filter.from, below };
        let mut found: Vec<Run> = Vec::new();
        for _ in 0..ROUNDS {
            let slice = self.slice(&wanted, ahead).await?;
            for items in slice.items.chunks(ahead) {
                let runs = self.runs_of(items).await?;
                found.extend(runs.into_iter().filter(|run| filter.matches(run)));
                if found.len() > size {
                    return Ok(Page::of(found, size, cursor_of));
                }
            }
            wanted.below = slice.frontier;
            if wanted.below.is_none() {
                break;
            }
        }
        Ok(Page { items: found, next: wanted.below.as_deref().map(cursor) })
    }

    /// The partitions of the index that hold these workflows' runs; without any, those of all workflows there are.
    pub(crate) fn partitions(&self, workflows: &[String]) -> Vec<String> {
        let known = self.settings.queues.keys();
        let names: Vec<&String> =
            if workflows.is_empty() { known.collect() } else { workflows.iter().collect() };
        names
            .iter()
            .flat_map(|workflow| (0..SHARDS).map(move |shard| format!("{workflow}#{shard}")))
            .collect()
    }

    /// The runs that a filter names by an id: their own, or their event's. `None` when it does not.
    async fn known_by_name(&self, filter: &RunFilter) -> Result<Option<Vec<Run>>> {
        let of_event = async |id: &str| {
            let runs = self.started_by(&[id.to_owned()], &filter.workflows).await?;
            Ok::<_, durable::Error>(runs.into_iter().flatten().collect::<Vec<_>>())
        };
        if let Some(id) = &filter.event_id {
            return of_event(id).await.map(Some);
        }
        let Some(text) = &filter.text else { return Ok(None) };
        if text.len() == WHOLE
            && let Some(item) = self.table.get(&runs::key(&RunId::from_text(text))).await?
        {
            return Ok(Some(vec![self.read(&item).await?]));
        }
        let runs = of_event(text).await?;
        Ok(if runs.is_empty() { None } else { Some(runs) })
    }

    /// The runs of these items of the index, in their order. One that is not found was deleted a moment ago.
    async fn runs_of(&self, listed: &[Item]) -> Result<Vec<Run>> {
        let keys = listed
            .iter()
            .map(|item| Ok(Key::new(required(item, "pk")?, "run")))
            .collect::<Result<Vec<_>>>()?;
        self.fetch_runs(&keys).await
    }

    /// These runs, in their order; those that are not there are left out.
    pub(crate) async fn fetch_runs(&self, keys: &[Key]) -> Result<Vec<Run>> {
        let items = self.fetch(keys).await?;
        let apart = items.values().filter(|item| runs::event_is_apart(item));
        let apart =
            apart.map(|item| Ok(Key::new(required(item, "pk")?, "event"))).collect::<Result<Vec<_>>>()?;
        let events = self.fetch(&apart).await?;
        let mut found = Vec::with_capacity(keys.len());
        for item in keys.iter().filter_map(|key| items.get(&key.pk)) {
            let event = events.get(required(item, "pk")?);
            let event = event.map(|event| json::<Envelope>(event, "event")).transpose()?.flatten();
            found.push(runs::run(item, event)?);
        }
        Ok(found)
    }

    /// The oldest run of all that have not started, among the newest 10,000 of these or so.
    pub(crate) async fn oldest_queued(&self) -> Result<Option<RunId>> {
        let partitions = self.partitions(&[]);
        let wanted = Wanted { partitions, statuses: vec![Status::Queued.as_str()], ..Wanted::default() };
        let slice = self.slice(&wanted, 10_000).await?;
        let oldest = slice.items.iter().min_by_key(|item| place_of(item));
        oldest.map(|item| Ok(RunId::from_text(required(item, "pk")?.trim_start_matches("run#")))).transpose()
    }
}

fn cursor_of(run: &Run) -> Cursor {
    Cursor::of(run.created_at, run.id.as_str())
}

/// A page of runs that are all here.
fn page_of(mut runs: Vec<Run>, filter: &RunFilter, below: Option<&str>, size: usize) -> Page<Run> {
    let place = |run: &Run| crate::recorder::place(run.created_at, run.id.as_str());
    runs.retain(|run| filter.matches(run) && below.is_none_or(|below| place(run).as_str() < below));
    runs.sort_unstable_by_key(|run| std::cmp::Reverse(place(run)));
    Page::of(runs, size, cursor_of)
}
