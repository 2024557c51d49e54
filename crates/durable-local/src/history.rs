//! Lists of runs and events, the audit trail, numbers.

use async_trait::async_trait;
use durable::{
    AuditEntry, AuditFilter, Checkpoint, Cursor, Envelope, EventFilter, History, Page, PageRequest, Result,
    Run, RunFilter, WorkflowStatistics,
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter, types::Value};

use crate::{
    bus, journal, search,
    store::{Store, json, ms, parsed, time},
    tallies,
};

/// At most so many runs of an event.
const RUNS_OF_EVENT: i64 = 100;

#[async_trait]
impl History for Store {
    async fn runs(&self, filter: &RunFilter, page: &PageRequest) -> Result<Page<Run>> {
        let (filter, size, after) = (filter.clone(), page.size(), after(page)?);
        let runs = self.look(move |db| {
            // Asked for only where a text may be a key without its workflow.
            let workflows = if filter.text.is_some() { workflows(db)? } else { Vec::new() };
            let query = search::runs(&filter, after, &workflows, size + 1);
            let mut statement = db.prepare_cached(&query.sql)?;
            let runs = statement
                .query_map(params_from_iter(query.values), |row| parsed(row.get_ref(0)?.as_str()?))?;
            runs.collect::<rusqlite::Result<Vec<Run>>>()
        });
        Ok(Page::of(runs.await?, size, |run| Cursor::of(run.created_at, run.id.as_str())))
    }

    async fn runs_of_events(&self, event_ids: &[String]) -> Result<Vec<Vec<Run>>> {
        let event_ids = event_ids.to_vec();
        self.look(move |db| {
            let mut query = db.prepare_cached(OF_EVENT)?;
            let mut of_each = |id: &String| {
                let runs =
                    query.query_map(params![id, RUNS_OF_EVENT], |row| parsed(row.get_ref(0)?.as_str()?))?;
                runs.collect::<rusqlite::Result<Vec<Run>>>()
            };
            event_ids.iter().map(&mut of_each).collect()
        })
        .await
    }

    async fn create(&self, run: &Run, records: &[Checkpoint]) -> Result<bool> {
        let (run, records) = (run.clone(), records.to_vec());
        self.write(move |db| journal::create(db, &run, &records)).await
    }

    async fn record(&self, events: &[Envelope]) -> Result<()> {
        let events = events.to_vec();
        self.write(move |db| events.iter().try_for_each(|event| bus::keep(db, event).map(drop))).await
    }

    async fn events(&self, filter: &EventFilter, page: &PageRequest) -> Result<Page<Envelope>> {
        let (filter, size, after) = (filter.clone(), page.size(), after(page)?);
        let events = self.look(move |db| {
            let (sql, values) = events(&filter, after, size + 1);
            let mut query = db.prepare_cached(&sql)?;
            query.query_map(params_from_iter(values), event)?.collect::<rusqlite::Result<Vec<_>>>()
        });
        Ok(Page::of(events.await?, size, |event| Cursor::of(event.sent_at, &event.id)))
    }

    async fn event(&self, id: &str) -> Result<Option<Envelope>> {
        let id = id.to_owned();
        self.look(move |db| {
            let mut query = db.prepare_cached("select id, name, data, sent_at from events where id = ?")?;
            query.query_row([id], event).optional()
        })
        .await
    }

    async fn note(&self, entry: &AuditEntry) -> Result<()> {
        let entry = entry.clone();
        self.write(move |db| {
            db.prepare_cached("insert or replace into audit (at, id, target, entry) values (?, ?, ?, ?)")?
                .execute(params![ms(entry.at), entry.id, entry.target, json(&entry)?])
                .map(drop)
        })
        .await
    }

