//! Throttle ledgers: an item a key, replaced when it is still the one that was read. [`durable::throttle`] is the law.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use durable::{
    Admission, Error, Result, Window, after, seconds,
    throttle::{self, Start},
};
use jiff::Timestamp;

use crate::{
    Aws,
    items::{Item, Key, n, number, s, text},
    runs::shard,
    table::Outcome,
};

/// An item holds 400 KB. Beyond this, whoever asks is told to come again: the messages wait in their queue, at no cost.
const LARGEST: usize = 350_000;

/// How often a ledger is written that others write as well, before the message goes back to its queue.
const TRIES: u32 = 12;

/// Ledgers as this process saw them last. A key used again by the same process costs one write, else a refused one and one.
#[derive(Debug, Default)]
pub(crate) struct Ledgers(Mutex<HashMap<String, Arc<tokio::sync::Mutex<Known>>>>);

/// More keys than this are forgotten all at once.
const KEYS: usize = 1_000;

/// The ledger of a key; version 0 for one that is not there.
#[derive(Debug, Default, Clone)]
struct Known {
    version: i64,
    starts: Vec<Start>,
}

impl Ledgers {
    /// Whoever holds it has the key to itself, in this process.
    fn of(&self, key: &str) -> Arc<tokio::sync::Mutex<Known>> {
        let mut ledgers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ledgers.len() > KEYS && !ledgers.contains_key(key) {
            ledgers.clear();
        }
        ledgers.entry(key.to_owned()).or_default().clone()
    }
}

impl Aws {
    pub(crate) async fn reserve(
        &self,
        key: &str,
        windows: &[Window],
        id: &str,
        now: Timestamp,
    ) -> Result<Admission> {
        let longest = windows.iter().map(|window| window.period).max().unwrap_or_default();
        self.on_ledger(key, |starts| {
            let admission = throttle::admit(starts, windows, id, now);
            let last = starts.last().map_or(now, |start| start.at).max(now);
            (admission, after(last, longest + seconds(3600)))
        })
        .await
    }

    pub(crate) async fn take_back(&self, key: &str, id: &str) -> Result<()> {
        let kept = after(self.clock.now(), self.settings.retention);
        self.on_ledger(key, |starts| {
            throttle::withdraw(starts, id);
            ((), kept)
        })
        .await
    }

    /// Lets `decide` change a key's ledger; it answers until when the ledger is of use as well.
    async fn on_ledger<T>(&self, key: &str, decide: impl Fn(&mut Vec<Start>) -> (T, Timestamp)) -> Result<T> {
        let known = self.ledgers.of(key);
        let mut known = known.lock().await;
        for _ in 0..TRIES {
            let mut starts = known.starts.clone();
            let (answer, of_use_until) = decide(&mut starts);
            // An answer that changes nothing was given before; others may have come since, and change nothing about it.
            if known.version > 0 && starts == known.starts {
                return Ok(answer);
            }
            let text = encode(&starts);
            if text.len() > LARGEST {
                let reason = format!("the throttle {key} has {} starts reserved already", starts.len());
                return Err(Error::retry_after(seconds(300), reason));
            }
            // A time, so that a ledger that was deleted and made anew never has a version that somebody remembers.
            let version = self.clock.now().as_millisecond().max(known.version + 1);
            let mut item = self::key(key).item();
            item.extend([
                // For whoever lists the keys. It never changes, so the index is written once a key.
                ("due_shard".to_owned(), s(format!("throttle#{}", shard(key)))),
                ("due_at".to_owned(), n(0)),
                ("starts".to_owned(), s(text)),
                ("version".to_owned(), n(version)),
                ("expires_at".to_owned(), n(of_use_until.as_second())),
            ]);
            let written = if known.version == 0 {
                self.table.put(item, "attribute_not_exists(pk)", Vec::new()).await?
            } else {
                self.table.put(item, "#version = :version", vec![(":version", n(known.version))]).await?
            };
            match written {
                Outcome::Done(_) => {
                    *known = Known { version, starts };
                    return Ok(answer);
                }
                Outcome::Refused(found) => *known = found.as_ref().map(read).transpose()?.unwrap_or_default(),
            }
        }
        Err(Error::retry_after(seconds(1), format!("the throttle {key} is used by many at once")))
    }
}

pub(crate) fn key(key: &str) -> Key {
    Key::new(format!("throttle#{key}"), "ledger")
}

fn read(item: &Item) -> Result<Known> {
    Ok(Known { version: number(item, "version").unwrap_or(0), starts: starts(item)? })
}

/// The starts of an item.
pub(crate) fn starts(item: &Item) -> Result<Vec<Start>> {
    let starts = decode(text(item, "starts").unwrap_or_default());
    starts.ok_or_else(|| Error::fatal("a stored throttle ledger cannot be read"))
}

/// A line a start: milliseconds, `+` when it has started, the id. A quarter of its size as JSON.
fn encode(starts: &[Start]) -> String {
    let line = |start: &Start| {
        let mark = if start.started { "+" } else { "" };
        format!("{}{mark} {}\n", start.at.as_millisecond(), start.id)
    };
    starts.iter().map(line).collect()
}

fn decode(text: &str) -> Option<Vec<Start>> {
    let start = |line: &str| {
        let (at, id) = line.split_once(' ')?;
        let ms = at.trim_end_matches('+').parse().ok()?;
        Some(Start {
            id: id.to_owned(),
            at: Timestamp::from_millisecond(ms).ok()?,
            started: at.ends_with('+'),
        })
    };
    text.lines().map(start).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_reads_back_as_it_was() {
        let start = |id: &str, ms, started| Start {
            id: id.to_owned(),
            at: Timestamp::from_millisecond(ms).unwrap(),
            started,
        };
        let starts =
            vec![start("a run", 1_800_000_000_123, true), start("b/step#2/1", 1_800_000_060_124, false)];
        assert_eq!(encode(&starts), "1800000000123+ a run\n1800000060124 b/step#2/1\n");
        assert_eq!(decode(&encode(&starts)).unwrap(), starts);
        assert_eq!(decode("").unwrap(), []);
        assert_eq!(decode("yesterday a"), None);
    }
}
