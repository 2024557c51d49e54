//! The head of a concurrency key's line, and the changes made to it. What they are for: see `slots`.

use durable::{Error, Result, RunId};
use jiff::Timestamp;

use crate::{
    items::{Change, Item, Key, members, ms, n, number, s, ss, text},
    runs::shard,
};

/// The head of a key's line, as it was a moment ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) held: Vec<String>,
    /// Runs that do not know of their slot yet, and by whom it was handed to them.
    pub(crate) handed: Vec<(String, String)>,
    pub(crate) tickets: i64,
    pub(crate) gone: i64,
}

impl Head {
    pub(crate) fn of(item: &Item) -> Self {
        let handed =
            |name: &String| Some((name.strip_prefix("to_")?.to_owned(), text(item, name)?.to_owned()));
        let mut handed: Vec<_> = item.keys().filter_map(handed).collect();
        handed.sort_unstable();
        Self {
            held: members(item, "held"),
            handed,
            tickets: number(item, "tickets").unwrap_or(0),
            gone: number(item, "gone").unwrap_or(0),
        }
    }

    pub(crate) fn holds(&self, run: &RunId) -> bool {
        self.held.iter().any(|held| held == run.as_str())
    }

    pub(crate) fn may_have_waiters(&self) -> bool {
        self.tickets != self.gone
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.held.is_empty() && !self.may_have_waiters()
    }

    pub(crate) fn free(&self, limit: u32) -> usize {
        (limit.max(1) as usize).saturating_sub(self.held.len())
    }

    /// Those who have a slot by this run's leave and have not come yet.
    pub(crate) fn handed_by(&self, giver: &RunId) -> Vec<RunId> {
        let mine = self.handed.iter().filter(|(_, by)| by == giver.as_str());
        mine.map(|(run, _)| RunId::from_text(run)).collect()
    }

    /// Place in the line, from 1. Those who left from within the line are taken for having left from its front, so a place
    /// may be shown as better than it is, never as worse.
    pub(crate) fn position(&self, ticket: i64) -> u32 {
        u32::try_from((ticket - self.gone).max(1)).unwrap_or(u32::MAX)
    }
}

pub(crate) fn partition(key: &str) -> String {
    format!("line#{key}")
}

pub(crate) fn head_key(key: &str) -> Key {
    Key::new(partition(key), "head")
}

/// The attribute that says that a run does not know of its slot yet.
fn handed_to(run: &RunId) -> String {
    format!("#to_{run}")
}

/// Run ids are parts of expressions here.
pub(crate) fn check(run: &RunId) -> Result<()> {
    if !run.as_str().is_empty() && run.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(Error::fatal(format!("{run} is no run id: expected 32 hexadecimal digits")))
}

/// Takes a slot, if the run has one or one is free and nobody waits.
pub(crate) fn take(key: &str, limit: u32, run: &RunId, now: Timestamp) -> Change {
    Change {
        key: head_key(key),
        update: format!(
            "SET #used_at = :now, #slots = :limit, #due_shard = :due, #due_at = if_not_exists(#due_at, :now) \
             ADD #held :me REMOVE {}",
            handed_to(run)
        ),
        condition: "contains(#held, :run) OR ((attribute_not_exists(#tickets) OR #tickets = #gone) \
                    AND (attribute_not_exists(#held) OR size(#held) < :limit))"
            .to_owned(),
        values: vec![
            (":now", ms(now)),
            (":limit", n(limit.max(1))),
            (":due", s(format!("line#{}", shard(key)))),
            (":me", ss([run.to_string()])),
            (":run", s(run.as_str())),
        ],
    }
}

pub(crate) fn draw_ticket(key: &str, now: Timestamp) -> Change {
    Change {
        key: head_key(key),
        update: "SET #used_at = :now, #gone = if_not_exists(#gone, :zero) ADD #tickets :one".to_owned(),
        condition: String::new(),
        values: vec![(":now", ms(now)), (":zero", n(0)), (":one", n(1))],
    }
}

pub(crate) fn give_back(key: &str, run: &RunId, now: Timestamp) -> Change {
    Change {
        key: head_key(key),
        update: format!("SET #used_at = :now DELETE #held :me REMOVE {}", handed_to(run)),
        condition: "contains(#held, :run)".to_owned(),
        values: vec![(":now", ms(now)), (":me", ss([run.to_string()])), (":run", s(run.as_str()))],
    }
}

/// Hands these waiters a slot each, if there are still so many.
pub(crate) fn hand(key: &str, limit: u32, runs: &[RunId], giver: &RunId) -> Change {
    let (count, limit) = (runs.len(), limit.max(1) as usize);
    let told: Vec<_> = runs.iter().map(|run| format!("{} = :giver", handed_to(run))).collect();
    Change {
        key: head_key(key),
        update: format!("SET {} ADD #held :runs, #gone :count", told.join(", ")),
        condition: "attribute_not_exists(#held) OR size(#held) <= :room".to_owned(),
        values: vec![
            (":runs", ss(runs.iter().map(ToString::to_string))),
            (":giver", s(giver.as_str())),
            (":count", n(count)),
            (":room", n(limit.saturating_sub(count))),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(held: &[&str], tickets: i64, gone: i64) -> Head {
        let held = held.iter().map(ToString::to_string).collect();
        Head { held, handed: Vec::new(), tickets, gone }
    }

    #[test]
    fn a_head_says_whether_anybody_may_wait_and_how_many_slots_are_free() {
        assert!(head(&[], 3, 3).is_idle());
        assert!(!head(&[], 3, 2).is_idle(), "a ticket is out");
        assert!(!head(&["a"], 0, 0).is_idle());
        assert_eq!(head(&["a"], 0, 0).free(3), 2);
        assert_eq!(head(&["a", "b"], 0, 0).free(1), 0, "a limit that was lowered lets nobody in");
        assert_eq!(head(&[], 0, 0).free(0), 1, "0 means 1");
    }

    #[test]
    fn a_head_remembers_who_handed_a_slot_to_whom() {
        let mut item = Item::new();
        item.insert("to_b".into(), s("a"));
        item.insert("to_d".into(), s("c"));
        let head = Head::of(&item);
        assert_eq!(head.handed_by(&RunId::from_text("a")), [RunId::from_text("b")]);
        assert_eq!(head.handed_by(&RunId::from_text("b")), []);
        assert!(check(&RunId::of("flow", "1")).is_ok() && check(&RunId::from_text("a#b")).is_err());
    }

    #[test]
    fn a_place_in_line_counts_those_before() {
        assert_eq!(head(&["a"], 1, 0).position(1), 1);
        assert_eq!(head(&["a"], 9, 2).position(7), 5);
        assert_eq!(head(&["a"], 9, 5).position(2), 1, "those who left early are not counted below the first");
    }
}
