//! The agents there are, and what they answer to.

use durable::{Error, Result};
use serde::{Deserialize, Serialize};

/// `registry.json`: the agents a task may be routed to.
#[derive(Debug, Clone, Deserialize)]
pub struct Registry {
    /// The agents, in the order in which ties are listed.
    pub agents: Vec<Agent>,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Its id, the first part of the names of its events.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// `active`, or something else that keeps tasks away from it.
    pub status: String,
    /// What it does, for people.
    #[serde(default)]
    pub description: String,
    /// Words in a task's description that point to it.
    pub triggers: Vec<String>,
}

impl Registry {
    /// Reads a registry; the error names the field that is wrong.
    pub fn from_json(text: &str) -> Result<Self> {
        let mut parser = serde_json::Deserializer::from_str(text);
        serde_path_to_error::deserialize(&mut parser)
            .map_err(|error| Error::fatal(format!("registry.json: {}: {}", error.path(), error.inner())))
    }

    /// The registry the project ships: FibreFlow's five agents.
    pub fn shipped() -> Result<Self> {
        Self::from_json(include_str!("../registry.json"))
    }

    /// The agents that take tasks.
    pub fn active(&self) -> impl Iterator<Item = &Agent> {
        self.agents.iter().filter(|agent| agent.status == "active")
    }
}

impl Agent {
    /// How many of its triggers a text contains. A trigger is found within words too: "data" is in "database".
    pub(crate) fn score(&self, text: &str) -> usize {
        let text = text.to_lowercase();
        self.triggers.iter().filter(|trigger| text.contains(&trigger.to_lowercase())).count()
    }
}
