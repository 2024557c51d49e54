//! When the next start of a throttled key may happen: the strict sliding window, as a plain function.
//!
//! A key's ledger holds the starts that happened and the starts that are reserved. At no time do more than `limit`
//! starts lie within any `period`. GCRA, which others use, admits up to 2·limit + burst − 1 in one.

use std::{cmp::Ordering, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::after;

/// At most `limit` starts in any time span of `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// How many starts.
    pub limit: u32,
    /// The length of the sliding window.
    pub period: Duration,
}

/// One start on a key's ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Who starts: a run, or an attempt of a step.
    pub id: String,
    /// When it started, or when it may.
    pub at: Timestamp,
    /// Whether it has started.
    pub started: bool,
}

/// What a throttle answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Start now: it is on the ledger.
    Go,
    /// The start is reserved for this time. Ask again then.
    At(Timestamp),
}

/// A start comes strictly later than the end of the window before it, so that a closed interval of `period` holds no more
/// than `limit` either.
const TICK: Duration = Duration::from_millis(1);

/// Asks for a start of `id` and brings the ledger up to date. Asking again changes nothing until the reserved time comes.
///
/// Whoever asks again after [`Admission::Go`] has not started: it died on the way, or another key made it wait. Its start
/// counts from when it is admitted last, and has to keep every window then: what counts is when something really happens.
///
/// First come, first served: a new reservation is never earlier than an older one. A start that comes too late for its
/// reservation, because its worker was down, say, gets the earliest place that keeps every window, since it is the actual
/// starts that count.
pub fn admit(ledger: &mut Vec<Start>, windows: &[Window], id: &str, now: Timestamp) -> Admission {
    forget(ledger, windows, now);
    let known = ledger.iter().find(|start| start.id == id);
    let at = match known {
        Some(start) if start.started && start.at >= now => return Admission::Go,
        Some(start) if start.at > now => return Admission::At(start.at),
        // It is this one's turn: only starts that happened can stand in its way. Were reservations to count as well,
        // whoever comes a millisecond late would go behind everybody who came after.
        Some(_) => earliest(started(ledger).filter(|start| start.id != id), windows, now),
        None => {
            let last = ledger.iter().filter(|start| !start.started).map(|start| start.at).max();
            earliest(ledger.iter(), windows, last.unwrap_or(now).max(now))
        }
    };
    ledger.retain(|start| start.id != id);
    let place = ledger.partition_point(|start| start.at <= at);
    ledger.insert(place, Start { id: id.to_owned(), at, started: at <= now });
    if at <= now { Admission::Go } else { Admission::At(at) }
}

fn started(ledger: &[Start]) -> impl Iterator<Item = &Start> {
    ledger.iter().filter(|start| start.started)
}

/// Removes `id`'s reservation, if it has not started. A cancelled run gives its place back this way.
pub fn withdraw(ledger: &mut Vec<Start>, id: &str) {
    ledger.retain(|start| start.id != id || start.started);
}

/// Drops the starts that no window can see any more, so that a key's ledger stays as short as its limit.
fn forget(ledger: &mut Vec<Start>, windows: &[Window], now: Timestamp) {
    let longest = windows.iter().map(|window| window.period).max().unwrap_or_default();
    ledger.retain(|start| !start.started || after(start.at, longest + TICK) > now);
}

/// The earliest time from `from` on at which one more start keeps every window.
fn earliest<'a>(starts: impl Iterator<Item = &'a Start>, windows: &[Window], from: Timestamp) -> Timestamp {
    let times: Vec<_> = starts.map(|start| start.at).collect();
    let mut candidates: Vec<_> = times
        .iter()
        .flat_map(|at| windows.iter().map(|window| after(*at, window.period + TICK)))
        .filter(|at| *at > from)
        .collect();
    candidates.sort_unstable();
    std::iter::once(from).chain(candidates).find(|at| fits(&times, windows, *at)).unwrap_or(from)
}

