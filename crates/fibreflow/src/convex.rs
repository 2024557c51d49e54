//! Convex, the mirror of the databases that the applications read.

mod batch;

use durable::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use batch::{Batch, ROWS, batches};

use crate::http::{self, Endpoint};

/// Writes to a Convex deployment.
#[derive(Debug, Clone)]
pub struct Convex {
    endpoint: Endpoint,
}

/// What a batch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// Rows that were new.
    pub inserted: u32,
    /// Rows that were there already.
    pub updated: u32,
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
    },
}

impl Convex {
    /// The deployment at an address that accepts `Authorization: Convex <key>`.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// Puts rows into their table, each where its `neon_id` is or else as a new one: pushing a batch again changes nothing.
    pub async fn push(&self, batch: &Batch) -> Result<Pushed> {
        let args = json!({ "table": batch.table, "rows": batch.rows });
        let value = self.mutation("sync:upsertBatch", args).await?;
        serde_json::from_value(value)
            .map_err(|error| Error::fatal(format!("sync:upsertBatch answered otherwise: {error}")))
    }

    async fn mutation(&self, path: &str, args: Value) -> Result<Value> {
        let body = json!({ "path": path, "args": args, "format": "json" });
        match http::json(&self.endpoint.post("/api/mutation", &body).await?)? {
            Answer::Success { value } => Ok(value),
            Answer::Error { error_message } => Err(Error::new(format!("Convex {path}: {error_message}"))),
        }
    }
}
