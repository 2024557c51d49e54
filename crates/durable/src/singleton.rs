//! Of all runs of a key, only the newest goes on: who that is, and whom it supersedes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::RunId;

/// Who asks to be the newest run of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claimant {
    /// When what it is about was asked for. Deliveries may come in another order.
    pub at: Timestamp,
    /// The run; it decides between two of the same time.
    pub run: RunId,
}

/// What is kept about a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The newest run that has asked. It stays when that run has ended, so that an older one that comes late stays away.
    pub newest: Claimant,
    /// Runs that it supersedes and that nobody has said to have ended.
    pub superseded: Vec<RunId>,
}

/// What a run that asks is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is the newest. These are to be cancelled, and that is to be [acknowledged](acknowledge).
    Newest {
        /// Which.
        superseded: Vec<RunId>,
    },
    /// There is a newer one.
    Superseded,
}

/// Asks to be the newest run, and brings the register up to date. Asking again is answered alike.
pub fn claim(register: &mut Option<Register>, claimant: &Claimant) -> Claim {
    let Some(known) = register else {
        *register = Some(Register { newest: claimant.clone(), superseded: Vec::new() });
        return Claim::Newest { superseded: Vec::new() };
    };
    if known.newest > *claimant {
        return Claim::Superseded;
    }
    if known.newest < *claimant {
        let before = std::mem::replace(&mut known.newest, claimant.clone());
        known.superseded.push(before.run);
    }
    Claim::Newest { superseded: known.superseded.clone() }
}

/// These runs have ended.
pub fn acknowledge(register: &mut Option<Register>, ended: &[RunId]) {
    if let Some(register) = register {
        register.superseded.retain(|run| !ended.contains(run));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{after, seconds};

    fn claimant(run: &str, second: u64) -> Claimant {
        Claimant { at: after(Timestamp::UNIX_EPOCH, seconds(second)), run: RunId::from_text(run) }
    }

    fn newest(superseded: &[&str]) -> Claim {
        Claim::Newest { superseded: superseded.iter().copied().map(RunId::from_text).collect() }
    }

    #[test]
    fn the_newest_supersedes_all_before_it_until_they_have_ended() {
        let mut register = None;
        assert_eq!(claim(&mut register, &claimant("a", 1)), newest(&[]));
        assert_eq!(claim(&mut register, &claimant("b", 2)), newest(&["a"]));
        // It died before it had cancelled anybody, and a third is quicker than its return.
        assert_eq!(claim(&mut register, &claimant("c", 3)), newest(&["a", "b"]));
        assert_eq!(claim(&mut register, &claimant("c", 3)), newest(&["a", "b"]), "asking again");
        assert_eq!(claim(&mut register, &claimant("b", 2)), Claim::Superseded);
        acknowledge(&mut register, &[RunId::from_text("a"), RunId::from_text("b")]);
        assert_eq!(claim(&mut register, &claimant("c", 3)), newest(&[]));
    }

    #[test]
    fn an_older_one_that_comes_late_stays_away() {
        let mut register = None;
        claim(&mut register, &claimant("new", 9));
        assert_eq!(claim(&mut register, &claimant("old", 8)), Claim::Superseded);
        assert_eq!(claim(&mut register, &claimant("mew", 9)), Claim::Superseded, "of one time, one stays");
    }
}
