//! The documents, and what is recorded about them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::effects::Effect;

/// A row as it is pushed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the argument of that name")]
pub struct StoredRow {
    pub neon_id: String,
    pub hash: String,
    pub fields: Map<String, Value>,
}

impl StoredRow {
    pub(super) fn document(&self) -> Map<String, Value> {
        let mut document = self.fields.clone();
        document.insert("neon_id".to_owned(), self.neon_id.clone().into());
        document
    }
}

/// A document of `syncRecords`, as far as a sync knows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the record's field of that name")]
pub struct SyncRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neon_id: Option<String>,
    pub sync_status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<i64>,
}

/// All tables.
#[derive(Debug, Default)]
pub(super) struct Tables(BTreeMap<String, Table>);

#[derive(Debug, Default)]
struct Table {
    documents: BTreeMap<String, Map<String, Value>>,
    records: BTreeMap<String, SyncRecord>,
}

impl Tables {
    /// Does what an effect says. Nothing that fails ever becomes one.
    pub(super) fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Upserted { table, fields, rows, .. } => {
                let table = self.0.entry(table.clone()).or_default();
                for row in rows {
                    table.upsert(fields.as_deref(), row);
                }
            }
            Effect::Removed { table, neon_ids, at } => {
                let table = self.0.entry(table.clone()).or_default();
                for id in neon_ids {
                    table.remove(id, at.as_millisecond());
                }
            }
            Effect::SyncRecorded { table, records } => {
                let table = self.0.entry(table.clone()).or_default();
                for record in records {
                    table.records.insert(record.neon_id.clone().unwrap_or_default(), record.clone());
                }
            }
            _ => {}
        }
    }

    pub(super) fn documents(&self, table: &str) -> BTreeMap<String, Map<String, Value>> {
        self.0.get(table).map(|table| table.documents.clone()).unwrap_or_default()
    }

    pub(super) fn records(&self, table: &str) -> BTreeMap<String, SyncRecord> {
        self.0.get(table).map(|table| table.records.clone()).unwrap_or_default()
    }

    /// The hash that a row was stored with, unless it was removed or refused since.
    pub(super) fn hash(&self, table: &str, neon_id: &str) -> Option<&str> {
        self.0.get(table)?.records.get(neon_id)?.content_hash.as_deref()
    }

    /// Keys of rows that are not removed, and from where to go on.
    pub(super) fn keys(
        &self,
        table: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<String>, Option<String>) {
        let Some(table) = self.0.get(table) else { return (Vec::new(), None) };
        let after = after.unwrap_or_default();
        let mut looked_at = table.records.iter().filter(|(key, _)| key.as_str() > after);
        let page: Vec<_> = looked_at.by_ref().take(limit).collect();
        let next = looked_at.next().and(page.last().map(|(key, _)| (*key).clone()));
        let live = page.into_iter().filter(|(_, record)| record.removed_at.is_none());
        (live.map(|(key, _)| key.clone()).collect(), next)
    }
}

impl Table {
    fn upsert(&mut self, fields: Option<&[String]>, row: &StoredRow) {
        let document = self.documents.entry(row.neon_id.clone()).or_default();
        match fields {
            Some(fields) => fields.iter().for_each(|field| drop(document.remove(field))),
            None => document.clear(),
        }
        for mark in ["is_active", "removed_at"] {
            document.remove(mark);
        }
        document.extend(row.document());
        let record = SyncRecord {
            neon_id: Some(row.neon_id.clone()),
            sync_status: "success".to_owned(),
            content_hash: Some(row.hash.clone()),
            ..SyncRecord::default()
        };
        self.records.insert(row.neon_id.clone(), record);
    }

    fn remove(&mut self, neon_id: &str, at: i64) {
        let Some(document) = self.documents.get_mut(neon_id) else {
            // It was refused, and never was there.
            self.records.remove(neon_id);
            return;
        };
        if !document.contains_key("removed_at") {
            document.insert("is_active".to_owned(), false.into());
            document.insert("removed_at".to_owned(), at.into());
        }
        let record = SyncRecord {
            neon_id: Some(neon_id.to_owned()),
            sync_status: "success".to_owned(),
            removed_at: Some(at),
            ..SyncRecord::default()
        };
        self.records.insert(neon_id.to_owned(), record);
    }
}
