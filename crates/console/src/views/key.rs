//! Flow-control keys as they are shown.

use durable::{
    LedgerSummary, Line, LineSummary,
    line::{Member, Place},
    throttle::Start,
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::run::short_id;
use crate::mask;

/// A concurrency key that is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct KeyItem {
    /// The key, numbers that may be phones masked.
    pub(crate) key: String,
    /// How many runs may hold it at once.
    pub(crate) slots: u32,
    /// How many do.
    pub(crate) held: u32,
    /// How many wait for it.
    pub(crate) waiting: u32,
}

/// A concurrency key and its runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct KeyLine {
    /// The key, numbers that may be phones masked.
    pub(crate) key: String,
    /// How many runs may hold it at once.
    pub(crate) slots: u32,
    /// Who holds it and who waits for it, in order of arrival; the first 1,000.
    pub(crate) members: Vec<HolderItem>,
}

/// A run that holds a key or waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct HolderItem {
    /// The run.
    pub(crate) run_id: String,
    /// Whether it holds a slot.
    pub(crate) holds: bool,
    /// Its place among those who wait, from 1.
    pub(crate) position: Option<u32>,
}

/// A throttle key that is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ThrottleItem {
    /// The key, numbers that may be phones masked.
    pub(crate) key: String,
    /// How many starts count against its windows.
    pub(crate) started: u32,
    /// How many starts are reserved.
    pub(crate) reserved: u32,
    /// When the next reserved one may happen.
    pub(crate) next: Option<Timestamp>,
}

/// A throttle key and its starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ThrottleLedger {
    /// The key, numbers that may be phones masked.
    pub(crate) key: String,
    /// Its starts, the earliest first.
    pub(crate) starts: Vec<StartItem>,
}

/// One start under a throttle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct StartItem {
    /// The run that started or will; a step's attempt adds its name.
    pub(crate) id: String,
    /// When.
    pub(crate) at: Timestamp,
    /// Whether it has happened.
    pub(crate) started: bool,
}

impl KeyItem {
    pub(crate) fn of(line: LineSummary) -> Self {
        Self { key: mask::text(&line.key), slots: line.slots, held: line.held, waiting: line.waiting }
    }
}

impl KeyLine {
    pub(crate) fn of(key: &str, line: &Line) -> Self {
        let mut waiting = 0;
        let members = line.members.iter().map(|Member { run, place, .. }| {
            let holds = *place != Place::Waiting;
            waiting += u32::from(!holds);
            HolderItem { run_id: run.as_str().to_owned(), holds, position: (!holds).then_some(waiting) }
        });
        Self { key: mask::text(key), members: members.collect(), slots: line.slots }
    }
}

impl HolderItem {
    pub(crate) fn short_id(&self) -> &str {
        short_id(&self.run_id)
    }
}

impl ThrottleItem {
    pub(crate) fn of(ledger: LedgerSummary) -> Self {
        let LedgerSummary { key, started, reserved, next } = ledger;
        Self { key: mask::text(&key), started, reserved, next }
    }
}

impl ThrottleLedger {
    pub(crate) fn of(key: &str, starts: Vec<Start>) -> Self {
        let item = |start: Start| StartItem { id: start.id, at: start.at, started: start.started };
        Self { key: mask::text(key), starts: starts.into_iter().map(item).collect() }
    }
}

impl StartItem {
    /// The run's part of the id.
    pub(crate) fn run_id(&self) -> &str {
        self.id.split('/').next().unwrap_or(&self.id)
    }

    pub(crate) fn short_id(&self) -> &str {
        short_id(self.run_id())
    }
}

#[cfg(test)]
mod tests {
    use durable::RunId;

    use super::*;

    #[test]
    fn those_who_wait_are_counted_among_themselves() {
        let member = |name: &str, place| Member { run: RunId::from_text(name), place, giver: None };
        let members = vec![
            member("a", Place::Holding),
            member("b", Place::Waiting),
            member("c", Place::Handed),
            member("d", Place::Waiting),
        ];
        let line = KeyLine::of("send:27821234567", &Line { slots: 2, members });
        let places: Vec<_> = line.members.iter().map(|member| member.position).collect();
        assert_eq!((line.key.as_str(), places), ("send:278••••4567", vec![None, Some(1), None, Some(2)]));
    }
}
