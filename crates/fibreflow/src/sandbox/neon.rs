//! Neon in memory, for simulations, which cannot wait for sockets.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use durable::{Error, Result};
use serde_json::{Map, Value, json};

use crate::{
    mirror::{Problem, Row, Table},
    neon::{Neon, PAGE, Page, Span},
    vlm::Evaluation,
};

/// A database in memory. Its keys are in the order of their text; it knows no filters.
#[derive(Debug, Default)]
pub struct MemoryNeon(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    tables: BTreeMap<String, BTreeMap<String, Row>>,
    reviews: Vec<Evaluation>,
    failures: u32,
    reads: u32,
    stores: u32,
}

impl MemoryNeon {
    /// A database with so many rows.
    pub fn with_rows(contractors: u32, projects: u32) -> Self {
        let neon = Self::default();
        for n in 1..=contractors {
            let mut contractor =
                json!({ "company_name": format!("Contractor {n}"), "is_active": n % 5 != 0 });
            if n % 3 != 0 {
                contractor["status"] = "approved".into();
            }
            if n % 2 == 0 {
                contractor["email"] = format!("office@contractor{n}.example").into();
            }
            neon.put("contractors", &format!("c{n}"), contractor);
        }
        for n in 1..=projects {
            let project = json!({ "project_name": format!("Project {n}"), "status": "active" });
            neon.put("projects", &format!("p{n}"), project);
        }
        neon
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a row in, or in the place of another. Fields that are null are NULL.
    pub fn put(&self, table: &str, key: &str, values: Value) {
        let values = match values {
            Value::Object(values) => values.into_iter().filter(|(_, value)| !value.is_null()).collect(),
            _ => Map::new(),
        };
        let row = Row { key: key.to_owned(), values, problem: None };
        self.state().tables.entry(table.to_owned()).or_default().insert(key.to_owned(), row);
    }

    /// Puts a value into a row that Convex cannot hold.
    pub fn put_unrepresentable(&self, table: &str, key: &str, column: &str, reason: &str) {
        if let Some(row) = self.state().tables.get_mut(table).and_then(|rows| rows.get_mut(key)) {
            row.problem = Some(Problem { column: column.to_owned(), reason: reason.to_owned() });
        }
    }

    /// Deletes a row.
    pub fn delete(&self, table: &str, key: &str) {
        self.state().tables.get_mut(table).and_then(|rows| rows.remove(key));
    }

    /// Refuses the next `times` connections, as a database that sleeps does.
    pub fn refuse(&self, times: u32) {
        self.state().failures = times;
    }

    /// The evaluations that are stored: one a drop.
    pub fn reviews(&self) -> Vec<Evaluation> {
        self.state().reviews.clone()
    }

    /// How often a table was read that is there.
    pub fn reads(&self) -> u32 {
        self.state().reads
    }

    /// How often an evaluation was stored.
    pub fn stores(&self) -> u32 {
        self.state().stores
    }

    fn connect(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.failures > 0 {
            state.failures -= 1;
            return Err(Error::no_effect("Neon: error connecting to server: connection refused"));
        }
        Ok(state)
    }
}

#[async_trait]
impl Neon for MemoryNeon {
    async fn page(&self, table: &Table, span: &Span) -> Result<Page> {
        let mut state = self.connect()?;
        let Some(rows) = state.tables.get(&table.name) else {
            let problem = format!("Neon: table {}: there is no such table", table.name);
            return if table.optional {
                Ok(Page { absent: true, ..Page::default() })
            } else {
                Err(Error::fatal(problem))
            };
        };
        let most = if span.through.is_none() { PAGE } else { usize::MAX };
        let within = |key: &&String| {
            span.after.as_ref().is_none_or(|after| *key > after)
                && span.through.as_ref().is_none_or(|through| *key <= through)
        };
        let mut within = rows.iter().filter(|(key, _)| within(key)).map(|(_, row)| row.clone());
        let rows = within.by_ref().take(most).collect();
        let page = Page { rows, more: within.next().is_some(), absent: false };
        state.reads += 1;
        Ok(page)
    }

    async fn existing(&self, table: &Table, keys: &[String]) -> Result<HashSet<String>> {
        let state = self.connect()?;
        let rows = state.tables.get(&table.name);
        let is_there = |key: &&String| rows.is_some_and(|rows| rows.contains_key(*key));
        Ok(keys.iter().filter(is_there).cloned().collect())
    }

    async fn store(&self, evaluation: &Evaluation) -> Result<()> {
        let mut state = self.connect()?;
        state.stores += 1;
        state.reviews.retain(|review| review.dr_number != evaluation.dr_number);
        state.reviews.push(evaluation.clone());
        Ok(())
    }
}
