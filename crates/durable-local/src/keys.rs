//! Flow control as it stands.

use async_trait::async_trait;
use durable::{Cursor, Keys, LedgerSummary, Line, LineSummary, Page, PageRequest, Result, throttle::Start};
use jiff::Timestamp;
use rusqlite::params;

use crate::{
    flow,
    history::after,
    store::{Store, time},
};

/// How much of a line is shown.
const MEMBERS: i64 = 1_000;

#[async_trait]
impl Keys for Store {
    async fn lines(&self, prefix: &str, page: &PageRequest) -> Result<Page<LineSummary>> {
        let (prefix, size, after) = (prefix.to_owned(), page.size(), after(page)?.map(|(_, key)| key));
        let lines = self.look(move |db| {
            let mut query = db.prepare_cached(LINES)?;
            let span = params![prefix, end_of(&prefix), after, i64::try_from(size + 1).unwrap_or(i64::MAX)];
            let lines = query.query_map(span, |row| {
                Ok(LineSummary {
                    key: row.get(0)?,
                    slots: row.get(1)?,
                    held: row.get(2)?,
                    waiting: row.get(3)?,
                })
            })?;
            lines.collect::<rusqlite::Result<Vec<_>>>()
        });
        Ok(Page::of(lines.await?, size, |line| by_key(&line.key)))
    }

    async fn line(&self, key: &str) -> Result<Line> {
        let key = key.to_owned();
        self.look(move |db| {
            let mut query = db.prepare_cached(LINE)?;
            let mut line = Line::default();
            let mut rows = query.query(params![key, MEMBERS])?;
            while let Some(row) = rows.next()? {
                line.slots = line.slots.max(row.get(2)?);
                line.members.push(flow::member(row)?);
            }
            Ok(line)
        })
        .await
    }

    async fn ledgers(&self, prefix: &str, page: &PageRequest) -> Result<Page<LedgerSummary>> {
        let (prefix, size, after) = (prefix.to_owned(), page.size(), after(page)?.map(|(_, key)| key));
        let ledgers = self.look(move |db| {
            let mut query = db.prepare_cached(LEDGERS)?;
            let span = params![prefix, end_of(&prefix), after, i64::try_from(size + 1).unwrap_or(i64::MAX)];
            let ledgers = query.query_map(span, |row| {
                Ok(LedgerSummary {
                    key: row.get(0)?,
                    started: row.get(1)?,
                    reserved: row.get(2)?,
                    next: row.get::<_, Option<i64>>(3)?.map(time),
                })
            })?;
            ledgers.collect::<rusqlite::Result<Vec<_>>>()
        });
        Ok(Page::of(ledgers.await?, size, |ledger| by_key(&ledger.key)))
    }

    async fn ledger(&self, key: &str) -> Result<Vec<Start>> {
        let key = key.to_owned();
        self.look(move |db| flow::starts(db, &key)).await
    }
}

pub(crate) const LINES: &str =
    "select key, max(slots), sum(place <> 'waiting'), sum(place = 'waiting') from members
     where key >= ?1 and key < ?2 and (?3 is null or key > ?3) group by key order by key limit ?4";

pub(crate) const LINE: &str = "select run_id, place, slots from members indexed by members_by_arrival where key = ? order by seq limit ?";

pub(crate) const LEDGERS: &str =
    "select key, sum(started), sum(not started), min(iif(started, null, at)) from starts
     where key >= ?1 and key < ?2 and (?3 is null or key > ?3) group by key order by key limit ?4";

/// The text after all that start with this one.
fn end_of(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}

fn by_key(key: &str) -> Cursor {
    Cursor::of(Timestamp::UNIX_EPOCH, key)
}
