//! Lists of runs and events, the audit trail.

use std::sync::Arc;

use async_trait::async_trait;
use durable::{
    AuditEntry, AuditFilter, Checkpoint, Cursor, Definition, Desk, Envelope, EventFilter, History, Page,
    PageRequest, Ports, Result, Run, RunFilter, Status, WorkflowStatistics,
};
use futures::future::try_join_all;
use jiff::Timestamp;

use crate::{
    Aws,
    commit::StepRecord,
    index::{Wanted, below, cursor, place_of},
    items::{Item, Key, creation, json, n, required, s},
    recorder::place,
    runs::{self, SHARDS, shard},
    table::Transacted,
};

/// How many records are written at once.
const AT_ONCE: usize = 16;

impl Aws {
    /// What people see and steer, with these workflows.
    pub fn desk(self: &Arc<Self>, ports: Ports, definitions: Arc<[Definition]>) -> Desk {
        Desk {
            ports,
            history: self.clone(),
            keys: self.clone(),
            dead_letters: self.clone(),
            vitals: self.clone(),
            definitions,
        }
    }
}

#[async_trait]
impl History for Aws {
    async fn runs(&self, filter: &RunFilter, page: &PageRequest) -> Result<Page<Run>> {
        self.list(filter, page).await
    }

    async fn runs_of_events(&self, event_ids: &[String]) -> Result<Vec<Vec<Run>>> {
        self.started_by(event_ids, &[]).await
    }

    async fn create(&self, run: &Run, records: &[Checkpoint]) -> Result<bool> {
        if self.table.get(&runs::key(&run.id)).await?.is_some() {
            return Ok(false);
        }
        // The run comes last: it is not there before all that it begins with is, and whoever died in the middle writes the
        // same again.
        if run.rerun_of.is_some() {
            self.note_rerun(run).await?;
        }
        let records = records.iter().enumerate();
        let records = records.map(|(n, record)| StepRecord::new(&run.id, record, n as u64));
        for some in records.collect::<Result<Vec<_>>>()?.chunks(AT_ONCE) {
            let changes: Vec<_> = some.iter().map(StepRecord::change).collect();
            try_join_all(changes.iter().map(|change| self.table.update(change))).await?;
        }
        let (item, event) = queued(run, self.clock.now())?;
        let parts = [Some(item), event].into_iter().flatten();
        let parts = parts.map(|item| creation(&self.table.name, item)).collect::<Result<Vec<_>>>()?;
        Ok(matches!(self.table.transact(parts).await?, Transacted::Done))
    }

    async fn record(&self, events: &[Envelope]) -> Result<()> {
        self.keep_events(events).await
    }

    async fn events(&self, filter: &EventFilter, page: &PageRequest) -> Result<Page<Envelope>> {
        self.list_events(filter, page).await
    }

    async fn event(&self, id: &str) -> Result<Option<Envelope>> {
        self.find_event(id).await
    }

    async fn note(&self, entry: &AuditEntry) -> Result<()> {
        let list_at = place(entry.at, &entry.id);
        let text = serde_json::to_string(entry)?;
        // One item is listed with all lines, one with those of its target.
        for (sk, list_shard) in [
            ("all", format!("@audit#{}", shard(&entry.id))),
            ("target", format!("@audit/{}#{}", entry.target, shard(&entry.id))),
        ] {
            let mut item = Key::new(format!("audit#{list_at}"), sk).item();
            let attributes = [("entry", s(&text)), ("list_shard", s(list_shard)), ("list_at", s(&list_at))];
            item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
            self.table.put(item, "", Vec::new()).await?;
        }
        Ok(())
    }

    async fn audit(&self, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditEntry>> {
        let (size, target) = (page.size(), filter.target.as_deref());
        let kind = target.map_or("@audit".to_owned(), |target| format!("@audit/{target}"));
        let wanted = Wanted {
            partitions: (0..SHARDS).map(|shard| format!("{kind}#{shard}")).collect(),
            from: filter.from,
            below: below(page, filter.before)?,
            ..Wanted::default()
        };
        let slice = self.slice(&wanted, size + 1).await?;
        let (listed, next) = slice.cut(size);
        let keys = listed.iter().map(|item| Ok(Key::new(required(item, "pk")?, "all")));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let items = self.fetch(&keys).await?;
        let entries = keys.iter().filter_map(|key| items.get(&key.pk));
        let entries = entries.map(|item| json::<AuditEntry>(item, "entry")).collect::<Result<Vec<_>>>()?;
        Ok(Page { items: entries.into_iter().flatten().collect(), next })
    }

    async fn statistics(
        &self,
        workflows: &[String],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<WorkflowStatistics>> {
        self.measured(workflows, from, to).await
    }
}

impl crate::index::Slice {
    /// At most so many items, and where the next page begins.
    pub(crate) fn cut(mut self, size: usize) -> (Vec<Item>, Option<Cursor>) {
        let more = self.items.len() > size;
        self.items.truncate(size);
        let last = self.items.last().filter(|_| more).map(|item| place_of(item).to_owned());
        let next = last.or(self.frontier);
        (self.items, next.as_deref().map(cursor))
    }
}

/// The item of a run that is created and waits for its first wake-up, and its event's item, when that is large. Should the
/// wake-up be lost, the caretaker sees that it is due.
fn queued(run: &Run, now: Timestamp) -> Result<(Item, Option<Item>)> {
    let (mut item, event) = runs::created(run, now, "")?;
    item.remove("lease_until");
    item.remove("holder");
    item.insert("status".to_owned(), s(Status::Queued.as_str()));
    item.insert("epoch".to_owned(), n(0));
    Ok((item, event))
}
