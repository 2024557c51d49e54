//! Lists by pages: each names where the next one begins, so that a list stays quick however long it is.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The largest page.
pub const LARGEST_PAGE: usize = 1_000;

/// Which part of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// At most so many, from 1 to [`LARGEST_PAGE`]; what lies outside is brought inside.
    pub limit: usize,
    /// Where the page begins: the `next` of the page before it.
    pub after: Option<Cursor>,
}

impl PageRequest {
    /// The first so many.
    pub fn first(limit: usize) -> Self {
        Self { limit, after: None }
    }

    /// The limit, brought inside its bounds.
    pub fn size(&self) -> usize {
        self.limit.clamp(1, LARGEST_PAGE)
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        Self::first(100)
    }
}

/// A part of a list.
///
/// It may hold fewer than asked for, or nothing, although more follow: a filter that matches few makes a backend stop
/// after a bounded number of requests. The list has ended when `next` is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// What was found, in the order of the list.
    pub items: Vec<T>,
    /// Where the next page begins, when there may be one.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Makes a page of up to one entry more than was asked for: the one too many says that more follow.
    pub fn of(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> Cursor) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor);
        Self { items, next }
    }

    /// The same page of something else.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

/// A place in a list, as text that is safe in a URL. Whoever gets one hands it back as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// The place just after what has this time, in milliseconds, and this id.
    pub fn of(at: Timestamp, id: &str) -> Self {
        Self(format!("{}-{}", at.as_millisecond(), hex::encode(id)))
    }

    /// A cursor that somebody handed back.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The time and the id. Fails when nobody here made this cursor.
    pub fn parts(&self) -> Result<(Timestamp, String)> {
        let parts = || {
            let (ms, id) = self.0.rsplit_once('-')?;
            let at = Timestamp::from_millisecond(ms.parse().ok()?).ok()?;
            Some((at, String::from_utf8(hex::decode(id).ok()?).ok()?))
        };
        parts().ok_or_else(|| Error::fatal("cursor: expected the `next` of an earlier page"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_whatever_its_id_holds() {
        for ms in [-5, 0, 1_800_000_000_123] {
            let at = Timestamp::from_millisecond(ms).unwrap();
            for id in ["", "a-b/c#2", "Zoë 📷"] {
                assert_eq!(Cursor::of(at, id).parts().unwrap(), (at, id.to_owned()));
            }
        }
        for text in ["", "5", "x-61", "5-6", "5-zz"] {
            let error = Cursor::from_text(text).parts().unwrap_err();
            assert!(error.message().starts_with("cursor: expected"), "{error}");
        }
    }

    #[test]
    fn a_page_says_whether_more_follow() {
        let cursor = |n: &i64| Cursor::of(Timestamp::UNIX_EPOCH, &n.to_string());
        let page = Page::of(vec![1, 2, 3], 2, cursor);
        assert_eq!((page.items.as_slice(), page.next), (&[1, 2][..], Some(cursor(&2))));
        assert_eq!(Page::of(vec![1, 2], 2, cursor).next, None);
        assert_eq!(PageRequest::first(0).size(), 1);
    }
}
