//! `feature_list.json`: what an agent is to be able to do, and what it can do already.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The features of an agent. Real lists are partial: what they declare in total is not what they list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureList {
    /// The agent.
    pub agent_name: String,
    /// Its features.
    pub features: Vec<Feature>,
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// Its number in the list.
    pub id: u32,
    /// What it is.
    pub description: String,
    /// Its group.
    #[serde(default)]
    pub category: String,
    /// How it is checked.
    #[serde(default)]
    pub validation_steps: Vec<String>,
    /// Whether it works.
    #[serde(default)]
    pub passes: bool,
    /// The features that must work first.
    #[serde(default)]
    pub dependencies: Vec<u32>,
}

/// Why a list cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureListError {
    /// An agent without features is no agent; a build of none was once reported complete.
    #[error("it lists no features")]
    Empty,
    /// Two features have one number.
    #[error("feature {0} is listed twice")]
    Duplicate(u32),
    /// A feature needs one that is not listed.
    #[error("feature {feature} depends on feature {missing}, which is not listed")]
    Unknown {
        /// Which.
        feature: u32,
        /// The one it needs.
        missing: u32,
    },
    /// Features need each other.
    #[error("features {0:?} depend on each other in a circle")]
    Circle(Vec<u32>),
}

impl FeatureList {
    /// Whether it can be built.
    pub fn validate(&self) -> Result<(), FeatureListError> {
        if self.features.is_empty() {
            return Err(FeatureListError::Empty);
        }
        let mut ids = BTreeSet::new();
        if let Some(twice) = self.features.iter().find(|feature| !ids.insert(feature.id)) {
            return Err(FeatureListError::Duplicate(twice.id));
        }
        for feature in &self.features {
            if let Some(missing) = feature.dependencies.iter().find(|id| !ids.contains(id)) {
                return Err(FeatureListError::Unknown { feature: feature.id, missing: *missing });
            }
        }
        let ordered: BTreeSet<_> = self.in_order().iter().map(|feature| feature.id).collect();
        let circle: Vec<_> = ids.difference(&ordered).copied().collect();
        if circle.is_empty() { Ok(()) } else { Err(FeatureListError::Circle(circle)) }
    }

    /// The features that do not work yet, each after those it depends on, else in the order of the list.
    pub fn pending_in_order(&self) -> Vec<&Feature> {
        self.in_order().into_iter().filter(|feature| !feature.passes).collect()
    }

    /// All features that can be reached, dependencies first. What is in a circle is left out.
    fn in_order(&self) -> Vec<&Feature> {
        let mut ordered: Vec<&Feature> = Vec::with_capacity(self.features.len());
        let mut waiting: Vec<&Feature> = self.features.iter().collect();
        let mut done = BTreeSet::new();
        loop {
            let ready = |feature: &&&Feature| feature.dependencies.iter().all(|id| done.contains(id));
            let Some(next) = waiting.iter().position(|feature| ready(&feature)) else { return ordered };
            let feature = waiting.remove(next);
            done.insert(feature.id);
            ordered.push(feature);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(features: &[(u32, bool, &[u32])]) -> FeatureList {
        let feature = |(id, passes, dependencies): &(u32, bool, &[u32])| Feature {
            id: *id,
            description: format!("feature {id}"),
            category: String::new(),
            validation_steps: Vec::new(),
            passes: *passes,
            dependencies: dependencies.to_vec(),
        };
        FeatureList { agent_name: "demo".into(), features: features.iter().map(feature).collect() }
    }

    #[test]
    fn what_a_feature_depends_on_comes_first() {
        let list = list(&[(1, false, &[3]), (2, true, &[]), (3, false, &[2]), (4, false, &[])]);
        assert_eq!(list.validate(), Ok(()));
        assert_eq!(list.pending_in_order().iter().map(|feature| feature.id).collect::<Vec<_>>(), [3, 1, 4]);
    }

    #[test]
    fn a_list_that_cannot_be_built_says_why() {
        assert_eq!(list(&[]).validate(), Err(FeatureListError::Empty));
        assert_eq!(list(&[(1, false, &[]), (1, false, &[])]).validate(), Err(FeatureListError::Duplicate(1)));
        assert_eq!(
            list(&[(1, false, &[9])]).validate(),
            Err(FeatureListError::Unknown { feature: 1, missing: 9 })
        );
        assert_eq!(
            list(&[(1, false, &[2]), (2, false, &[1]), (3, false, &[])]).validate(),
            Err(FeatureListError::Circle(vec![1, 2]))
        );
    }
}