    async fn audit(&self, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditEntry>> {
        let (filter, size, after) = (filter.clone(), page.size(), after(page)?);
        let entries = self.look(move |db| {
            let (sql, values) = audit(&filter, after, size + 1);
            let mut query = db.prepare_cached(&sql)?;
            let entries =
                query.query_map(params_from_iter(values), |row| parsed(row.get_ref(0)?.as_str()?))?;
            entries.collect::<rusqlite::Result<Vec<AuditEntry>>>()
        });
        Ok(Page::of(entries.await?, size, |entry| Cursor::of(entry.at, &entry.id)))
    }

    async fn statistics(
        &self,
        workflows: &[String],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<WorkflowStatistics>> {
        let workflows = workflows.to_vec();
        self.look(move |db| workflows.iter().map(|workflow| tallies::read(db, workflow, from, to)).collect())
            .await
    }
}

/// Where a page begins.
pub(crate) fn after(page: &PageRequest) -> Result<Option<(i64, String)>> {
    let parts = page.after.as_ref().map(Cursor::parts).transpose()?;
    Ok(parts.map(|(at, id)| (ms(at), id)))
}

pub(crate) const OF_EVENT: &str =
    "select run from runs indexed by runs_by_event where event_id = ? order by created_at, id limit ?";

/// The workflows that any run is of: one seek each, however many runs there are.
pub(crate) const WORKFLOWS: &str = "
with recursive names (name) as (
    select min(workflow) from runs
    union all
    select (select min(workflow) from runs where workflow > name) from names where name is not null
)
select name from names where name is not null";

pub(crate) fn workflows(db: &Connection) -> rusqlite::Result<Vec<String>> {
    db.prepare_cached(WORKFLOWS)?.query_map([], |row| row.get(0))?.collect()
}

fn event(row: &Row<'_>) -> rusqlite::Result<Envelope> {
    Ok(Envelope {
        id: row.get(0)?,
        name: row.get(1)?,
        data: parsed(row.get_ref(2)?.as_str()?)?,
        sent_at: time(row.get(3)?),
    })
}

pub(crate) fn events(
    filter: &EventFilter,
    after: Option<(i64, String)>,
    limit: usize,
) -> (String, Vec<Value>) {
    let mut parts = Parts::new("sent_at", filter.from, filter.before, after);
    let index = if filter.name.is_some() { "events_by_name" } else { "events_by_time" };
    parts.equal("name", filter.name.as_ref());
    parts.select("id, name, data, sent_at", &format!("events indexed by {index}"), limit)
}

pub(crate) fn audit(
    filter: &AuditFilter,
    after: Option<(i64, String)>,
    limit: usize,
) -> (String, Vec<Value>) {
    let mut parts = Parts::new("at", filter.from, filter.before, after);
    let index = if filter.target.is_some() { " indexed by audit_by_target" } else { "" };
    parts.equal("target", filter.target.as_ref());
    parts.select("entry", &format!("audit{index}"), limit)
}

/// A query for a page, the newest first.
struct Parts {
    time: &'static str,
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Parts {
    fn new(
        time: &'static str,
        from: Option<Timestamp>,
        before: Option<Timestamp>,
        after: Option<(i64, String)>,
    ) -> Self {
        let (mut conditions, mut values) = (vec!["true".to_owned()], Vec::new());
        for (bound, sign) in [(from, ">="), (before, "<")] {
            let Some(bound) = bound else { continue };
            conditions.push(format!("{time} {sign} ?"));
            values.push(ms(bound).into());
        }
        if let Some((at, id)) = after {
            conditions.push(format!("({time}, id) < (?, ?)"));
            values.extend([Value::from(at), Value::from(id)]);
        }
        Self { time, conditions, values }
    }

    fn equal(&mut self, column: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.conditions.push(format!("{column} = ?"));
            self.values.push(Value::from(value.clone()));
        }
    }

    fn select(mut self, columns: &str, table: &str, limit: usize) -> (String, Vec<Value>) {
        let (time, conditions) = (self.time, self.conditions.join(" and "));
        self.values.push(Value::from(i64::try_from(limit).unwrap_or(i64::MAX)));
        let sql =
            format!("select {columns} from {table} where {conditions} order by {time} desc, id desc limit ?");
        (sql, self.values)
    }
}
