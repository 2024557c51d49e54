//! Neon's rows as Convex's documents, in batches.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::neon::{Contractor, Project, Snapshot};

/// The most rows in a batch.
pub const ROWS: usize = 100;

/// Rows of one table that are pushed together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Convex's table.
    pub table: String,
    /// At most [`ROWS`] documents, each with its `neon_id`.
    pub rows: Vec<Map<String, Value>>,
}

/// All rows, in order, in as few batches as there can be.
pub fn batches(snapshot: &Snapshot) -> Vec<Batch> {
    let contractors = in_batches("contractors", snapshot.contractors.iter().map(contractor).collect());
    contractors
        .into_iter()
        .chain(in_batches("projects", snapshot.projects.iter().map(project).collect()))
        .collect()
}

fn in_batches(table: &str, rows: Vec<Map<String, Value>>) -> Vec<Batch> {
    rows.chunks(ROWS).map(|rows| Batch { table: table.to_owned(), rows: rows.to_vec() }).collect()
}

fn contractor(row: &Contractor) -> Map<String, Value> {
    without_nulls(json!({
        "neon_id": row.id,
        "company_name": row.company_name,
        "status": row.status,
        "is_active": row.is_active,
        "email": row.email,
        "phone": row.phone,
    }))
}

fn project(row: &Project) -> Map<String, Value> {
    without_nulls(json!({
        "neon_id": row.id,
        "name": row.project_name,
        "description": row.description,
        "status": row.status,
    }))
}

/// An optional field of Convex's may be absent but not null.
fn without_nulls(document: Value) -> Map<String, Value> {
    match document {
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn snapshot(contractors: usize, projects: usize) -> Snapshot {
        let contractor = |n| Contractor {
            id: format!("c{n}"),
            company_name: "Lightspeed Trenching".into(),
            status: None,
            is_active: true,
            email: None,
            phone: Some("+27821234567".into()),
        };
        let project = |n| Project {
            id: format!("p{n}"),
            project_name: "Lawley".into(),
            description: None,
            status: "active".into(),
        };
        Snapshot {
            contractors: (0..contractors).map(contractor).collect(),
            projects: (0..projects).map(project).collect(),
        }
    }

    #[test]
    fn nulls_are_left_out() {
        let batches = batches(&snapshot(1, 0));
        let row = json!({"neon_id": "c0", "company_name": "Lightspeed Trenching", "is_active": true, "phone": "+27821234567"});
        assert_eq!(Value::Object(batches[0].rows[0].clone()), row);
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_batch_and_in_order(contractors in 0..350_usize, projects in 0..350_usize) {
            let batches = batches(&snapshot(contractors, projects));
            prop_assert!(batches.iter().all(|batch| (1..=ROWS).contains(&batch.rows.len())));
            prop_assert_eq!(batches.len(), contractors.div_ceil(ROWS) + projects.div_ceil(ROWS));
            let ids: Vec<_> = batches.iter().flat_map(|batch| &batch.rows).map(|row| row["neon_id"].as_str().unwrap().to_owned()).collect();
            let expected: Vec<_> =
                (0..contractors).map(|n| format!("c{n}")).chain((0..projects).map(|n| format!("p{n}"))).collect();
            prop_assert_eq!(ids, expected);
        }
    }
}
