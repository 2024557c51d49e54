//! Who holds a concurrency key and who is next: plain functions over a key's members in order of arrival.

use serde::{Deserialize, Serialize};

use crate::RunId;

/// One run that holds a slot of a key or waits for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The run.
    pub run: RunId,
    /// Where it stands.
    pub place: Place,
    /// Who gave it its slot, if somebody did.
    pub giver: Option<RunId>,
}

/// Where a run stands with a concurrency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Waits for a slot.
    Waiting,
    /// Was handed a slot and has not been seen since: it must be woken.
    Handed,
    /// Holds a slot and knows it.
    Holding,
}

/// What a run that asks for a slot is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// The slot is held, until it is released.
    Held,
    /// Every slot is taken: place in the line, from 1.
    Waiting(u32),
}

/// `run` asks for one of `limit` slots. Members are in order of arrival; asking again changes nothing.
pub fn acquire(line: &mut Vec<Member>, limit: u32, run: &RunId) -> Slot {
    let index = line.iter().position(|member| member.run == *run).unwrap_or_else(|| {
        line.push(Member { run: run.clone(), place: Place::Waiting, giver: None });
        line.len() - 1
    });
    hand_over(line, limit, run);
    if line[index].place == Place::Waiting {
        let ahead = line[..index].iter().filter(|member| member.place == Place::Waiting).count();
        return Slot::Waiting(u32::try_from(ahead + 1).unwrap_or(u32::MAX));
    }
    line[index].place = Place::Holding;
    Slot::Held
}

/// `run` leaves, whether it held a slot or waited for one, and its slot goes to the next in line.
///
/// Answers every run that `run` gave a slot and that has not been seen since. All of them must be woken, those that an earlier
/// release by `run` gave one too: it may have died before the wake-up was sent. Those that others gave a slot are theirs to
/// wake: were each release to wake them as well, the wake-ups of a long line would multiply.
pub fn release(line: &mut Vec<Member>, limit: u32, run: &RunId) -> Vec<RunId> {
    line.retain(|member| member.run != *run);
    hand_over(line, limit, run);
    let handed = |member: &&Member| member.place == Place::Handed && member.giver.as_ref() == Some(run);
    line.iter().filter(handed).map(|member| member.run.clone()).collect()
}

fn hand_over(line: &mut [Member], limit: u32, giver: &RunId) {
    let held = line.iter().filter(|member| member.place != Place::Waiting).count();
    let free = (limit.max(1) as usize).saturating_sub(held);
    for member in line.iter_mut().filter(|member| member.place == Place::Waiting).take(free) {
        (member.place, member.giver) = (Place::Handed, Some(giver.clone()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(n: u32) -> RunId {
        RunId::of("test", &n.to_string())
    }

    #[test]
    fn the_slot_goes_to_the_next_in_line_who_must_be_woken() {
        let mut line = Vec::new();
        assert_eq!(acquire(&mut line, 1, &run(1)), Slot::Held);
        assert_eq!(acquire(&mut line, 1, &run(2)), Slot::Waiting(1));
        assert_eq!(acquire(&mut line, 1, &run(3)), Slot::Waiting(2));
        assert_eq!(release(&mut line, 1, &run(1)), [run(2)]);
        assert_eq!(
            release(&mut line, 1, &run(1)),
            [run(2)],
            "a repeated release wakes again, and hands nothing more"
        );
        assert_eq!(acquire(&mut line, 1, &run(3)), Slot::Waiting(1));
        assert_eq!(acquire(&mut line, 1, &run(2)), Slot::Held);
        assert_eq!(release(&mut line, 1, &run(2)), [run(3)]);
    }

    #[test]
    fn a_run_is_woken_by_whoever_gave_it_its_slot_and_by_nobody_else() {
        let mut line = Vec::new();
        for n in 1..=5 {
            acquire(&mut line, 2, &run(n));
        }
        assert_eq!(release(&mut line, 2, &run(1)), [run(3)]);
        assert_eq!(release(&mut line, 2, &run(2)), [run(4)]);
        assert_eq!(release(&mut line, 2, &run(1)), [run(3)]);
        assert_eq!(acquire(&mut line, 2, &run(3)), Slot::Held);
        assert_eq!(release(&mut line, 2, &run(1)), [], "it has come");
    }

    #[test]
    fn whoever_gives_up_waiting_leaves_the_line() {
        let mut line = Vec::new();
        for n in 1..=3 {
            acquire(&mut line, 1, &run(n));
        }
        assert_eq!(release(&mut line, 1, &run(2)), []);
        assert_eq!(acquire(&mut line, 1, &run(3)), Slot::Waiting(1));
    }

    proptest! {
        /// I4 and I6: never more holders than the limit, and slots go out in the order of arrival.
        #[test]
        fn never_more_than_the_limit_and_first_come_first_served(
            limit in 1_u32..4,
            moves in prop::collection::vec((0_u32..8, any::<bool>()), 1..80),
        ) {
            let mut line: Vec<Member> = Vec::new();
            for (n, joins) in moves {
                if joins {
                    acquire(&mut line, limit, &run(n));
                } else {
                    release(&mut line, limit, &run(n));
                }
                let held = line.iter().filter(|member| member.place != Place::Waiting).count();
                prop_assert!(held <= limit as usize);
                prop_assert!(held == limit as usize || held == line.len(), "a slot lies idle");
                let first_waiting = line.iter().position(|member| member.place == Place::Waiting);
                let last_held = line.iter().rposition(|member| member.place != Place::Waiting);
                prop_assert!(first_waiting.zip(last_held).is_none_or(|(waiting, held)| held < waiting));
            }
        }
    }
}
