//! Where things are: read from the environment once, at start.

use std::{collections::BTreeMap, time::Duration};

use durable::{Error, Result, hours, seconds};
use serde::Deserialize;

/// A workflow's queue.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Queue {
    /// Where messages are sent.
    pub url: String,
    /// What a schedule's target is named.
    pub arn: String,
    /// Where its dead letters go, to be put there with the reason. Without it SQS moves them itself, as the queue's redrive
    /// policy says, and keeps no reason.
    #[serde(default)]
    pub dead_letters: Option<String>,
}

/// Where things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The DynamoDB table of runs, lines and ledgers: `DURABLE_TABLE`.
    pub table: String,
    /// The S3 bucket of large values: `DURABLE_BUCKET`.
    pub bucket: String,
    /// The EventBridge bus: `DURABLE_BUS`.
    pub bus: String,
    /// The queue of each workflow: `DURABLE_QUEUES`, as JSON
    /// `{"<workflow>":{"url":"…","arn":"…","dead_letters":"…"}}`.
    pub queues: BTreeMap<String, Queue>,
    /// The queue of the worker in the private network: `DURABLE_JOBS`, if there is one.
    pub jobs: Option<String>,
    /// The group of one-time schedules: `DURABLE_SCHEDULE_GROUP`.
    pub schedule_group: String,
    /// The role with which a schedule sends to a queue: `DURABLE_SCHEDULE_ROLE_ARN`.
    pub schedule_role_arn: String,
    /// How long a run is kept after its end: `DURABLE_RETENTION_DAYS`, without it 30 days.
    pub retention: Duration,
    /// After how many receives a queue gives a message to its dead letters, as its redrive policy says:
    /// `DURABLE_RECEIVES`, without it 5.
    pub receives: u32,
    /// Waits up to this go through the queue, longer ones by a one-time schedule: `DURABLE_LONGEST_DELAY_SECONDS`, without
    /// it 15 minutes, which is the longest a queue can.
    pub longest_delay: Duration,
}

/// The longest delay SQS knows, in seconds.
const SQS_LONGEST: u32 = 900;

impl Settings {
    /// Reads the environment. Fails with one error that names all that is missing.
    #[expect(clippy::disallowed_methods, reason = "this is the one place, read once at start")]
    pub fn from_env() -> Result<Self> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads variables from wherever they are.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let mut wrong = Vec::new();
        let mut required = |name: &str, what: &str| {
            variable(name).unwrap_or_else(|| {
                wrong.push(format!("{name} is missing: expected {what}"));
                String::new()
            })
        };
        let table = required("DURABLE_TABLE", "the name of the DynamoDB table");
        let bucket = required("DURABLE_BUCKET", "the name of the S3 bucket");
        let bus = required("DURABLE_BUS", "the name of the EventBridge bus");
        let queues = required("DURABLE_QUEUES", r#"JSON such as {"<workflow>":{"url":"…","arn":"…"}}"#);
        let schedule_group =
            required("DURABLE_SCHEDULE_GROUP", "the name of the group of one-time schedules");
        let schedule_role_arn =
            required("DURABLE_SCHEDULE_ROLE_ARN", "the role with which a schedule may send to the queues");
        let parsed = if queues.is_empty() { Ok(BTreeMap::new()) } else { serde_json::from_str(&queues) };
        let queues = parsed.unwrap_or_else(|error| {
            wrong.push(format!(
                r#"DURABLE_QUEUES: {error}; expected {{"<workflow>":{{"url":"…","arn":"…"}}}}"#
            ));
            BTreeMap::new()
        });
        let mut number = |name: &str, default: u32, most: u32| {
            let Some(text) = variable(name) else { return default };
            text.trim().parse().ok().filter(|number| (1..=most).contains(number)).unwrap_or_else(|| {
                let limit = if most == u32::MAX { String::new() } else { format!(" and at most {most}") };
                wrong.push(format!("{name}: expected a whole number of at least 1{limit}, got {text:?}"));
                default
            })
        };
        let jobs = variable("DURABLE_JOBS");
        let retention = hours(24) * number("DURABLE_RETENTION_DAYS", 30, u32::MAX);
        let receives = number("DURABLE_RECEIVES", 5, u32::MAX);
        let longest_delay = seconds(number("DURABLE_LONGEST_DELAY_SECONDS", SQS_LONGEST, SQS_LONGEST).into());
        if !wrong.is_empty() {
            return Err(Error::fatal(wrong.join("; ")));
        }
        Ok(Self {
            table,
            bucket,
            bus,
            queues,
            jobs,
            schedule_group,
            schedule_role_arn,
            retention,
            receives,
            longest_delay,
        })
    }

    /// The queue of a workflow.
    pub fn queue(&self, workflow: &str) -> Result<&Queue> {
        self.queues.get(workflow).ok_or_else(|| {
            let known: Vec<_> = self.queues.keys().map(String::as_str).collect();
            Error::fatal(format!("DURABLE_QUEUES names no queue of {workflow}, only of {}", known.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(name: &str) -> Option<String> {
        Some(match name {
            "DURABLE_QUEUES" => r#"{"sync":{"url":"http://q/sync","arn":"arn:sync"}}"#.to_owned(),
            "DURABLE_RETENTION_DAYS"
            | "DURABLE_RECEIVES"
            | "DURABLE_LONGEST_DELAY_SECONDS"
            | "DURABLE_JOBS" => {
                return None;
            }
            other => format!("the {other}"),
        })
    }

    #[test]
    fn settings_are_read_and_have_defaults() {
        let settings = Settings::read(complete).unwrap();
        assert_eq!(settings.table, "the DURABLE_TABLE");
        assert_eq!(settings.queue("sync").unwrap().arn, "arn:sync");
        assert_eq!((settings.retention, settings.receives), (hours(720), 5));
        assert_eq!(settings.longest_delay, seconds(900));
        let error = settings.queue("other").unwrap_err();
        assert_eq!(error.message(), "DURABLE_QUEUES names no queue of other, only of sync");
    }

    #[test]
    fn one_error_names_all_that_is_missing() {
        let error = Settings::read(|_| None).unwrap_err();
        for name in ["TABLE", "BUCKET", "BUS", "QUEUES", "SCHEDULE_GROUP", "SCHEDULE_ROLE_ARN"] {
            assert!(error.message().contains(&format!("DURABLE_{name} is missing")), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = Settings::read(|name| match name {
            "DURABLE_QUEUES" => Some("sync".into()),
            "DURABLE_RETENTION_DAYS" => Some("a month".into()),
            "DURABLE_LONGEST_DELAY_SECONDS" => Some("901".into()),
            other => complete(other),
        });
        let error = error.unwrap_err();
        assert!(error.message().starts_with("DURABLE_QUEUES: expected value"), "{error}");
        assert!(error.message().contains("DURABLE_RETENTION_DAYS: expected a whole number"), "{error}");
        assert!(error.message().contains("at least 1 and at most 900, got \"901\""), "{error}");
    }
}
