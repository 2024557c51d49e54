//! Convex, the mirror of the databases that the applications read.
//!
//! The functions that are called here are in `infra/convex`. Beside each document Convex keeps a record of it in
//! `syncRecords`, written in the same transaction, with the hash of what was stored: so what is known to be there is there,
//! whatever happened to the sync that stored it, and to compare a page costs reading small records and no document.

mod push;

use durable::{Error, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub use push::Pushed;

use crate::{
    http::{self, Endpoint},
    mirror::{Document, Refusal, Table},
};

/// The most rows that one call writes.
pub const ROWS: usize = 100;

/// The most rows that one call reads about.
pub const KEYS: usize = 500;

/// Writes to a Convex deployment.
#[derive(Debug, Clone)]
pub struct Convex {
    endpoint: Endpoint,
}

/// Keys of rows that are mirrored, in the mirror's order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Keys {
    /// At most [`KEYS`] of them, without those that are marked as removed.
    pub keys: Vec<String>,
    /// The last key that was looked at, when there are more.
    pub next: Option<String>,
}

/// What a sync did with the rows of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows in Neon.
    pub read: u64,
    /// Rows that were new or had changed, and are mirrored now.
    pub changed: u64,
    /// Rows that were mirrored as they are.
    pub unchanged: u64,
    /// Rows that are gone from Neon, and are marked so now.
    pub removed: u64,
    /// Rows that could not be mirrored. The next sync tries them again.
    pub refused: u64,
}

/// Every answer of Convex's has status 200; whether it worked is in the body.
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Answer {
    Success {
        value: Value,
    },
    #[serde(rename_all = "camelCase")]
    Error {
        error_message: String,
        /// What the function itself said. The message alone hides it, outside of development.
        error_data: Option<Value>,
    },
}

/// Why a function did not do what it was asked.
struct Refused(String);

impl Convex {
    /// The deployment at an address that accepts `Authorization: Convex <key>`.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// The hash that each of these rows is mirrored with; none for one that is not, or has been removed or refused since.
    pub async fn hashes(&self, table: &Table, keys: &[&str]) -> Result<Vec<Option<String>>> {
        let hashes: Vec<Option<String>> =
            self.ask("query", "sync:hashes", json!({ "table": table.target(), "neonIds": keys })).await?;
        if hashes.len() == keys.len() {
            return Ok(hashes);
        }
        Err(Error::fatal(format!("Convex sync:hashes: {} answers to {} keys", hashes.len(), keys.len())))
    }

    /// The rows that are mirrored, from a key on.
    pub async fn keys(&self, table: &Table, after: Option<&str>) -> Result<Keys> {
        let mut args = json!({ "table": table.target(), "limit": KEYS });
        if let Some(after) = after {
            args["after"] = after.into();
        }
        self.ask("query", "sync:keys", args).await
    }

    /// Marks rows as removed, at most [`ROWS`] of them: again changes nothing.
    pub async fn remove(&self, table: &Table, keys: &[String]) -> Result<()> {
        self.ask::<Value>("mutation", "sync:removeBatch", json!({ "table": table.target(), "neonIds": keys }))
            .await
            .map(drop)
    }

    /// Notes which rows were refused and why, so that their hashes do not count any more.
    pub async fn record_refused(&self, table: &Table, refused: &[Refusal]) -> Result<()> {
        for refused in refused.chunks(ROWS) {
            let failed = |refusal: &Refusal| json!({ "neonId": refusal.key, "syncStatus": "failed", "errorMessage": refusal.reason });
            self.record(table, refused.iter().map(failed).collect()).await?;
        }
        Ok(())
    }

    /// Notes what a sync did with a table.
    pub async fn record_counts(&self, table: &Table, counts: &Counts, stopped: bool) -> Result<()> {
        let status = if counts.refused == 0 && !stopped { "success" } else { "failed" };
        self.record(table, vec![json!({ "syncStatus": status, "counts": counts })]).await
    }

    async fn record(&self, table: &Table, records: Vec<Value>) -> Result<()> {
        let args = json!({ "table": table.target(), "records": records });
        self.ask::<Value>("mutation", "sync:recordSync", args).await.map(drop)
    }

    /// The value that a function answers with. That it refuses is an error that may pass.
    async fn ask<T: DeserializeOwned>(&self, kind: &str, path: &str, args: Value) -> Result<T> {
        match self.call(kind, path, args).await? {
            Ok(value) => serde_json::from_value(value)
                .map_err(|error| Error::fatal(format!("Convex {path} answered otherwise: {error}"))),
            Err(Refused(reason)) => Err(Error::new(format!("Convex {path}: {reason}"))),
        }
    }

    async fn call(&self, kind: &str, path: &str, args: Value) -> Result<Result<Value, Refused>> {
        let body = json!({ "path": path, "args": args, "format": "json" });
        let reply = self.endpoint.post(&format!("/api/{kind}"), &body).await?;
        Ok(match http::json(&reply)? {
            Answer::Success { value } => Ok(value),
            Answer::Error { error_data: Some(Value::String(reason)), .. } => Err(Refused(reason)),
            Answer::Error { error_message, .. } => Err(Refused(error_message)),
        })
    }

    async fn upsert(&self, table: &Table, documents: &[Document]) -> Result<Result<Value, Refused>> {
        let mut args = json!({ "table": table.target(), "rows": documents });
        // Fields that a row no longer has are cleared; those that are not the mirror's are left alone.
        if let Some(columns) = &table.columns {
            args["fields"] = columns.iter().map(crate::mirror::Column::field).collect();
        }
        self.call("mutation", "sync:upsertBatch", args).await
    }
}
