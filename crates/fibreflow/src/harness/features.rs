//! `feature_list.json`: what an agent is to be able to do, and what it can do already.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The features of an agent. Real lists are partial: what they declare in total is not what they list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureList {
    /// The agent.
    pub agent_name: String,
    /// How many there are to be, where the list says so.
    #[serde(default)]
    pub total_features: Option<u32>,
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
    /// Whether it waits for a person: sessions have tried in vain.
    #[serde(default)]
    pub manual_review_needed: bool,
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
    #[error("features depend on each other in a circle: {}", arrows(.0))]
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
        self.circle().map_or(Ok(()), |circle| Err(FeatureListError::Circle(circle)))
    }

    /// The feature with this number.
    pub fn feature(&self, id: u32) -> Option<&Feature> {
        self.features.iter().find(|feature| feature.id == id)
    }

    /// Features that depend on each other in a circle, its first once more at the end; `None` when there is no such circle.
    fn circle(&self) -> Option<Vec<u32>> {
        let mut waiting: Vec<&Feature> = self.features.iter().collect();
        // What needs nothing that still waits goes, until nothing does: what is left is in a circle, or needs one that is.
        loop {
            let ids: BTreeSet<_> = waiting.iter().map(|feature| feature.id).collect();
            let before = waiting.len();
            waiting.retain(|feature| feature.dependencies.iter().any(|id| ids.contains(id)));
            if waiting.len() == before {
                break;
            }
        }
        let mut path = vec![waiting.first()?.id];
        loop {
            let last = path.last().and_then(|id| waiting.iter().find(|feature| feature.id == *id))?;
            let next =
                last.dependencies.iter().find(|id| waiting.iter().any(|feature| feature.id == **id))?;
            let seen = path.iter().position(|id| id == next);
            path.push(*next);
            if let Some(seen) = seen {
                return Some(path.split_off(seen));
            }
        }
    }
}

/// `1 → 2 → 1`
fn arrows(circle: &[u32]) -> String {
    circle.iter().map(u32::to_string).collect::<Vec<_>>().join(" → ")
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
            manual_review_needed: false,
        };
        FeatureList {
            agent_name: "demo".into(),
            total_features: None,
            features: features.iter().map(feature).collect(),
        }
    }

    #[test]
    fn a_list_as_they_are_is_read_whatever_else_it_has() {
        let list: FeatureList = serde_json::from_value(serde_json::json!({
            "agent_name": "sharepoint", "total_features": 20, "completed": 1, "categories": {"core": [1]}, "status": "x",
            "features": [
                {"id": 1, "description": "a", "passes": true, "notes": "n", "completed_at": "2026-01-01"},
                {"id": 2, "description": "b", "dependencies": [1], "attempts": 10, "manual_review_needed": true},
            ],
        }))
        .unwrap();
        assert_eq!((list.validate(), list.total_features), (Ok(()), Some(20)));
        assert!(list.feature(1).unwrap().passes && list.feature(2).unwrap().manual_review_needed);
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
            list(&[(4, false, &[2]), (1, false, &[2]), (2, false, &[3]), (3, false, &[1])]).validate(),
            Err(FeatureListError::Circle(vec![2, 3, 1, 2])),
            "without what only needs it"
        );
        let circle = list(&[(1, false, &[1])]).validate().unwrap_err();
        assert_eq!(circle.to_string(), "features depend on each other in a circle: 1 → 1");
    }
}
