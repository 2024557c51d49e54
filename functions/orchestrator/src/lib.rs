//! The orchestrator: a task comes in, a routing decision or a queued event goes out.
//!
//! A task that takes longer than a caller waits for becomes the event `{agent}/{action}`; whatever listens to it, a
//! workflow or an agent's own queue, does the work.

mod entry;
mod registries;
mod registry;
mod task;

use durable::{Bus, Envelope, Error, Result};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

pub use entry::invoke;
pub use registries::{Edition, FileSource, Registries, Source};
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
    /// No agent matches, or the one that was named is not there.
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
    if let Some(id) = &task.agent {
        return match registry.active().find(|agent| agent.id == *id) {
            Some(named) => Answer::Routed { agent: named.clone(), alternatives: Vec::new() },
            // Not somebody else whose triggers are in the description: the caller had somebody in mind.
            None => {
                Answer::NoMatch { message: format!("there is no active agent {id}; {}", known(registry)) }
            }
        };
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
        (None, _) => Answer::NoMatch {
            message: format!("no agent's triggers are in the description; {}", known(registry)),
        },
        (Some((agent, _)), count) if count == 1 || task.auto_select => {
            Answer::Routed { agent: (*agent).clone(), alternatives: listed.into_iter().skip(1).collect() }
        }
        _ => Answer::MultipleMatches { options: listed },
    }
}

fn known(registry: &Registry) -> String {
    let ids: Vec<_> = registry.active().map(|agent| agent.id.as_str()).collect();
    format!("name one as agent: {}", ids.join(", "))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use durable::{Context, Workflow, testing::Simulation};
    use futures::executor::block_on;
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
    fn ties_stay_in_the_registrys_order_and_the_first_is_taken() {
        let registry = |ids: [&str; 2]| {
            let agents =
                ids.map(|id| json!({"id": id, "name": id, "status": "active", "triggers": ["data"]}));
            Registry::from_json(&json!({ "agents": agents }).to_string()).unwrap()
        };
        for ids in [["a", "b"], ["b", "a"]] {
            let ask = |auto_select| {
                let task = Task { description: "data".into(), auto_select, ..Task::default() };
                choose(&registry(ids), &task)
            };
            let tied = ids.map(|id| Match { agent: id.into(), score: 1 });
            assert_eq!(ask(false), Answer::MultipleMatches { options: tied.clone().into() });
            let Answer::Routed { agent, alternatives } = ask(true) else { panic!("nobody was taken") };
            assert_eq!((agent.id.as_str(), &alternatives[..]), (ids[0], &tied[1..]));
        }
    }

    #[test]
    fn an_agent_that_is_not_there_is_no_other_ones_task() {
        let unknown = json!({"agent": "nobody", "description": "CPU of the VPS", "auto_select": true});
        let Decision::Answer(Answer::NoMatch { message }) = answer(unknown).unwrap() else { panic!("taken") };
        assert!(message.starts_with("there is no active agent nobody; name one as agent: vps-monitor, "));
        // Whoever listens to the event of a long task need not be in the registry.
        let long = json!({"agent": "agent", "action": "build.requested", "estimated_duration": 1500});
        assert_eq!(status(long), "agent/build.requested");
    }

    #[test]
    fn a_duration_that_is_missing_means_short_and_a_negative_one_is_refused() {
        let task = |duration: Value| json!({"agent": "vps-monitor", "action": "audit", "estimated_duration": duration});
        assert_eq!(status(json!({"agent": "vps-monitor", "action": "audit"})), "routed");
        assert_eq!((status(task(Value::Null)), status(task(json!(0)))), ("routed".into(), "routed".into()));
        for refused in [json!(-1), json!(-0.5), json!("90")] {
            let error = answer(task(refused)).unwrap_err();
            assert!(error.message().starts_with("estimated_duration: ") && !error.is_retryable(), "{error}");
        }
    }

    #[test]
    fn a_task_handed_in_again_with_its_id_is_answered_as_before_and_done_once() {
        async fn audit(ctx: Context<Value>, done: Arc<AtomicU32>) -> Result<()> {
            let count = async || {
                done.fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            ctx.step("audit").run(count).await
        }
        let done = Arc::<AtomicU32>::default();
        let workflow = Workflow::new("audit", audit).on_event("vps-monitor/audit").with(done.clone());
        let mut simulation = Simulation::of(workflow);
        let registry = Registry::shipped().unwrap();
        let mut hand_in = |id: Option<&str>, fresh_id: &str, disk: &str| {
            let task = json!({"id": id, "agent": "vps-monitor", "action": "audit", "estimated_duration": 90, "disk": disk});
            let bus = simulation.ports().bus.clone();
            let answer = block_on(handle(&registry, &*bus, task, fresh_id, simulation.now())).unwrap();
            simulation.run_until_idle();
            answer
        };
        let queued = |id: &str| Answer::Queued { id: id.into() };
        assert_eq!(hand_in(Some("t-1"), "x", "first"), queued("t-1"));
        assert_eq!(hand_in(Some("t-1"), "y", "second"), queued("t-1"));
        assert_eq!(done.load(Ordering::Relaxed), 1);
        assert_eq!(hand_in(None, "z", "without an id"), queued("z"));
        assert_eq!(done.load(Ordering::Relaxed), 2);
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
