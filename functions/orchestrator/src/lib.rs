//! The orchestrator: a task comes in, a routing decision or a queued event goes out.
//!
//! A task that takes longer than a caller waits for becomes the event `{agent}/{action}`; whatever listens to it, a
//! workflow or an agent's own queue, does the work.

mod entry;
mod registry;
mod task;

use durable::{Bus, Envelope, Error, Result};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

pub use entry::invoke;
pub use registry::{Agent, Registry};
pub use task::Task;

/// Tasks estimated to take longer than this, in seconds, are queued.
pub const LONGEST_WAIT: f64 = 60.0;

/// What the caller is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Answer {
    /// The task became an event.
    Queued {
        /// The event's id.
        id: String,
    },
    /// One agent is to do it.
    Routed {
        /// Which.
        agent: Agent,
        /// The other agents that matched, best first.
        alternatives: Vec<Match>,
    },
    /// Several agents match: the caller chooses.
    MultipleMatches {
        /// Which, best first.
        options: Vec<Match>,
    },
    /// No agent matches.
    NoMatch {
        /// What could be said instead.
        message: String,
    },
}

/// An agent that matches a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Match {
    /// The agent's id.
    pub agent: String,
    /// How many of its triggers the description contains.
    pub score: usize,
}

/// What is to be done with a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Publish it as an event of this name.
    Queue(String),
    /// Answer.
    Answer(Answer),
}

/// Decides what is to be done with a task.
///
/// ```
/// use orchestrator::{Decision, Registry, Task, route};
///
/// let registry = Registry::shipped()?;
/// let task = Task { agent: Some("vps-monitor".into()), action: Some("audit".into()), estimated_duration: Some(90.0), ..Task::default() };
/// assert_eq!(route(&registry, &task)?, Decision::Queue("vps-monitor/audit".into()));
/// # Ok::<(), durable::Error>(())
/// ```
pub fn route(registry: &Registry, task: &Task) -> Result<Decision> {
    if task.estimated_duration.unwrap_or_default() > LONGEST_WAIT {
        return Ok(Decision::Queue(event_name(task)?));
    }
    Ok(Decision::Answer(choose(registry, task)))
}

/// Decides, and carries it out: the event is durable before the answer is given. `fresh_id` identifies a task that has
/// no id of its own.
pub async fn handle(
    registry: &Registry,
    bus: &dyn Bus,
    task: Value,
    fresh_id: &str,
    now: Timestamp,
) -> Result<Answer> {
    let read = Task::from_json(&task)?;
    match route(registry, &read)? {
        Decision::Answer(answer) => Ok(answer),
        Decision::Queue(name) => {
            let id = read.id.unwrap_or_else(|| fresh_id.to_owned());
            bus.publish(&[Envelope::untyped(&id, name, task, now)?]).await?;
            Ok(Answer::Queued { id })
        }
    }
}

fn event_name(task: &Task) -> Result<String> {
    let part = |field: &str, value: &Option<String>| {
        let missing = format!(
            "{field}: expected, since a task of more than {LONGEST_WAIT} s becomes the event agent/action"
        );
        value.clone().ok_or_else(|| Error::fatal(missing))
    };
    Ok(format!("{}/{}", part("agent", &task.agent)?, part("action", &task.action)?))
}

fn choose(registry: &Registry, task: &Task) -> Answer {
    if let Some(named) = registry.active().find(|agent| task.agent.as_ref() == Some(&agent.id)) {
        return Answer::Routed { agent: named.clone(), alternatives: Vec::new() };
    }
    let mut matches: Vec<_> = registry
        .active()
        .map(|agent| (agent, agent.score(&task.description)))
        .filter(|(_, score)| *score > 0)
        .collect();
    // A stable sort: ties stay in the registry's order.
    matches.sort_by_key(|(_, score)| std::cmp::Reverse(*score));
    let listed: Vec<_> =
        matches.iter().map(|(agent, score)| Match { agent: agent.id.clone(), score: *score }).collect();
    match (matches.first(), listed.len()) {
        (None, _) => Answer::NoMatch { message: no_match(registry) },
        (Some((agent, _)), count) if count == 1 || task.auto_select => {
            Answer::Routed { agent: (*agent).clone(), alternatives: listed.into_iter().skip(1).collect() }
        }
        _ => Answer::MultipleMatches { options: listed },
    }
}

fn no_match(registry: &Registry) -> String {
    let ids: Vec<_> = registry.active().map(|agent| agent.id.as_str()).collect();
    format!("no agent's triggers are in the description; name one as agent: {}", ids.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(task: Value) -> Result<Decision> {
        route(&Registry::shipped()?, &Task::from_json(&task)?)
    }

    fn status(task: Value) -> String {
        match answer(task).unwrap() {
            Decision::Queue(name) => name,
            Decision::Answer(answer) => {
                serde_json::to_value(answer).unwrap()["status"].as_str().unwrap().to_owned()
            }
        }
    }

    #[test]
    fn only_above_sixty_seconds_a_task_is_queued() {
        let task =
            |seconds| json!({"agent": "vps-monitor", "action": "audit", "estimated_duration": seconds});
        assert_eq!(status(task(60.0)), "routed");
        assert_eq!(status(task(60.5)), "vps-monitor/audit");
    }

    #[test]
    fn triggers_decide_and_are_found_within_words_and_in_any_case() {
        assert_eq!(status(json!({"description": "CPU of the VPS"})), "routed");
        assert_eq!(status(json!({"description": "query the DATABASES"})), "multiple_matches");
        assert_eq!(status(json!({"description": "make coffee"})), "no_match");
        assert_eq!(status(json!({"description": "query the databases", "auto_select": true})), "routed");
    }

    #[test]
    fn the_best_match_comes_first() {
        let Decision::Answer(Answer::MultipleMatches { options }) =
            answer(json!({"description": "sync the convex database with neon"})).unwrap()
        else {
            panic!("not ambiguous")
        };
        let scores: Vec<_> = options.iter().map(|option| (option.agent.as_str(), option.score)).collect();
        assert_eq!(scores, [("convex-database", 3), ("neon-database", 2)]);
    }

    #[test]
    fn a_wrong_field_is_named() {
        let error = |task| answer(task).unwrap_err().to_string();
        assert!(error(json!({"estimated_duration": "long"})).starts_with("estimated_duration: invalid type"));
        assert!(error(json!({"estimated_duration": -1})).starts_with("estimated_duration: expected"));
        assert!(error(json!({"agent": "a", "estimated_duration": 61})).starts_with("action: expected"));
        assert!(error(json!({"agent": "a b"})).starts_with("agent: expected"));
        assert!(error(json!(["a"])).starts_with("task: expected an object"));
    }
}
