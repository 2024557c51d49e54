//! The mirroring of one table, a page at a time.

use std::sync::{Mutex, PoisonError};

use durable::{Error, Result};
use fibreflow::{
    convex::{Convex, ROWS},
    mirror::{Document, Refusal, Row, Table},
    neon::{Neon, Span},
};
use serde::{Deserialize, Serialize};

use crate::{Refusals, TableSynced};

/// A table on its way from Neon to Convex.
///
/// A step that was recorded says which keys it was about, and no more. The rows themselves pass from one step to the next
/// here, in memory; when a run resumes elsewhere they are not there, and are read and compared again.
pub(crate) struct Mirror<'a> {
    neon: &'a dyn Neon,
    convex: &'a Convex,
    table: &'a Table,
    hand: Mutex<Hand>,
}

/// The one page that is in memory.
#[derive(Default)]
enum Hand {
    #[default]
    Empty,
    Read(Span, Vec<Row>),
    /// What is to be pushed of the batches to come.
    Changed(Vec<(Span, Vec<Document>)>),
}

/// A page that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fetched {
    table: String,
    span: Span,
    pub(crate) rows: u64,
    pub(crate) more: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) absent: bool,
}

impl Fetched {
    /// The last key on it.
    pub(crate) fn last(self) -> Option<String> {
        self.span.through
    }
}

/// What is to be done about a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changes {
    pub(crate) batches: Vec<Batch>,
    pub(crate) unchanged: u64,
    pub(crate) refused: Refusals,
}

/// Rows, at most [`ROWS`], that are written together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// They lie in here, perhaps with others that need nothing.
    span: Span,
    pub(crate) rows: u64,
}

/// Mirrored rows that are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gone {
    pub(crate) batches: Vec<Batch>,
    /// How many mirrored rows were looked up.
    pub(crate) mirrored: u64,
    /// The last key that was looked at, when there are more.
    pub(crate) next: Option<String>,
}

impl<'a> Mirror<'a> {
    pub(crate) fn new(neon: &'a dyn Neon, convex: &'a Convex, table: &'a Table) -> Self {
        Self { neon, convex, table, hand: Mutex::default() }
    }

    /// Reads the page after a key.
    pub(crate) async fn fetch(&self, after: Option<String>) -> Result<Fetched> {
        let open = Span { after, through: None };
        // Whatever was in hand makes room first.
        self.take();
        let page = self.neon.page(self.table, &open).await?;
        let span = Span { through: page.rows.last().map(|row| row.key.clone()), ..open };
        let fetched = Fetched {
            table: self.table.name.clone(),
            span: span.clone(),
            rows: count(page.rows.len()),
            more: page.more,
            absent: page.absent,
        };
        self.put(Hand::Read(span, page.rows));
        Ok(fetched)
    }

    /// That a page, which may have been recorded long ago, is of this table: the list of tables may have changed since.
    pub(crate) fn expect(&self, page: &Fetched) -> Result<()> {
        if page.table == self.table.name {
            return Ok(());
        }
        Err(Error::fatal(format!(
            "the list of tables was changed while this sync was under way (it had come to {}, which is {} now): the next \
             sync goes by the new list",
            page.table, self.table.name
        )))
    }

    /// Finds what differs from what Convex has.
    pub(crate) async fn compare(&self, page: &Fetched) -> Result<Changes> {
        if page.rows == 0 {
            return Ok(Changes { batches: Vec::new(), unchanged: 0, refused: Refusals::default() });
        }
        let rows = match self.take() {
            Hand::Read(span, rows) if span == page.span => rows,
            _ => self.neon.page(self.table, &page.span).await?.rows,
        };
        let (documents, refused) = self.documents(rows);
        let all = documents.len();
        let differing = self.differing(documents).await?;
        self.convex.record_refused(self.table, &refused).await?;
        let unchanged = count(all - differing.len());
        let batches = in_batches(page.span.after.clone(), differing, |document| &document.key);
        let changes = Changes { batches: spans(&batches), unchanged, refused: Refusals::of(refused) };
        self.put(Hand::Changed(batches));
        Ok(changes)
    }

    /// Pushes a batch, and answers which of its rows Convex does not take.
    pub(crate) async fn push(&self, batch: &Batch) -> Result<Refusals> {
        let documents = if let Some(documents) = self.changed_in_hand(&batch.span) {
            documents
        } else {
            let rows = self.neon.page(self.table, &batch.span).await?.rows;
            // What cannot be a document was refused and counted when the page was compared.
            self.differing(self.documents(rows).0).await?
        };
        let refused = self.convex.push(self.table, &documents).await?.refused;
        self.convex.record_refused(self.table, &refused).await?;
        Ok(Refusals::of(refused))
    }

    /// Looks up mirrored rows, from a key on, in Neon.
    pub(crate) async fn find_removed(&self, after: Option<String>) -> Result<Gone> {
        let (gone, mirrored, next) = self.gone(after.as_deref()).await?;
        Ok(Gone { batches: spans(&in_batches(after, gone, |key| key)), mirrored, next })
    }

