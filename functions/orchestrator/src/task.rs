//! A task, as a caller hands it in.

use durable::{Error, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::registry::is_name;

/// What the orchestrator reads of a task. Whatever else the task holds travels on with it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Task {
    /// The caller's id. A task handed in again with it is answered as before, and what listens to its event does the work
    /// once, whatever the second one says.
    #[serde(default)]
    pub id: Option<String>,
    /// The agent that is to do it, if the caller knows. One that the registry lacks is no other's to do.
    #[serde(default)]
    pub agent: Option<String>,
    /// What the agent is to do: the second part of the event's name.
    #[serde(default)]
    pub action: Option<String>,
    /// The task in words.
    #[serde(default)]
    pub description: String,
    /// How long it will take, in seconds. Missing means short; a negative one is refused.
    #[serde(default)]
    pub estimated_duration: Option<f64>,
    /// Take the best of several matching agents rather than ask.
    #[serde(default)]
    pub auto_select: bool,
}

impl Task {
    /// Reads a task; the error names the field that is wrong and what was expected.
    pub fn from_json(task: &Value) -> Result<Self> {
        if !task.is_object() {
            return Err(Error::fatal(
                "task: expected an object with agent, action, description, estimated_duration",
            ));
        }
        let task: Self = serde_path_to_error::deserialize(task)
            .map_err(|error| Error::fatal(format!("{}: {}", error.path(), error.inner())))?;
        if task.estimated_duration.is_some_and(|seconds| !(seconds.is_finite() && seconds >= 0.0)) {
            return Err(Error::fatal("estimated_duration: expected a number of seconds, 0 or more"));
        }
        for (field, part) in [("agent", &task.agent), ("action", &task.action)] {
            if part.as_ref().is_some_and(|part| !is_name(part)) {
                return Err(Error::fatal(format!("{field}: expected a name without spaces or slashes")));
            }
        }
        Ok(task)
    }
}
