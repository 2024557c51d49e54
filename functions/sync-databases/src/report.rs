//! What a sync did, counted and told.

use std::fmt::Write;

use fibreflow::{convex::Counts, mirror::Refusal};
use serde::{Deserialize, Serialize};

use crate::{
    mirror::{Batch, Changes, Fetched},
    removals::Removals,
};

/// A table of which so many rows are refused has something wrong with it as a whole: the sync goes on to the next one.
const HOPELESS: u64 = 1_000;

/// How many refused rows are named, of each step and of each table. All are named in `syncRecords`.
const NAMED: usize = 3;

/// What a sync did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    /// The counts of all tables together.
    #[serde(flatten)]
    pub counts: Counts,
    /// The tables, in the order in which they were mirrored.
    pub tables: Vec<TableSynced>,
    /// Tables that Neon does not have, and need not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables_absent: Vec<String>,
}

/// What a sync did with a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSynced {
    /// Convex's name for it.
    pub table: String,
    /// The counts.
    #[serde(flatten)]
    pub counts: Counts,
    /// Some of the rows that were refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    /// Rows that are gone from Neon and were left as they are, since so many cannot have been deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
}

/// Rows that were left as they are though they are gone from Neon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// How many.
    pub rows: u64,
    /// Of how many that are mirrored.
    pub mirrored: u64,
}

/// Rows that were refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusals {
    /// How many.
    pub count: u64,
    /// Some of them.
    pub named: Vec<Refusal>,
}

impl Refusals {
    pub(crate) fn of(mut refused: Vec<Refusal>) -> Self {
        let count = u64::try_from(refused.len()).unwrap_or(u64::MAX);
        refused.truncate(NAMED);
        Self { count, named: refused }
    }
}

impl TableSynced {
    pub(crate) fn new(table: &str) -> Self {
        Self { table: table.to_owned(), ..Self::default() }
    }

    pub(crate) fn compared(&mut self, page: &Fetched, changes: &Changes) {
        self.counts.read += page.rows;
        self.counts.unchanged += changes.unchanged;
        self.refused(changes.refused.clone());
    }

    pub(crate) fn pushed(&mut self, batch: &Batch, refused: Refusals) {
        // A row may have been edited since the page was compared, and be refused for that: then there are more than planned.
        self.counts.changed += batch.rows.saturating_sub(refused.count);
        self.refused(refused);
    }

    pub(crate) fn removed(&mut self, batch: &Batch) {
        self.counts.removed += batch.rows;
    }

    pub(crate) fn left(&mut self, removals: &Removals) {
        self.left = Some(Left { rows: removals.rows(), mirrored: removals.mirrored });
    }

    fn refused(&mut self, refused: Refusals) {
        self.counts.refused += refused.count;
        self.refusals.extend(refused.named);
        self.refusals.truncate(NAMED);
    }

    /// Whether so many rows are refused that no further one is tried.
    pub fn is_hopeless(&self) -> bool {
        self.counts.refused >= HOPELESS
    }
}

impl Synced {
    pub(crate) fn add(&mut self, table: TableSynced) {
        let (all, one) = (&mut self.counts, table.counts);
        all.read += one.read;
        all.changed += one.changed;
        all.unchanged += one.unchanged;
        all.removed += one.removed;
        all.refused += one.refused;
        self.tables.push(table);
    }

    /// What Slack is told: which tables, how many rows, and where to look for those that were refused.
    pub fn text(&self) -> String {
        let mut text = String::from("Database sync complete");
        let is_whole = self.counts.refused == 0 && self.tables.iter().all(|table| table.left.is_none());
        text.push_str(if is_whole { "" } else { ", except for some rows" });
        for TableSynced { table, counts, refusals, left } in &self.tables {
            let Counts { read, changed, unchanged, removed, refused } = counts;
            let _ = write!(
                text,
                "\n{table}: {read} read, {changed} changed, {unchanged} unchanged, {removed} removed, {refused} refused"
            );
            if let Some(Left { rows, mirrored }) = left {
                let _ = write!(
                    text,
                    "\n  {rows} of {mirrored} mirrored rows are gone from Neon: too many to have been deleted, so none is marked. \
                     If they were, raise the table's may_lose_percent for one sync."
                );
            }
            for Refusal { key, reason } in refusals {
                let _ = write!(text, "\n  {table} {key}: {reason}");
            }
            if *refused >= HOPELESS {
                text.push_str(
                    "\n  So many were refused that the rest of the table was left for the next sync.",
                );
            } else if usize::try_from(*refused).is_ok_and(|refused| refused > refusals.len()) {
                text.push_str("\n  The others are in syncRecords.");
            }
        }
        text
    }
}
