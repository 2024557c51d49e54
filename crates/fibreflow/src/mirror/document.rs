//! A row of Neon's as a document of Convex's.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Table, tables::is_identifier};

/// The largest document, in bytes of JSON. Convex takes a mebibyte, counted a little otherwise.
pub const LARGEST: usize = 1_000_000;

/// A row of Neon's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Its key, as text.
    pub key: String,
    /// Its values under Neon's names, without those that are NULL.
    pub values: Map<String, Value>,
    /// The first value that cannot be written exactly, if there is one.
    pub problem: Option<Problem>,
}

/// A value that cannot be written exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Neon's column.
    pub column: String,
    /// Why. Never the value: it may be somebody's.
    pub reason: String,
}

/// A row that is not mirrored until it, or what it is mirrored to, changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The row's key.
    pub key: String,
    /// Why, and where in the row if that is known.
    pub reason: String,
}

/// What Convex is to hold of a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// The row's key.
    #[serde(rename = "neonId")]
    pub key: String,
    /// What is the same as long as the fields are: 128 bits of their SHA-256, in hexadecimal.
    pub hash: String,
    /// The fields, without `neon_id`.
    pub fields: Map<String, Value>,
}

impl Table {
    /// What Convex is to hold of a row: renamed, with defaults, and without NULLs, which no optional field takes.
    pub fn document(&self, row: Row) -> Result<Document, Refusal> {
        let Row { key, mut values, problem } = row;
        let refuse = |key, reason| Err(Refusal { key, reason });
        if let Some(Problem { column, reason }) = problem {
            return refuse(key, format!("column {column}: {reason}"));
        }
        let fields = if let Some(columns) = &self.columns {
            let field = |column: &super::Column| {
                let value = values.remove(&column.name).or_else(|| column.default.clone())?;
                Some((column.field().to_owned(), value))
            };
            columns.iter().filter_map(field).collect()
        } else {
            values.remove(&self.key);
            values
        };
        if let Some(field) = fields.keys().find(|field| self.columns.is_none() && !is_identifier(field)) {
            let reason = format!("column {field}: is no name for a field; list the columns, with \"to\"");
            return refuse(key, reason);
        }
        let json = Value::Object(fields);
        let text = json.to_string();
        if text.len() > LARGEST {
            return refuse(key, format!("{} bytes are too many for a document", text.len()));
        }
        let hash = hex::encode(&Sha256::digest(&text)[..16]);
        let Value::Object(fields) = json else { return refuse(key, "no document".to_owned()) };
        Ok(Document { key, hash, fields })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mirror::Tables;

    fn row(values: Value) -> Row {
        let Value::Object(values) = values else { panic!("{values}") };
        Row { key: "7".into(), values, problem: None }
    }

    fn table(json: &str) -> Table {
        Tables::read(Some(&format!(r#"{{"tables": [{json}]}}"#))).unwrap().tables.remove(0)
    }

    #[test]
    fn a_row_is_renamed_and_filled_and_nothing_is_null() {
        let tables = Tables::read(None).unwrap().tables;
        let contractor =
            tables[0].document(row(json!({"company_name": "Karoo", "town": "left out"}))).unwrap();
        assert_eq!(Value::Object(contractor.fields), json!({"company_name": "Karoo", "is_active": false}));
        let project = tables[1].document(row(json!({"project_name": "Lawley", "status": "active"}))).unwrap();
        assert_eq!(Value::Object(project.fields), json!({"name": "Lawley", "status": "active"}));
    }

    #[test]
    fn the_hash_is_of_the_fields_and_nothing_else() {
        let hash = |json: &str, values: Value| table(json).document(row(values)).unwrap().hash;
        let all = r#"{"name": "poles"}"#;
        let first = hash(all, json!({"id": 7, "height": 9}));
        assert_eq!(first, hash(all, json!({"id": 8, "height": 9})));
        assert_eq!(
            first,
            hash(r#"{"name": "poles", "columns": ["height"]}"#, json!({"height": 9, "more": 1}))
        );
        assert_ne!(first, hash(all, json!({"id": 7, "height": 9.5})));
        assert_ne!(first, hash(all, json!({"id": 7, "size": 9})));
    }

    #[test]
    fn what_no_document_can_hold_is_refused() {
        let refused = |row: Row| table(r#"{"name": "poles"}"#).document(row).unwrap_err().reason;
        assert!(refused(row(json!({"size m": 1}))).contains("column size m"));
        assert!(refused(row(json!({"note": "x".repeat(LARGEST)}))).contains("too many"));
        let problem = Problem { column: "height".into(), reason: "NaN is no finite number".into() };
        let row = Row { problem: Some(problem), ..row(json!({})) };
        assert_eq!(refused(row), "column height: NaN is no finite number");
    }
}
