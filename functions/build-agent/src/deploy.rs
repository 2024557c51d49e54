//! Putting an agent into service: with a person's approval and outside of working hours where that is asked for, looked at
//! afterwards, and taken back when it does not work.

use std::time::Duration;

use durable::{Context, Error, Result, Retry, callback::Token, seconds};
use fibreflow::{
    events::BuildRequested,
    harness::{Closed, Deployment, Sessions},
    slack::Slack,
};
use serde::{Deserialize, Serialize};

/// What has to be true before an agent is put into service.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// How long a person's approval is waited for, where one is needed.
    pub approval: Option<Duration>,
    /// When nothing is deployed.
    pub closed: Option<Closed>,
    /// Who is told that an approval is needed.
    pub slack: Option<Slack>,
}

/// What a person says of a deployment.
#[derive(Debug, Serialize, Deserialize)]
struct Approval {
    approved: bool,
    #[serde(default)]
    by: Option<String>,
}

pub(crate) async fn deploy(
    ctx: &Context<BuildRequested>,
    conditions: &Conditions,
    sessions: &Sessions<'_>,
) -> Result<Deployment> {
    if let Some(patience) = conditions.approval {
        approved(ctx, conditions, patience).await?;
    }
    if let Some(closed) = &conditions.closed {
        // Looked at again afterwards: a run may be woken much later than it asked for.
        loop {
            let (asked, opens) = ctx
                .step("deployment-window")
                .run(async || {
                    let now = ctx.now();
                    Ok((now, closed.opens(now)))
                })
                .await?;
            if opens <= asked {
                break;
            }
            ctx.sleep_until("closed", opens).await;
        }
    }
    let deployed = ctx.step("deploy-agent").run(|| sessions.deploy()).await;
    let failure = match deployed {
        Ok(deployment) => {
            let smoke = ctx.step("smoke-check").retry(Retry::fixed(5, seconds(10)));
            match smoke.run(|| sessions.smoke()).await {
                Ok(()) => return Ok(deployment),
                Err(error) => error.context("smoke check"),
            }
        }
        // Who knows how far it came.
        Err(error) => error.context("deployment"),
    };
    ctx.step("roll-back").run(|| sessions.roll_back()).await.map_err(|error| {
        Error::fatal(format!("{failure}; rolling back failed as well, look at it now: {error}"))
    })?;
    Err(Error::fatal(format!("{failure}; what ran before runs again")))
}

/// Waits for a person's word.
async fn approved(ctx: &Context<BuildRequested>, conditions: &Conditions, patience: Duration) -> Result<()> {
    let ask = ctx.callback("approve-deployment").retry(Retry::never()).timeout(patience);
    let approval: Approval = ask
        .run(|token| tell(ctx, conditions, token))
        .await
        .map_err(|error| Error::fatal(format!("the deployment was not approved: {error}")))?;
    if approval.approved {
        return Ok(());
    }
    let by = approval.by.unwrap_or_else(|| "somebody".to_owned());
    Err(Error::fatal(format!("{by} refused the deployment")))
}

/// `fibreflow show` and the dashboard name the token as well, so a channel that is away keeps nobody from approving.
async fn tell(ctx: &Context<BuildRequested>, conditions: &Conditions, token: Token) -> Result<()> {
    let Some(slack) = &conditions.slack else { return Ok(()) };
    let agent = &ctx.event().agent_name;
    let text = format!(
        "{agent} is built. Deploy it? `fibreflow answer {token} --data '{{\"approved\": true, \"by\": \"…\"}}'`"
    );
    if let Err(error) = slack.notify(&text).await {
        tracing::warn!(%error, "nobody was told that an approval is needed");
    }
    Ok(())
}
