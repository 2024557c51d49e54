//! The agent harness: coding sessions that build an agent feature by feature.

mod features;

use std::time::Duration;

use durable::{Result, minutes};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub use features::{Feature, FeatureList, FeatureListError};

use crate::{
    http::{Endpoint, json},
    work::{self, Command},
};

/// The longest a session may take: half an hour, and a little to start and to end.
const SESSION: Duration = minutes(31);

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

    /// Implements one feature, tests it and commits.
    pub async fn build(&self, feature: &Feature) -> Result<FeatureBuilt> {
        self.session("coding", Some(feature.id)).await
    }

    /// Puts the agent into service.
    pub async fn deploy(&self) -> Result<Deployment> {
        self.session("deploy", None).await
    }

    async fn session<T: DeserializeOwned>(&self, session_type: &str, feature_id: Option<u32>) -> Result<T> {
        let mut body = json!({ "agent_name": self.agent, "session_type": session_type });
        let mut key = format!("{}/{session_type}", self.build);
        if let Some(id) = feature_id {
            body["feature_id"] = Value::from(id);
            key = format!("{key}/{id}");
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