/// Whether one more start at `at` keeps every window. `times` are in order.
fn fits(times: &[Timestamp], windows: &[Window], at: Timestamp) -> bool {
    let place = times.partition_point(|time| *time <= at);
    // The times with `at` among them.
    let time = |index: usize| match index.cmp(&place) {
        Ordering::Less => times[index],
        Ordering::Equal => at,
        Ordering::Greater => times[index - 1],
    };
    windows.iter().all(|window| {
        // Each `limit + 1` in a row that hold `at` must span more than the period.
        let limit = window.limit.max(1) as usize;
        let mut firsts = (place.saturating_sub(limit)..=place).filter(|first| first + limit <= times.len());
        firsts.all(|first| time(first + limit) >= after(time(first), window.period + TICK))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::seconds;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const TEN_A_MINUTE: [Window; 1] = [Window { limit: 10, period: seconds(60) }];

    #[test]
    fn the_eleventh_waits_until_the_first_has_left_the_window() {
        let mut ledger = Vec::new();
        for n in 0..10 {
            assert_eq!(admit(&mut ledger, &TEN_A_MINUTE, &n.to_string(), at(n)), Admission::Go);
        }
        let Admission::At(start) = admit(&mut ledger, &TEN_A_MINUTE, "10", at(10)) else {
            panic!("not throttled")
        };
        assert_eq!(start, after(at(60), TICK));
        assert_eq!(
            admit(&mut ledger, &TEN_A_MINUTE, "10", at(30)),
            Admission::At(start),
            "asking again moves nothing"
        );
        assert_eq!(admit(&mut ledger, &TEN_A_MINUTE, "10", start), Admission::Go);
        assert_eq!(
            admit(&mut ledger, &TEN_A_MINUTE, "10", start),
            Admission::Go,
            "a redelivery starts it once"
        );
    }

    #[test]
    fn a_key_may_have_several_windows() {
        let windows = [Window { limit: 2, period: seconds(60) }, Window { limit: 3, period: seconds(3600) }];
        let mut ledger = Vec::new();
        let times: Vec<_> = ["a", "b", "c", "d"].map(|id| admit(&mut ledger, &windows, id, at(0))).into();
        let late = |second| Admission::At(after(at(second), TICK));
        assert_eq!(times, [Admission::Go, Admission::Go, late(60), late(3600)]);
    }

    #[test]
    fn a_start_that_comes_later_than_it_was_admitted_counts_from_then() {
        let windows = [Window { limit: 1, period: seconds(60) }];
        let mut ledger = Vec::new();
        assert_eq!(admit(&mut ledger, &windows, "a", at(0)), Admission::Go);
        assert_eq!(
            admit(&mut ledger, &windows, "a", at(40)),
            Admission::Go,
            "its own start is not in its way"
        );
        assert_eq!(admit(&mut ledger, &windows, "b", at(41)), Admission::At(after(at(100), TICK)));
        assert_eq!(admit(&mut ledger, &windows, "a", at(30)), Admission::Go, "a clock that is behind");
    }

    #[test]
    fn a_place_that_was_given_back_is_used() {
        let windows = [Window { limit: 1, period: seconds(60) }];
        let mut ledger = Vec::new();
        for id in ["a", "b"] {
            admit(&mut ledger, &windows, id, at(0));
        }
        withdraw(&mut ledger, "b");
        assert_eq!(admit(&mut ledger, &windows, "c", at(1)), Admission::At(after(at(60), TICK)));
    }

    /// When each arrival starts, and to which phone: it needs a start of its phone's key and one of a key that all share.
    fn starts_of_two_keys(
        arrivals: &[(i64, usize)],
        phone: &[Window],
        all: &[Window],
    ) -> Vec<(Timestamp, usize)> {
        let (mut phones, mut shared) = (vec![Vec::new(); 3], Vec::new());
        let mut due: std::collections::BTreeSet<_> =
            arrivals.iter().enumerate().map(|(n, (time, _))| (at(*time), n)).collect();
        let mut starts = Vec::new();
        while let Some((now, n)) = due.pop_first() {
            let (id, to) = (n.to_string(), arrivals[n].1);
            let admission = match admit(&mut phones[to], phone, &id, now) {
                Admission::Go => admit(&mut shared, all, &id, now),
                later @ Admission::At(_) => later,
            };
            match admission {
                Admission::Go => starts.push((now, to)),
                Admission::At(reserved) => drop(due.insert((reserved, n))),
            }
        }
        starts
    }

    proptest! {
        /// A start that one key admits and the other makes wait counts from when it happens, for both.
        #[test]
        fn two_keys_are_both_strict(
            arrivals in prop::collection::vec((0_i64..200, 0_usize..3), 1..40),
            (phone, all) in (1_u32..4, 1_u32..8),
        ) {
            let phone = [Window { limit: phone, period: seconds(30) }];
            let all = [Window { limit: all, period: seconds(40) }, Window { limit: 12, period: seconds(100) }];
            let starts = starts_of_two_keys(&arrivals, &phone, &all);
            prop_assert_eq!(starts.len(), arrivals.len());
            let times = |to: Option<usize>| -> Vec<_> {
                starts.iter().filter(|start| to.is_none_or(|to| start.1 == to)).map(|start| start.0).collect()
            };
            let of_phones = (0..3).map(|to| (times(Some(to)), phone[0]));
            for (times, window) in of_phones.chain(all.into_iter().map(|window| (times(None), window))) {
                for group in times.windows(window.limit as usize + 1) {
                    prop_assert!(group[group.len() - 1].duration_since(group[0]).unsigned_abs() > window.period);
                }
            }
        }

        /// Arrivals at any time, each served late by any delay: the starts that happened never crowd a window, in
        /// whatever order they are served, and everybody is served.
        #[test]
        fn no_window_is_ever_crowded(
            arrivals in prop::collection::vec((0_i64..200, 0_i64..90), 1..60),
            limit in 1_u32..6,
        ) {
            let windows = [Window { limit, period: seconds(30) }, Window { limit: limit * 2, period: seconds(100) }];
            let mut ledger = Vec::new();
            let mut due: std::collections::BTreeSet<_> =
                arrivals.iter().enumerate().map(|(n, (t, _))| (at(*t), n)).collect();
            let mut starts = Vec::new();
            let mut now = at(0);
            while let Some((time, n)) = due.pop_first() {
                now = now.max(time);
                match admit(&mut ledger, &windows, &n.to_string(), now) {
                    Admission::Go => starts.push(now),
                    Admission::At(reserved) => {
                        prop_assert!(reserved > now);
                        due.insert((after(reserved, seconds(arrivals[n].1.unsigned_abs())), n));
                    }
                }
            }
            prop_assert_eq!(starts.len(), arrivals.len());
            for window in windows {
                for pair in starts.windows(window.limit as usize + 1) {
                    prop_assert!(pair[pair.len() - 1].duration_since(pair[0]).unsigned_abs() > window.period);
                }
            }
        }
    }
}
