//! What a build does next: a plain function of the list as it is now and of what this build has tried.

use std::{collections::BTreeMap, time::Duration};

use durable::{Error, Result, minutes, seconds};
use fibreflow::harness::{Feature, FeatureList, Review};

/// How often a build tries a feature; each time is a step of three attempts.
const ROUNDS: u32 = 3;

/// A build that has had so many turns comes to no end: its sessions add features quicker than they build them.
const MOST_TURNS: u32 = 1_000;

/// How often in all a build waits because the harness asks for time.
const MOST_DEFERRALS: u32 = 200;

/// What a build has tried.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    turns: u32,
    deferrals: u32,
    tried: BTreeMap<u32, Tried>,
    pub(crate) built: Vec<u32>,
}

#[derive(Debug, Default)]
struct Tried {
    rounds: u32,
    error: String,
}

/// A feature whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn<'a> {
    pub(crate) feature: &'a Feature,
    /// Which try of this build it is, from 1.
    pub(crate) round: u32,
    /// To be waited before.
    pub(crate) pause: Duration,
}

impl Plan {
    /// The next feature: one that does not work yet and whose dependencies all do; those tried least first, then in the order
    /// of the list. `None` when there is nothing left that sessions can do.
    pub(crate) fn next<'a>(&self, list: &'a FeatureList) -> Result<Option<Turn<'a>>> {
        let ready = list.features.iter().filter(|feature| self.is_open(feature) && is_ready(list, feature));
        let Some(feature) = ready.min_by_key(|feature| self.rounds(feature.id)) else { return Ok(None) };
        if self.turns >= MOST_TURNS {
            return Err(Error::fatal(format!("after {MOST_TURNS} sessions the build has come to no end")));
        }
        let rounds = self.rounds(feature.id);
        let pause = match rounds {
            0 if self.turns == 0 => Duration::ZERO,
            0 => seconds(30),
            // What failed three times in a row wants something to change meanwhile.
            failed => minutes(5) * (1 << (failed - 1)),
        };
        Ok(Some(Turn { feature, round: rounds + 1, pause }))
    }

    /// The harness asks for time: that is nobody's failure, within reason.
    pub(crate) fn deferred(&mut self, reason: &str) -> Result<()> {
        self.deferrals += 1;
        if self.deferrals <= MOST_DEFERRALS {
            return Ok(());
        }
        Err(Error::fatal(format!("the harness asked for time {MOST_DEFERRALS} times, at last: {reason}")))
    }

    /// A feature's session failed, or ended: whether it works now, the list says.
    pub(crate) fn tried(&mut self, feature: u32, failure: Option<String>, list: &FeatureList) {
        self.turns += 1;
        let works = list.feature(feature).is_none_or(|feature| feature.passes);
        if works && !self.built.contains(&feature) {
            self.built.push(feature);
        }
        let tried = self.tried.entry(feature).or_default();
        tried.rounds += 1;
        tried.error =
            failure.unwrap_or_else(|| "the session ended, and the feature does not pass".to_owned());
    }

    /// The features that this build has given up.
    pub(crate) fn given_up(&self, list: &FeatureList) -> Vec<Review> {
        let given_up = |feature: &&Feature| !feature.passes && self.rounds(feature.id) >= ROUNDS;
        let review = |feature: &Feature| Review {
            feature_id: feature.id,
            attempts: self.rounds(feature.id),
            error: self.tried.get(&feature.id).map(|tried| tried.error.clone()).unwrap_or_default(),
        };
        list.features.iter().filter(given_up).map(review).collect()
    }

    fn rounds(&self, feature: u32) -> u32 {
        self.tried.get(&feature).map_or(0, |tried| tried.rounds)
    }

    fn is_open(&self, feature: &Feature) -> bool {
        !feature.passes && !feature.manual_review_needed && self.rounds(feature.id) < ROUNDS
    }
}

fn is_ready(list: &FeatureList, feature: &Feature) -> bool {
    feature.dependencies.iter().all(|id| list.feature(*id).is_some_and(|needed| needed.passes))
}

