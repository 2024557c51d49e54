//! Where the services are: the environment's, or the sandbox's own.

use std::{fs, sync::Arc};

use durable_local::SystemClock;
use fibreflow::sandbox::{Listening, Sandbox, Scene, postgres::PostgresSandbox};
use url::Url;

use crate::{
    catalogue::Configured,
    environment,
    failure::{Failure, Result},
    home::{Home, Notice, SandboxService, SandboxServices},
};

/// How much quicker the stand-ins are than the services they stand for, time scale aside: so the demo fits in a minute.
const BRISK: u32 = 4;

/// Settings that are addresses.
const ADDRESSES: [&str; 7] = [
    "HARNESS_URL",
    "NEON_DATABASE_URL",
    "CONVEX_URL",
    "SLACK_WEBHOOK_URL",
    "WHATSAPP_URL",
    "VLM_URL",
    "PHOTO_ENDPOINT",
];

/// The stand-ins, while they run.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) listening: Listening,
    postgres: Result<PostgresSandbox>,
    _notice: Notice,
}

impl Standing {
    /// Starts them. Their ports follow `port`, so that they are the same each time; where these are taken, others are.
    pub(crate) async fn start(home: &Home, port: u16, time_scale: u32) -> Result<Self> {
        fs::create_dir_all(home.folder())?;
        let mut scene = Scene::new(Arc::new(SystemClock));
        scene.time_scale = time_scale.saturating_mul(BRISK);
        scene.log = Some(home.folder().join("sandbox.jsonl"));
        let sandbox = Sandbox::open(scene)?;
        let listening = match port.checked_add(1).filter(|_| port != 0) {
            Some(first) => match sandbox.listen(first).await {
                Ok(listening) => listening,
                Err(_) => sandbox.listen(0).await?,
            },
            None => sandbox.listen(0).await?,
        };
        let postgres = PostgresSandbox::start(home.folder()).await.map_err(Failure::from);
        let services = listening
            .services()
            .into_iter()
            .map(|(name, address)| SandboxService { name: name.to_owned(), address })
            .collect();
        let notice = home.post_sandbox(&SandboxServices { services })?;
        Ok(Self { listening, postgres, _notice: notice })
    }

    /// The workflows, with the stand-ins for services and nothing else.
    pub(crate) fn configured(&self) -> Result<Configured> {
        let lookup = |name: &str| match (name, &self.postgres) {
            ("NEON_DATABASE_URL", Ok(postgres)) => Some(postgres.url().to_owned()),
            _ => self.listening.setting(name),
        };
        let mut configured = Configured::new(&lookup)?;
        if let Err(failure) = &self.postgres {
            for left_out in &mut configured.left_out {
                left_out.reason = format!("it needs Neon, and no PostgreSQL stands for it: {failure}");
            }
        }
        Ok(configured)
    }

    /// Ends them.
    pub(crate) async fn stop(self) -> Result<()> {
        match self.postgres {
            Ok(postgres) => Ok(postgres.stop().await?),
            Err(_) => Ok(()),
        }
    }
}

/// The workflows, with the services that the environment names.
pub(crate) fn from_environment(time_scale: u32) -> Result<Configured> {
    if time_scale > 1
        && let Some(name) =
            ADDRESSES.into_iter().find(|name| environment::setting(name).is_some_and(|url| !is_here(&url)))
    {
        return Err(Failure::new(format!(
            "--time-scale makes limits shorter as well, and {name} is not on this machine: leave one of them out, or add --sandbox"
        )));
    }
    let configured = Configured::new(&environment::setting)?;
    if configured.runnables.is_empty() {
        let reasons: Vec<_> = configured
            .left_out
            .iter()
            .map(|left_out| format!("\n  {}: {}", left_out.workflow, left_out.reason))
            .collect();
        return Err(Failure::new(format!(
            "no workflow can run: set what is missing, or start stand-ins for all services with --sandbox{}",
            reasons.concat()
        )));
    }
    Ok(configured)
}

/// Whether an address is this machine's.
fn is_here(url: &str) -> bool {
    // The worker takes its jobs from this folder.
    let is_loopback = |url: &Url| url.host_str().is_some_and(console::is_loopback);
    Url::parse(url).is_ok_and(|url| url.scheme() == "worker" || is_loopback(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_services_are_told_from_local_ones() {
        assert!(is_here("worker://vlm"));
        assert!(is_here("http://127.0.0.1:9000") && is_here("postgresql://me@localhost/neon"));
        assert!(!is_here("https://bridge.example") && !is_here("postgresql://me@ep-1.neon.tech/neondb"));
    }
}
