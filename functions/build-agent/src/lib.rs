//! build-agent: builds a software agent feature by feature, a checkpoint each, and deploys it.

use durable::{Concurrency, Context, Error, Result, Retry, Workflow, seconds};
use fibreflow::{
    config::Settings,
    events::BuildRequested,
    harness::{Deployment, Harness},
};
use serde::{Deserialize, Serialize};

/// What building an agent takes.
#[derive(Debug, Clone)]
pub struct Services {
    /// Runs the coding sessions.
    pub harness: Harness,
}

impl Services {
    /// The services that the settings name; one error says all that is missing.
    pub fn from_settings(settings: Settings<'_>) -> Result<Self> {
        settings.make(|settings| Some(Self { harness: settings.harness()? }))
    }
}

/// An agent that was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// Its name.
    pub agent_name: String,
    /// The features that this build added, in the order of building.
    pub features: Vec<u32>,
    /// Where it runs now.
    pub deployment: Deployment,
}

/// One build an agent at a time, from its first session to its deployment, pauses included.
pub fn workflow() -> Workflow<Services> {
    Workflow::new("build-agent", build_agent)
        .on_event("agent/build.requested")
        .retries(3)
        .concurrency(Concurrency::limit(1).key(|build: &BuildRequested| build.agent_name.clone()))
}

async fn build_agent(ctx: Context<BuildRequested>, services: Services) -> Result<Built> {
    let agent = &ctx.event().agent_name;
    // A session that was started before a crash is found again by this key, not started twice.
    let sessions = services.harness.sessions(agent, ctx.run_id().as_str());

    let list = ctx.step("initialize-agent").run(|| sessions.initialize()).await?;
    list.validate().map_err(|problem| Error::fatal(format!("feature_list.json of {agent}: {problem}")))?;

    let mut features = Vec::new();
    for feature in list.pending_in_order() {
        if !features.is_empty() {
            ctx.sleep("pause-between-features", seconds(30)).await;
        }
        ctx.step("build-feature").retry(Retry::fixed(3, seconds(5))).run(|| sessions.build(feature)).await?;
        features.push(feature.id);
    }

    let deployment = ctx.step("deploy-agent").run(|| sessions.deploy()).await?;
    Ok(Built { agent_name: agent.clone(), features, deployment })
}
