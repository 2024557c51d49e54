//! Lists out of the index `listed`: several partitions, each in the order of the list, merged.

use durable::{Cursor, PageRequest, Result};
use futures::future::try_join_all;
use jiff::Timestamp;

use crate::{
    Aws,
    items::{Item, s, text},
    recorder::place,
    table::Range,
};

/// The index of runs by workflow, and of events and the audit trail, by time.
const LISTED: &str = "listed";

/// Requests for one partition of the index, each of up to 1 MB of its small items: 7,000 or so.
const PAGES: usize = 4;

/// Names of values, one for each status.
const STATUSES: [&str; 6] = [":s0", ":s1", ":s2", ":s3", ":s4", ":s5"];

/// What part of the index is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) partitions: Vec<String>,
    /// One of these is what the projected attribute `status` must be; empty for anything.
    pub(crate) statuses: Vec<&'static str>,
    /// From this time on, inclusive.
    pub(crate) from: Option<Timestamp>,
    /// Before this place, in the order of the index.
    pub(crate) below: Option<String>,
}

/// Small items of the index, the newest first.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) items: Vec<Item>,
    /// Down to this place everything was looked at; `None` when nothing is left below.
    pub(crate) frontier: Option<String>,
}

/// The place just before which a page begins.
pub(crate) fn below(page: &PageRequest, before: Option<Timestamp>) -> Result<Option<String>> {
    let after = page.after.as_ref().map(Cursor::parts).transpose()?.map(|(at, id)| place(at, &id));
    // Nothing sorts between a time without an id and the same time with one.
    let before = before.map(|before| format!("{:013}", before.as_millisecond()));
    Ok(match (after, before) {
        (Some(after), Some(before)) => Some(after.min(before)),
        (after, before) => after.or(before),
    })
}

/// The cursor of a place.
pub(crate) fn cursor(place: &str) -> Cursor {
    let (ms, id) = place.split_once('#').unwrap_or((place, ""));
    let at = ms.parse().ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    Cursor::of(at.unwrap_or(Timestamp::UNIX_EPOCH), id)
}

pub(crate) fn place_of(item: &Item) -> &str {
    text(item, "list_at").unwrap_or_default()
}

impl Aws {
    /// The newest items of these partitions: at most `limit`, and as many more as stand behind the first of them to be
    /// cut off.
    pub(crate) async fn slice(&self, wanted: &Wanted, limit: usize) -> Result<Slice> {
        let parts =
            try_join_all(wanted.partitions.iter().map(|partition| self.newest(partition, wanted, limit)))
                .await?;
        // Below the highest place at which a partition was left, another one may hide something.
        let frontier = parts.iter().filter_map(|(_, last)| last.clone()).max();
        let mut items: Vec<_> = parts.into_iter().flat_map(|(items, _)| items).collect();
        items.retain(|item| frontier.as_deref().is_none_or(|frontier| place_of(item) >= frontier));
        items.sort_unstable_by(|a, b| place_of(b).cmp(place_of(a)));
        Ok(Slice { items, frontier })
    }

    async fn newest(
        &self,
        partition: &str,
        wanted: &Wanted,
        limit: usize,
    ) -> Result<(Vec<Item>, Option<String>)> {
        // `~` sorts after all digits.
        let below = wanted.below.clone().unwrap_or_else(|| "~".to_owned());
        let from = wanted.from.map_or(String::new(), |from| format!("{:013}", from.as_millisecond()));
        let mut values = vec![(":partition", s(partition)), (":below", s(&below))];
        let condition = if from.is_empty() {
            "#list_shard = :partition AND #list_at < :below"
        } else {
            if from >= below {
                return Ok((Vec::new(), None));
            }
            values.push((":from", s(from)));
            // Both ends belong to it; the upper one is dropped below.
            "#list_shard = :partition AND #list_at BETWEEN :from AND :below"
        };
        let named: Vec<_> = STATUSES.into_iter().zip(&wanted.statuses).collect();
        let filter =
            format!("#status IN ({})", named.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "));
        values.extend(named.iter().map(|(name, status)| (*name, s(**status))));
        let range = Range {
            index: Some(LISTED),
            condition,
            filter: (!named.is_empty()).then_some(filter.as_str()),
            values,
            consistent: false,
            backwards: true,
            limit,
            pages: PAGES,
        };
        let mut part = self.table.query_part(&range).await?;
        part.items.retain(|item| place_of(item) < below.as_str());
        Ok((part.items, part.last.map(|last| place_of(&last).to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_and_its_cursor_are_one() {
        let at = Timestamp::from_millisecond(1_800_000_000_123).unwrap();
        let page = PageRequest { limit: 1, after: Some(cursor(&place(at, "a#b"))) };
        assert_eq!(below(&page, None).unwrap(), Some("1800000000123#a#b".to_owned()));
        assert_eq!(below(&page, Some(at)).unwrap(), Some("1800000000123".to_owned()), "the earlier one");
        let first = PageRequest::first(1);
        assert_eq!(below(&first, None).unwrap(), None);
    }
}
