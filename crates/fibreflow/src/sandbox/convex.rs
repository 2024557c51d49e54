//! Convex: status 200 whatever happens, null refused where a field is optional.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use durable::seconds;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Fault, KEY,
    desk::{Desk, has, switchable},
    effects::Effect,
};

/// See the module.
#[derive(Debug)]
pub struct ConvexSandbox {
    pub(super) desk: Arc<Desk>,
}

switchable!(ConvexSandbox);

#[derive(Deserialize)]
struct Call {
    path: String,
    args: Value,
    format: String,
}

#[derive(Deserialize)]
struct Upsert {
    table: String,
    rows: Vec<Map<String, Value>>,
}

/// The tables, with the fields that a document must have.
const TABLES: [(&str, &[&str]); 2] = [
    ("contractors", &["neon_id", "company_name", "is_active"]),
    ("projects", &["neon_id", "name", "status"]),
];

/// The most documents that one call may write.
const LARGEST_CALL: usize = 100;

impl ConvexSandbox {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }

    pub(super) fn router(this: &Arc<Self>) -> Router {
        Router::new().route("/api/mutation", post(mutation)).with_state(this.clone())
    }

    /// The documents of a table, by `neon_id`.
    pub fn rows(&self, table: &str) -> BTreeMap<String, Map<String, Value>> {
        self.batches(table).into_iter().flatten().map(|row| (id(&row), row)).collect()
    }

    /// What was written to a table, in order, a batch each.
    pub fn batches(&self, table: &str) -> Vec<Vec<Map<String, Value>>> {
        self.desk.log.pick(|effect| match effect {
            Effect::Upserted { table: written, rows } if written == table => Some(rows.clone()),
            _ => None,
        })
    }

    fn upsert(&self, args: Value) -> Result<Value, String> {
        let Upsert { table, rows } = serde_json::from_value(args).map_err(|error| error.to_string())?;
        let (_, required) =
            TABLES.iter().find(|(name, _)| *name == table).ok_or_else(|| format!("no table {table}"))?;
        if rows.len() > LARGEST_CALL {
            return Err(format!("{} documents in one call", rows.len()));
        }
        for row in &rows {
            if let Some((field, _)) = row.iter().find(|(_, value)| value.is_null()) {
                return Err(format!("{table}.{field}: null does not match v.optional(v.string())"));
            }
            if let Some(field) = required.iter().find(|field| !row.contains_key(**field)) {
                return Err(format!("{table}.{field} is missing"));
            }
        }
        let known = self.rows(&table);
        let updated = rows.iter().filter(|row| known.contains_key(&id(row))).count();
        let inserted = rows.len() - updated;
        self.desk.log.act(|_| (Some(Effect::Upserted { table, rows }), ()));
        Ok(json!({ "inserted": inserted, "updated": updated }))
    }
}

fn id(row: &Map<String, Value>) -> String {
    row.get("neon_id").and_then(Value::as_str).unwrap_or_default().to_owned()
}

async fn mutation(
    State(convex): State<Arc<ConvexSandbox>>,
    fault: Option<Extension<Fault>>,
    headers: HeaderMap,
    Json(call): Json<Call>,
) -> Response {
    if !has(&headers, "authorization", &format!("Convex {KEY}")) {
        return (StatusCode::UNAUTHORIZED, "unauthorized").into_response();
    }
    convex.desk.take(seconds(1)).await;
    let done = match (&fault, call.path.as_str(), call.format.as_str()) {
        (Some(Extension(Fault::Refuse)), ..) => Err("switched on".to_owned()),
        (_, "sync:upsertBatch", "json") => convex.upsert(call.args),
        (_, path, _) => Err(format!("no function {path}")),
    };
    Json(match done {
        Ok(value) => json!({ "status": "success", "value": value }),
        // The reason stays in the deployment's own log.
        Err(reason) => {
            tracing::debug!(%reason, "the convex sandbox refuses a call");
            json!({ "status": "error", "errorMessage": "[Request ID: 2f1c0a9b7d3e4f56] Server Error" })
        }
    })
    .into_response()
}