    /// Marks the rows of a batch that are gone, as of now: one that has come back meanwhile is left alone.
    pub(crate) async fn mark_removed(&self, batch: &Batch) -> Result<()> {
        let (mut gone, ..) = self.gone(batch.span.after.as_deref()).await?;
        let last = gone.iter().position(|key| Some(key) == batch.span.through.as_ref());
        // Where the last one is missing, those after it are gone all the same.
        gone.truncate(last.map_or(ROWS, |last| last + 1));
        self.convex.remove(self.table, &gone).await
    }

    /// Records what was done.
    pub(crate) async fn record(&self, table: &TableSynced) -> Result<()> {
        self.convex.record_counts(self.table, &table.counts, table.is_hopeless()).await
    }

    /// Those mirrored rows of a page that are gone, how many there are on it, and where the next one begins.
    async fn gone(&self, after: Option<&str>) -> Result<(Vec<String>, u64, Option<String>)> {
        let mirrored = self.convex.keys(self.table, after).await?;
        if mirrored.keys.is_empty() {
            return Ok((Vec::new(), 0, mirrored.next));
        }
        let all = count(mirrored.keys.len());
        let existing = self.neon.existing(self.table, &mirrored.keys).await?;
        let gone = mirrored.keys.into_iter().filter(|key| !existing.contains(key)).collect();
        Ok((gone, all, mirrored.next))
    }

    fn documents(&self, rows: Vec<Row>) -> (Vec<Document>, Vec<Refusal>) {
        let (mut documents, mut refused) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows {
            match self.table.document(row) {
                Ok(document) => documents.push(document),
                Err(refusal) => refused.push(refusal),
            }
        }
        (documents, refused)
    }

    /// Those documents that Convex does not have as they are.
    async fn differing(&self, documents: Vec<Document>) -> Result<Vec<Document>> {
        let mut known = Vec::with_capacity(documents.len());
        for part in documents.chunks(fibreflow::convex::KEYS) {
            let keys: Vec<_> = part.iter().map(|document| document.key.as_str()).collect();
            known.extend(self.convex.hashes(self.table, &keys).await?);
        }
        let differs = |(document, known): &(Document, Option<String>)| known.as_ref() != Some(&document.hash);
        Ok(documents.into_iter().zip(known).filter(differs).map(|(document, _)| document).collect())
    }

    fn take(&self) -> Hand {
        std::mem::take(&mut *self.hand.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, hand: Hand) {
        *self.hand.lock().unwrap_or_else(PoisonError::into_inner) = hand;
    }

    /// What is to be pushed of a span, if that is in memory. It stays there until the page is done: an attempt may follow.
    fn changed_in_hand(&self, span: &Span) -> Option<Vec<Document>> {
        match &*self.hand.lock().unwrap_or_else(PoisonError::into_inner) {
            Hand::Changed(batches) => {
                batches.iter().find(|(known, _)| known == span).map(|(_, documents)| documents.clone())
            }
            _ => None,
        }
    }
}

/// Cuts what lies after a key into batches.
fn in_batches<T>(mut after: Option<String>, all: Vec<T>, key: impl Fn(&T) -> &String) -> Vec<(Span, Vec<T>)> {
    let (mut batches, mut rest) = (Vec::new(), all.into_iter().peekable());
    while rest.peek().is_some() {
        let batch: Vec<T> = rest.by_ref().take(ROWS).collect();
        let through = batch.last().map(|last| key(last).clone());
        batches.push((Span { after, through: through.clone() }, batch));
        after = through;
    }
    batches
}

fn spans<T>(batches: &[(Span, Vec<T>)]) -> Vec<Batch> {
    batches.iter().map(|(span, rows)| Batch { span: span.clone(), rows: count(rows.len()) }).collect()
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use fibreflow::{
        mirror::Tables,
        sandbox::{Sandbox, Scene},
    };

    use super::*;

    /// A record says which keys it was about: of which table must not be left to the order of a list.
    #[test]
    fn a_page_of_another_table_is_not_taken_for_one_of_this() {
        let simulation = durable::testing::Simulation::default();
        let sandbox = Sandbox::open(Scene::new(simulation.clock())).unwrap();
        let made = sandbox.settings().make(|settings| Some((settings.neon()?, settings.convex()?)));
        let (neon, convex) = made.unwrap();
        let tables = Tables::read(None).unwrap().tables;
        let mirrors = [0, 1].map(|table| Mirror::new(&*neon, &convex, &tables[table]));
        let page = futures::executor::block_on(mirrors[0].fetch(None)).unwrap();
        mirrors[0].expect(&page).unwrap();
        let error = mirrors[1].expect(&page).unwrap_err();
        assert!(error.message().contains("it had come to contractors, which is projects now"), "{error}");
    }
}
