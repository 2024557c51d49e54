//! The agent harness: coding sessions that build an agent feature by feature.

mod features;
mod window;

use std::time::Duration;

use durable::{Result, minutes};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub use features::{Feature, FeatureList, FeatureListError};
pub use window::Closed;

use crate::{
    http::{Endpoint, json},
    work::{self, Command},
};

/// The longest a session may take: half an hour, and a little to start and to end.
const SESSION: Duration = minutes(31);

/// The longest a question may take.
const QUESTION: Duration = minutes(2);

/// Starts coding sessions and waits for them.
#[derive(Debug, Clone)]
pub struct Harness(Way);

#[derive(Debug, Clone)]
enum Way {
    Service(Box<Endpoint>),
    /// A command that the worker knows by this name.
    Command(String),
}

impl Harness {
    /// The harness at an address. A session takes up to half an hour, and so may a request.
    pub fn new(endpoint: Endpoint) -> Self {
        Self(Way::Service(Box::new(endpoint.timeout(SESSION))))
    }

    /// The harness as a command that the worker runs.
    pub fn by_worker(command: &str) -> Self {
        Self(Way::Command(command.to_owned()))
    }

    /// The sessions of one build of one agent.
    ///
    /// A session is started under a key made of `build` and what it does: asked for again, after a crash, the harness
    /// attaches to the session that runs or has run instead of starting another.
    pub fn sessions<'a>(&'a self, agent: &'a str, build: &'a str) -> Sessions<'a> {
        Sessions { harness: self, agent, build }
    }
}

/// See [`Harness::sessions`].
#[derive(Debug, Clone, Copy)]
pub struct Sessions<'a> {
    harness: &'a Harness,
    agent: &'a str,
    build: &'a str,
}

/// A feature that was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureBuilt {
    /// Which.
    pub feature_id: u32,
    /// The commit that has it.
    pub commit: String,
}

/// How a coding session ended that did not fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Session {
    /// The feature was built.
    Built(FeatureBuilt),
    /// It never began: the model's provider, or the harness, asks for time. That is no failure of the feature's.
    Deferred {
        /// Why.
        reason: String,
        /// For so long.
        seconds: u64,
    },
}

/// A feature that a person has to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Which.
    pub feature_id: u32,
    /// How many sessions tried.
    pub attempts: u32,
    /// How the last one failed.
    pub error: String,
}

/// An agent that was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The commit that runs.
    pub version: String,
    /// Where its health is asked for.
    pub health_url: String,
}

impl Sessions<'_> {
    /// Reads the agent's specification and lists its features.
    pub async fn initialize(&self) -> Result<FeatureList> {
        self.session("initializer", None).await
    }

    /// Implements one feature, tests it and commits; `round` counts, from 1, how often this build tries.
    pub async fn build(&self, feature: &Feature, round: u32) -> Result<Session> {
        match self.session("coding", Some((feature.id, round))).await {
            Ok(built) => Ok(Session::Built(built)),
            Err(error) => match error.delay() {
                Some(delay) => {
                    let reason = error.message().to_owned();
                    Ok(Session::Deferred { reason, seconds: delay.as_secs().max(1) })
                }
                None => Err(error),
            },
        }
    }

    /// Reads `feature_list.json` as it is now: sessions change it.
    pub async fn features(&self) -> Result<FeatureList> {
        self.ask("features", "features", None).await
    }

    /// Marks features for a person, in `feature_list.json`.
    pub async fn review(&self, features: &[Review]) -> Result<()> {
        self.ask::<Value>("review", "review", Some(json!({ "features": features }))).await.map(drop)
    }

    /// Puts the agent into service.
    pub async fn deploy(&self) -> Result<Deployment> {
        self.session("deploy", None).await
    }

    /// Sees whether the agent that was put into service is in good health.
    pub async fn smoke(&self) -> Result<()> {
        self.ask::<Value>("smoke", "health", None).await.map(drop)
    }

    /// Puts what ran before into service again.
    pub async fn roll_back(&self) -> Result<()> {
        self.session::<Value>("rollback", None).await.map(drop)
    }

    /// Asks for something, or notes something, that may be asked for and noted any number of times.
    async fn ask<T: DeserializeOwned>(
        &self,
        session_type: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<T> {
        match &self.harness.0 {
            Way::Service(endpoint) => {
                let path = format!("/agents/{}/{path}", self.agent);
                let reply = match &body {
                    Some(body) => endpoint.post(&path, body).await?,
                    None => endpoint.get(&path).await?,
                };
                json(&reply)
            }
            Way::Command(name) => {
                let mut input = body.unwrap_or_else(|| json!({}));
                input["agent_name"] = self.agent.into();
                input["session_type"] = session_type.into();
                work::command(Command { name: name.clone(), input, key: None }, QUESTION).await
            }
        }
    }

    async fn session<T: DeserializeOwned>(
        &self,
        session_type: &str,
        feature: Option<(u32, u32)>,
    ) -> Result<T> {
        let mut body = json!({ "agent_name": self.agent, "session_type": session_type, "build": self.build });
        let mut key = format!("{}/{session_type}", self.build);
        if let Some((id, round)) = feature {
            body["feature_id"] = Value::from(id);
            key = if round == 1 { format!("{key}/{id}") } else { format!("{key}/{id}/{round}") };
        }
        match &self.harness.0 {
            Way::Service(endpoint) => json(&endpoint.post_once("/sessions", &body, &key).await?),
            Way::Command(name) => {
                let command = Command { name: name.clone(), input: body, key: Some(key) };
                work::command(command, SESSION).await
            }
        }
    }
}
