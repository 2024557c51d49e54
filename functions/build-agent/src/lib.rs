//! build-agent: builds a software agent feature by feature, a checkpoint each, and deploys it.

mod deploy;
mod plan;

use durable::{Concurrency, Context, Error, ErrorKind, Result, Retry, Workflow, hours, minutes, seconds};
use fibreflow::{
    config::Settings,
    events::BuildRequested,
    harness::{Deployment, FeatureList, Harness, Review, Session},
};
use serde::{Deserialize, Serialize};

pub use deploy::Conditions;
use plan::Plan;

/// What building an agent takes.
#[derive(Debug, Clone)]
pub struct Services {
    /// Runs the coding sessions.
    pub harness: Harness,
    /// What has to be true before the agent is put into service.
    pub deployment: Conditions,
}

impl Services {
    /// The services that the settings name; one error says all that is missing.
    pub fn from_settings(settings: Settings<'_>) -> Result<Self> {
        settings.make(|settings| {
            let (approval, closed) = (settings.deploy_approval(), settings.deploy_closed());
            let deployment = Conditions { approval, closed, slack: settings.optional_slack() };
            Some(Self { harness: settings.harness()?, deployment })
        })
    }
}

/// An agent that was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// Its name.
    pub agent_name: String,
    /// The features that this build added, in the order of building.
    pub features: Vec<u32>,
    /// Where it runs now; `None` when there is something for a person to look at first.
    pub deployment: Option<Deployment>,
    /// What sessions tried in vain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manual_review_needed: Vec<Review>,
    /// What waits for that, and for what an earlier build left to a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<u32>,
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

    let mut list = valid(agent, ctx.step("initialize-agent").run(|| sessions.initialize()).await?)?;
    let mut plan = Plan::default();
    while let Some(turn) = plan.next(&list)? {
        if !turn.pause.is_zero() {
            ctx.sleep("pause-between-features", turn.pause).await;
        }
        let step = ctx.step("build-feature").retry(Retry::fixed(3, seconds(5)));
        let failure = match step.run(|| sessions.build(turn.feature, turn.round)).await {
            Ok(Session::Built(_)) => None,
            Ok(Session::Deferred { reason, seconds: delay }) => {
                plan.deferred(&reason)?;
                ctx.sleep("wait-for-harness", seconds(delay).min(hours(6))).await;
                continue;
            }
            // One feature's sessions failed: that never ends the build. What no session can mend does.
            Err(error) if error.kind() == ErrorKind::Exhausted => Some(error.message().to_owned()),
            Err(error) => return Err(error),
        };
        // A harness that is away answers this no better: then it is waited for, and no feature is blamed.
        let patient = Retry::exponential(12, seconds(10)).cap(minutes(30));
        let read = ctx.step("read-features").retry(patient).run(|| sessions.features()).await?;
        plan.tried(turn.feature.id, failure, &read);
        list = valid(agent, read)?;
    }

    let manual_review_needed = plan.given_up(&list);
    let blocked = plan::blocked(&list, &manual_review_needed);
    if !manual_review_needed.is_empty() {
        ctx.step("mark-for-review").run(|| sessions.review(&manual_review_needed)).await?;
    }
    let deployment = if list.features.iter().all(|feature| feature.passes) {
        Some(deploy::deploy(&ctx, &services.deployment, &sessions).await?)
    } else {
        None
    };
    let features = plan.built;
    Ok(Built { agent_name: agent.clone(), features, deployment, manual_review_needed, blocked })
}

fn valid(agent: &str, list: FeatureList) -> Result<FeatureList> {
    match list.validate() {
        Ok(()) => Ok(list),
        Err(problem) => Err(Error::fatal(format!("feature_list.json of {agent}: {problem}"))),
    }
}
