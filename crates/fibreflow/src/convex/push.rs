//! Pushes rows. Convex takes all rows of a call or none, so one that it refuses is looked for by halving.

use durable::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Convex, ROWS, Refused};
use crate::mirror::{Document, Refusal, Table};

/// When so many rows of a batch are refused, one by one, and none is taken, the others are not tried one by one.
const ENOUGH: usize = 20;

/// What became of rows that were pushed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// Those that Convex does not take, and why. All others are mirrored.
    pub refused: Vec<Refusal>,
}

impl Convex {
    /// Puts rows where their `neon_id` is, or else in as new ones: pushing them again changes nothing.
    ///
    /// An error means that Convex as a whole does not work; what it refuses of single rows is in the answer.
    pub async fn push(&self, table: &Table, documents: &[Document]) -> Result<Pushed> {
        let mut pushed = Pushed::default();
        for batch in documents.chunks(ROWS) {
            self.push_batch(table, batch, &mut pushed.refused).await?;
        }
        Ok(pushed)
    }

    async fn push_batch(&self, table: &Table, batch: &[Document], refused: &mut Vec<Refusal>) -> Result<()> {
        let (mut waiting, mut accepts_some, before) = (vec![batch], false, refused.len());
        while let Some(part) = waiting.pop() {
            let Err(Refused(reason)) = self.upsert(table, part).await? else {
                accepts_some = true;
                continue;
            };
            // It may be no row's fault: an outage would pass for the refusal of every row, and a hiccup for that of this one.
            if part.len() == batch.len() || part.len() == 1 {
                self.takes_rows(table).await?;
            }
            if part.len() == 1 && self.upsert(table, part).await?.is_ok() {
                accepts_some = true;
                continue;
            }
            let refuse = |document: &Document| {
                let key = document.key.clone();
                let named = reason.strip_prefix(&format!("{} {key}: ", table.target()));
                Refusal { reason: named.unwrap_or(&reason).to_owned(), key }
            };
            if part.len() == 1 {
                refused.extend(part.iter().map(refuse));
            } else {
                let (first, second) = part.split_at(part.len() / 2);
                waiting.extend([second, first]);
            }
            if !accepts_some && refused.len() - before >= ENOUGH {
                let rest = waiting.drain(..).flatten();
                refused.extend(rest.map(refuse));
            }
        }
        Ok(())
    }

    /// Asks to put in no rows at all.
    async fn takes_rows(&self, table: &Table) -> Result<()> {
        match self.upsert(table, &[]).await? {
            Ok(_) => Ok(()),
            Err(Refused(reason)) => Err(Error::new(format!("Convex sync:upsertBatch: {reason}"))),
        }
    }
}
