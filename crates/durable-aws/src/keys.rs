//! Flow control as it stands.

use async_trait::async_trait;
use durable::{
    Cursor, Keys, LedgerSummary, Line, LineSummary, Page, PageRequest, Result, RunId,
    line::{Member, Place},
    throttle::Start,
};
use futures::future::try_join_all;
use jiff::Timestamp;

use crate::{
    Aws,
    head::{Head, head_key},
    items::{number, required, s},
    ledger,
    runs::{DUE, SHARDS},
    table::Range,
};

/// How many keys of a partition of the index are looked at.
const KEYS: usize = 5_000;

/// How much of a line is shown.
const MEMBERS: usize = 1_000;

#[async_trait]
impl Keys for Aws {
    async fn lines(&self, prefix: &str, page: &PageRequest) -> Result<Page<LineSummary>> {
        let (keys, next) = self.keys_of("line", prefix, page).await?;
        let wanted: Vec<_> = keys.iter().map(|key| head_key(key)).collect();
        let heads = self.fetch(&wanted).await?;
        let line = |key: &String| {
            let item = heads.get(&head_key(key).pk)?;
            let head = Head::of(item);
            // One that is idle is forgotten soon.
            (!head.is_idle()).then(|| LineSummary {
                key: key.clone(),
                slots: number(item, "slots").and_then(|slots| slots.try_into().ok()).unwrap_or(1),
                held: u32::try_from(head.held.len()).unwrap_or(u32::MAX),
                waiting: u32::try_from((head.tickets - head.gone).max(0)).unwrap_or(u32::MAX),
            })
        };
        Ok(Page { items: keys.iter().filter_map(line).collect(), next })
    }

    async fn line(&self, key: &str) -> Result<Line> {
        let at = head_key(key);
        let (item, waiting) = futures::try_join!(self.table.get(&at), self.first_in_line(key, MEMBERS))?;
        let Some(item) = item else { return Ok(Line::default()) };
        let head = Head::of(&item);
        let is_handed = |run: &str| head.handed.iter().any(|(handed, _)| handed == run);
        let holding = head.held.iter().map(|run| Member {
            run: RunId::from_text(run),
            place: if is_handed(run) { Place::Handed } else { Place::Holding },
        });
        let waiting = waiting.into_iter().map(|run| Member { run, place: Place::Waiting });
        let members: Vec<_> = holding.chain(waiting).take(MEMBERS).collect();
        let slots = number(&item, "slots").and_then(|slots| slots.try_into().ok()).unwrap_or(1);
        Ok(Line { slots: if members.is_empty() { 0 } else { slots }, members })
    }

    async fn ledgers(&self, prefix: &str, page: &PageRequest) -> Result<Page<LedgerSummary>> {
        let (keys, next) = self.keys_of("throttle", prefix, page).await?;
        let wanted: Vec<_> = keys.iter().map(|key| ledger::key(key)).collect();
        let items = self.fetch(&wanted).await?;
        let ledgers = keys.iter().filter_map(|key| Some((key, items.get(&ledger::key(key).pk)?)));
        let ledgers = ledgers.map(|(key, item)| Ok(LedgerSummary::of(key, &ledger::starts(item)?)));
        let mut items = ledgers.collect::<Result<Vec<_>>>()?;
        items.retain(|ledger| ledger.started + ledger.reserved > 0);
        Ok(Page { items, next })
    }

    async fn ledger(&self, key: &str) -> Result<Vec<Start>> {
        match self.table.get(&ledger::key(key)).await? {
            Some(item) => ledger::starts(&item),
            None => Ok(Vec::new()),
        }
    }
}

impl Aws {
    /// The keys of a kind that start with this, in order: those of a page.
    async fn keys_of(
        &self,
        kind: &str,
        prefix: &str,
        page: &PageRequest,
    ) -> Result<(Vec<String>, Option<Cursor>)> {
        let queries = (0..SHARDS).map(|shard| async move {
            let range = Range {
                index: Some(DUE),
                condition: "#due_shard = :shard",
                filter: None,
                values: vec![(":shard", s(format!("{kind}#{shard}")))],
                consistent: false,
                backwards: false,
                limit: KEYS,
                pages: 2,
            };
            self.table.query(&range).await
        });
        let after = page.after.as_ref().map(Cursor::parts).transpose()?.map(|(_, key)| key);
        let found = try_join_all(queries).await?;
        let mut keys = Vec::new();
        for item in found.iter().flatten() {
            let key = required(item, "pk")?.split_once('#').map(|(_, key)| key).unwrap_or_default();
            if key.starts_with(prefix) && after.as_deref().is_none_or(|after| key > after) {
                keys.push(key.to_owned());
            }
        }
        keys.sort_unstable();
        let Page { items, next } = Page::of(keys, page.size(), |key| Cursor::of(Timestamp::UNIX_EPOCH, key));
        Ok((items, next))
    }
}
