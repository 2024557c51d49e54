//! Convex: status 200 whatever happens, all rows of a call or none, null refused where a field is optional.
//!
//! Its functions do what those in `infra/convex` do.

mod schema;
mod tables;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use durable::seconds;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    Fault, KEY,
    desk::{Desk, has, switchable},
    effects::Effect,
};
use tables::Tables;

pub use tables::{StoredRow, SyncRecord};

/// See the module.
#[derive(Debug)]
pub struct ConvexSandbox {
    pub(super) desk: Arc<Desk>,
    tables: Mutex<Tables>,
    /// Rows that it refuses, as a validator of its own would.
    refused: Mutex<HashSet<String>>,
}

switchable!(ConvexSandbox);

#[derive(Deserialize)]
struct Call {
    path: String,
    args: Value,
    format: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Hashes {
    table: String,
    neon_ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    table: String,
    after: Option<String>,
    limit: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Upsert {
    table: String,
    fields: Option<Vec<String>>,
    rows: Vec<StoredRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    table: String,
    records: Vec<SyncRecord>,
}

/// The most documents that one call may write.
const LARGEST_CALL: usize = 100;

impl ConvexSandbox {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        let mut tables = Tables::default();
        desk.log.pick(|effect| {
            tables.apply(effect);
            None::<()>
        });
        Self { desk, tables: Mutex::new(tables), refused: Mutex::default() }
    }

    pub(super) fn router(this: &Arc<Self>) -> Router {
        Router::new().route("/api/{kind}", post(call)).with_state(this.clone())
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, HashSet<String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses the row with this `neon_id` from now on, whatever is in it.
    pub fn refuse_row(&self, neon_id: &str) {
        self.refused().insert(neon_id.to_owned());
    }

    /// Refuses no row any more.
    pub fn accept_all_rows(&self) {
        self.refused().clear();
    }

    /// The documents of a table, by `neon_id`, those included that are marked as removed.
    pub fn rows(&self, table: &str) -> BTreeMap<String, Map<String, Value>> {
        self.tables().documents(table)
    }

    /// The documents of a table that are not marked as removed, by `neon_id`.
    pub fn live(&self, table: &str) -> BTreeMap<String, Map<String, Value>> {
        let mut rows = self.rows(table);
        rows.retain(|_, row| !row.contains_key("removed_at"));
        rows
    }

    /// What is in `syncRecords` about the rows of a table, and under the empty key about the last sync of it.
    pub fn records(&self, table: &str) -> BTreeMap<String, SyncRecord> {
        self.tables().records(table)
    }

    /// What was written to a table, in order, a batch each.
    pub fn batches(&self, table: &str) -> Vec<Vec<Map<String, Value>>> {
        self.desk.log.pick(|effect| match effect {
            Effect::Upserted { table: written, rows, .. } if written == table => {
                Some(rows.iter().map(StoredRow::document).collect())
            }
            _ => None,
        })
    }

    fn act(&self, effect: Effect) {
        let mut tables = self.tables();
        tables.apply(&effect);
        self.desk.log.act(|_| (Some(effect), ()));
    }

    fn answer(&self, kind: &str, path: &str, args: Value) -> Result<Value, String> {
        match (kind, path) {
            ("query", "sync:hashes") => self.hashes(args),
            ("query", "sync:keys") => self.keys(args),
            ("mutation", "sync:upsertBatch") => self.upsert(args),
            ("mutation", "sync:removeBatch") => self.remove(args),
            ("mutation", "sync:recordSync") => self.record(args),
            _ => Err(format!("no {kind} {path}")),
        }
    }

    fn hashes(&self, args: Value) -> Result<Value, String> {
        let Hashes { table, neon_ids } = read(args)?;
        let tables = self.tables();
        Ok(neon_ids.iter().map(|id| tables.hash(&table, id)).collect())
    }

    fn keys(&self, args: Value) -> Result<Value, String> {
        let Keys { table, after, limit } = read(args)?;
        let (keys, next) = self.tables().keys(&table, after.as_deref(), limit);
        Ok(json!({ "keys": keys, "next": next }))
    }

    fn upsert(&self, args: Value) -> Result<Value, String> {
        let Upsert { table, fields, rows } = read(args)?;
        schema::knows(&table)?;
        if rows.len() > LARGEST_CALL {
            return Err(format!("{} documents in one call", rows.len()));
        }
        for row in &rows {
            let named = |problem: String| format!("{table} {}: {problem}", row.neon_id);
            schema::check(&table, &row.document()).map_err(named)?;
            if self.refused().contains(&row.neon_id) {
                return Err(named("refused, as switched on".to_owned()));
            }
        }
        let known = self.rows(&table);
        let updated = rows.iter().filter(|row| known.contains_key(&row.neon_id)).count();
        let inserted = rows.len() - updated;
        if !rows.is_empty() {
            self.act(Effect::Upserted { table, fields, rows, at: self.desk.now() });
        }
        Ok(json!({ "inserted": inserted, "updated": updated }))
    }

    fn remove(&self, args: Value) -> Result<Value, String> {
        let Hashes { table, neon_ids } = read(args)?;
        if neon_ids.len() > LARGEST_CALL {
            return Err(format!("{} documents in one call", neon_ids.len()));
        }
        let live = self.live(&table);
        let removed = neon_ids.iter().filter(|id| live.contains_key(*id)).count();
        self.act(Effect::Removed { table, neon_ids, at: self.desk.now() });
        Ok(json!({ "removed": removed }))
    }

    fn record(&self, args: Value) -> Result<Value, String> {
        let Record { table, records } = read(args)?;
        if records.len() > LARGEST_CALL {
            return Err(format!("{} documents in one call", records.len()));
        }
        self.act(Effect::SyncRecorded { table, records });
        Ok(Value::Null)
    }
}

fn read<T: DeserializeOwned>(args: Value) -> Result<T, String> {
    serde_json::from_value(args).map_err(|error| error.to_string())
}

async fn call(
    State(convex): State<Arc<ConvexSandbox>>,
    Path(kind): Path<String>,
    fault: Option<Extension<Fault>>,
    headers: HeaderMap,
    Json(call): Json<Call>,
) -> Response {
    if !has(&headers, "authorization", &format!("Convex {KEY}")) {
        return (StatusCode::UNAUTHORIZED, "unauthorized").into_response();
    }
    convex.desk.take(seconds(1)).await;
    // The reason stays in the deployment's own log.
    if matches!(fault, Some(Extension(Fault::Refuse))) {
        return Json(error()).into_response();
    }
    let done = match call.format.as_str() {
        "json" => convex.answer(&kind, &call.path, call.args),
        format => Err(format!("no format {format}")),
    };
    Json(match done {
        Ok(value) => json!({ "status": "success", "value": value }),
        // What a function itself has to say comes as data.
        Err(reason) => {
            tracing::debug!(%reason, "the convex sandbox refuses a call");
            let mut error = error();
            error["errorData"] = reason.into();
            error
        }
    })
    .into_response()
}

fn error() -> Value {
    json!({ "status": "error", "errorMessage": "[Request ID: 2f1c0a9b7d3e4f56] Server Error" })
}

#[cfg(test)]
mod tests {
    use durable::testing::Simulation;

    use super::*;
    use crate::sandbox::{Sandbox, Scene};

    /// The functions in `infra/convex` are held to the same file.
    #[test]
    fn each_call_answers_as_the_scenario_says() {
        let scenario = include_str!("../../../../infra/convex/tests/scenario.json");
        let scenario: Value = serde_json::from_str(scenario).unwrap();
        let sandbox = Sandbox::open(Scene::new(Simulation::default().clock())).unwrap();
        let convex = sandbox.convex();
        for call in scenario["calls"].as_array().unwrap() {
            let path = call["path"].as_str().unwrap();
            let kind = if ["sync:hashes", "sync:keys"].contains(&path) { "query" } else { "mutation" };
            match (convex.answer(kind, path, call["args"].clone()), call["refused"].as_str()) {
                (Ok(answer), None) => assert_eq!(answer, call["answer"], "{call}"),
                (Err(reason), Some(refused)) => assert!(reason.contains(refused), "{reason}: {call}"),
                (answer, _) => panic!("{answer:?}: {call}"),
            }
        }
        for (table, expected) in scenario["documents"].as_object().unwrap() {
            let mut documents: Vec<_> = convex.rows(table).into_values().collect();
            for document in &mut documents {
                if document.remove("removed_at").is_some() {
                    document.insert("removed".into(), true.into());
                }
            }
            assert_eq!(json!(documents), *expected, "{table}");
        }
    }
}
