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
        let registry: Self = serde_path_to_error::deserialize(&mut parser)
            .map_err(|error| wrong(error.path(), error.inner()))?;
        parser.end().map_err(|error| wrong("after its end", error))?;
        registry.check()?;
        Ok(registry)
    }

    /// What would route tasks wrongly is refused: an id that two agents have, one that is no part of an event's name, a
    /// trigger that is in every description, and a list of nobody.
    fn check(&self) -> Result<()> {
        if self.active().next().is_none() {
            return Err(wrong("agents", "expected at least one that is active"));
        }
        for (index, agent) in self.agents.iter().enumerate() {
            let field = |name: &str| format!("agents[{index}].{name}");
            if !is_name(&agent.id) {
                return Err(wrong(field("id"), "expected a name without spaces or slashes"));
            }
            if self.agents[..index].iter().any(|earlier| earlier.id == agent.id) {
                return Err(wrong(
                    field("id"),
                    format!("expected one of its own, and {} is taken", agent.id),
                ));
            }
            if let Some(empty) = agent.triggers.iter().position(|trigger| trigger.trim().is_empty()) {
                return Err(wrong(field(&format!("triggers[{empty}]")), "expected a word"));
            }
        }
        Ok(())
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

fn wrong(field: impl std::fmt::Display, problem: impl std::fmt::Display) -> Error {
    Error::fatal(format!("registry.json: {field}: {problem}"))
}

/// Whether a text can be a part of an event's name.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', ' '])
}

impl Agent {
    /// How many of its triggers a text contains. A trigger is found within words too: "data" is in "database".
    pub(crate) fn score(&self, text: &str) -> usize {
        let text = text.to_lowercase();
        self.triggers.iter().filter(|trigger| text.contains(&trigger.to_lowercase())).count()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn agent(id: &str, triggers: Value) -> Value {
        json!({"id": id, "name": id, "status": "active", "triggers": triggers})
    }

    fn problem(registry: &Value) -> String {
        Registry::from_json(&registry.to_string()).unwrap_err().message().to_owned()
    }

    #[test]
    fn a_registry_that_would_route_wrongly_is_refused_by_field() {
        let of = |agents: Value| json!({"agents": agents});
        let good = agent("a", json!(["x"]));
        let retired = json!({"id": "r", "name": "r", "status": "retired", "triggers": []});
        for (registry, says) in [
            (json!({}), "missing field `agents`"),
            (of(json!([])), "agents: expected at least one that is active"),
            (of(json!([retired])), "agents: expected at least one that is active"),
            (
                of(json!([good, agent("a", json!([]))])),
                "agents[1].id: expected one of its own, and a is taken",
            ),
            (of(json!([agent("a b", json!([]))])), "agents[0].id: expected a name"),
            (of(json!([good, agent("b", json!(["y", " "]))])), "agents[1].triggers[1]: expected a word"),
            (of(json!([good, {"id": "b"}])), "agents[1]: missing field `name`"),
        ] {
            assert!(problem(&registry).contains(says), "{}", problem(&registry));
        }
        let twice = format!("{0}{0}", of(json!([good])));
        assert!(Registry::from_json(&twice).unwrap_err().message().contains("after its end"));
    }
}