/// What does not work and is not for a person to look at: it waits for what is.
pub(crate) fn blocked(list: &FeatureList, given_up: &[Review]) -> Vec<u32> {
    let is_known = |id| given_up.iter().any(|review| review.feature_id == id);
    let open = list.features.iter().filter(|feature| !feature.passes && !feature.manual_review_needed);
    open.map(|feature| feature.id).filter(|id| !is_known(*id)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Features with their dependencies; those of `passing` work.
    fn list(features: &[(u32, &[u32])], passing: &[u32]) -> FeatureList {
        let feature = |(id, dependencies): &(u32, &[u32])| json!({"id": id, "description": "x", "dependencies": dependencies, "passes": passing.contains(id)});
        let features: Vec<_> = features.iter().map(feature).collect();
        serde_json::from_value(json!({"agent_name": "x", "features": features})).unwrap()
    }

    fn next(plan: &Plan, list: &FeatureList) -> Option<(u32, u32, u64)> {
        let turn = plan.next(list).unwrap()?;
        Some((turn.feature.id, turn.round, turn.pause.as_secs()))
    }

    #[test]
    fn what_a_feature_depends_on_comes_first() {
        let features: &[(u32, &[u32])] = &[(1, &[3]), (2, &[]), (3, &[2]), (4, &[])];
        let mut plan = Plan::default();
        assert_eq!(next(&plan, &list(features, &[2])), Some((3, 1, 0)), "at once, the first time");
        plan.tried(3, None, &list(features, &[2, 3]));
        assert_eq!(next(&plan, &list(features, &[2, 3])), Some((1, 1, 30)));
        assert_eq!(next(&plan, &list(features, &[1, 2, 3])), Some((4, 1, 30)));
        assert_eq!(next(&plan, &list(features, &[1, 2, 3, 4])), None);
        assert_eq!(plan.built, [3]);
    }

    #[test]
    fn a_feature_that_fails_lets_others_pass_and_is_given_up_in_the_end() {
        let features: &[(u32, &[u32])] = &[(1, &[]), (2, &[1]), (3, &[])];
        let (mut plan, mut passing) = (Plan::default(), vec![]);
        plan.tried(1, Some("crashed".into()), &list(features, &passing));
        assert_eq!(next(&plan, &list(features, &passing)), Some((3, 1, 30)));
        passing.push(3);
        plan.tried(3, None, &list(features, &passing));
        assert_eq!(next(&plan, &list(features, &passing)), Some((1, 2, 300)));
        plan.tried(1, None, &list(features, &passing));
        assert_eq!(next(&plan, &list(features, &passing)), Some((1, 3, 600)));
        plan.tried(1, Some("crashed again".into()), &list(features, &passing));
        let list = list(features, &passing);
        assert_eq!(next(&plan, &list), None);
        let given_up = plan.given_up(&list);
        assert_eq!(given_up, [Review { feature_id: 1, attempts: 3, error: "crashed again".into() }]);
        assert_eq!(blocked(&list, &given_up), [2]);
    }

    #[test]
    fn what_waits_for_a_person_is_left_alone() {
        let mut list = list(&[(1, &[]), (2, &[1])], &[]);
        list.features[0].manual_review_needed = true;
        let plan = Plan::default();
        assert_eq!((next(&plan, &list), plan.given_up(&list)), (None, vec![]));
        assert_eq!(blocked(&list, &[]), [2]);
    }

    #[test]
    fn what_works_in_the_end_was_not_given_up() {
        let features: &[(u32, &[u32])] = &[(1, &[])];
        let mut plan = Plan::default();
        for _ in 0..3 {
            plan.tried(1, Some("x".into()), &list(features, &[]));
        }
        assert_eq!(plan.given_up(&list(features, &[1])), []);
    }

    #[test]
    fn a_build_that_comes_to_no_end_is_ended() {
        let mut plan = Plan { turns: MOST_TURNS, ..Plan::default() };
        assert!(plan.next(&list(&[(1, &[])], &[])).unwrap_err().message().contains("come to no end"));
        plan.deferrals = MOST_DEFERRALS;
        assert!(plan.deferred("429").unwrap_err().message().ends_with("at last: 429"));
    }
}
