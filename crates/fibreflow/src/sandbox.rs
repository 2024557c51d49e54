//! Stand-ins for every service, which answer as the real ones do and fail as the real ones did.
//!
//! A [`Sandbox`] is reached in the same process, under a simulated clock ([`Sandbox::settings`]), or over sockets
//! ([`Sandbox::listen`]); the answers are the same. Every failure in [`Fault`] can be switched on while it runs.

mod convex;
mod desk;
mod effects;
mod fault;
mod harness;
mod listen;
mod neon;
mod photos;
pub mod postgres;
mod slack;
mod vlm;
mod whatsapp;
mod worker;

use std::{path::PathBuf, sync::Arc};

use axum::{
    Router,
    http::{Request, StatusCode},
    response::IntoResponse,
};
use durable::{Clock, Result};
use tower::ServiceExt;

pub use convex::{ConvexSandbox, StoredRow, SyncRecord};
pub use effects::{Message, Session};
pub use fault::{Fault, ParseFaultError};
pub use harness::HarnessSandbox;
pub use listen::Listening;
pub use neon::MemoryNeon;
pub use photos::{BUCKET, PhotoSandbox};
pub use slack::SlackSandbox;
pub use vlm::VlmSandbox;
pub use whatsapp::WhatsAppSandbox;

use crate::{config::Settings, http::Http};
use desk::{Desk, served};
use effects::Log;

/// What the sandbox's services ask for where the real ones ask for a secret.
const KEY: &str = "sandbox-key";

/// What a sandbox is like.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The time in it.
    pub clock: Arc<dyn Clock>,
    /// How many times shorter everything takes.
    pub time_scale: u32,
    /// How many features an agent's specification asks for.
    pub features: u32,
    /// Where the services keep what they did, a line of JSON each: what they know again after a restart.
    pub log: Option<PathBuf>,
}

impl Scene {
    /// Real durations, agents of five features, and nothing kept.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, time_scale: 1, features: 5, log: None }
    }
}

/// All services.
#[derive(Debug, Clone)]
pub struct Sandbox(Arc<Services>);

#[derive(Debug)]
struct Services {
    clock: Arc<dyn Clock>,
    harness: Arc<HarnessSandbox>,
    convex: Arc<ConvexSandbox>,
    slack: Arc<SlackSandbox>,
    whatsapp: Arc<WhatsAppSandbox>,
    sender: Arc<WhatsAppSandbox>,
    vlm: Arc<VlmSandbox>,
    photos: Arc<PhotoSandbox>,
    neon: Arc<MemoryNeon>,
}

impl Sandbox {
    /// Opens the services. What an earlier sandbox did under the same log is known.
    pub fn open(scene: Scene) -> Result<Self> {
        let log = Arc::new(Log::open(scene.log.as_deref())?);
        let desk = |name| Desk::new(name, &scene, log.clone());
        Ok(Self(Arc::new(Services {
            clock: scene.clock.clone(),
            harness: Arc::new(HarnessSandbox::new(desk("harness"), scene.features)),
            convex: Arc::new(ConvexSandbox::new(desk("convex"))),
            slack: Arc::new(SlackSandbox::new(desk("slack"))),
            whatsapp: Arc::new(WhatsAppSandbox::bridge(desk("whatsapp"))),
            sender: Arc::new(WhatsAppSandbox::sender(desk("whatsapp-sender"))),
            vlm: Arc::new(VlmSandbox::new(desk("vlm"))),
            photos: Arc::new(PhotoSandbox::new(desk("photos"))),
            neon: Arc::new(MemoryNeon::with_rows(250, 40)),
        })))
    }

    /// The agent harness.
    pub fn harness(&self) -> &HarnessSandbox {
        &self.0.harness
    }

    /// Convex.
    pub fn convex(&self) -> &ConvexSandbox {
        &self.0.convex
    }

    /// Slack.
    pub fn slack(&self) -> &SlackSandbox {
        &self.0.slack
    }

    /// The WhatsApp bridge.
    pub fn whatsapp(&self) -> &WhatsAppSandbox {
        &self.0.whatsapp
    }

    /// The older WhatsApp service.
    pub fn sender(&self) -> &WhatsAppSandbox {
        &self.0.sender
    }

    /// The vision model.
    pub fn vlm(&self) -> &VlmSandbox {
        &self.0.vlm
    }

    /// The photo store.
    pub fn photos(&self) -> &PhotoSandbox {
        &self.0.photos
    }

    /// Neon, as [`settings`](Self::settings) has it.
    pub fn neon(&self) -> &MemoryNeon {
        &self.0.neon
    }

    /// Each service's name and what answers for it.
    fn routers(&self) -> [(&'static str, Router); 7] {
        let Services { harness, convex, slack, whatsapp, sender, vlm, photos, .. } = &*self.0;
        [
            ("harness", served(&harness.desk, HarnessSandbox::router(harness))),
            ("convex", served(&convex.desk, ConvexSandbox::router(convex))),
            ("slack", served(&slack.desk, SlackSandbox::router(slack))),
            ("whatsapp", served(&whatsapp.desk, WhatsAppSandbox::router(whatsapp))),
            ("whatsapp-sender", served(&sender.desk, WhatsAppSandbox::router(sender))),
            ("vlm", served(&vlm.desk, VlmSandbox::router(vlm))),
            ("photos", served(&photos.desk, PhotoSandbox::router(photos))),
        ]
    }

    /// Settings for clients that reach the services in this process.
    pub fn settings(&self) -> Settings<'_> {
        let address = |service: &str| Some(format!("http://{service}.sandbox"));
        Settings::new(move |name| setting(name, address), self.http()).with_neon(self.0.neon.clone())
    }

    /// Settings for clients that have the worker reach these services.
    pub fn settings_by_worker<'a>(&'a self, by_worker: &'a [&'a str]) -> Settings<'a> {
        let address = |service: &str| {
            let by_worker = by_worker.contains(&service);
            Some(if by_worker { format!("worker://{service}") } else { format!("http://{service}.sandbox") })
        };
        Settings::new(move |name| setting(name, address), self.http()).with_neon(self.0.neon.clone())
    }

    /// The setting of this name, for clients that reach the services in this process.
    pub fn setting(&self, name: &str) -> Option<String> {
        setting(name, |service| Some(format!("http://{service}.sandbox")))
    }

    /// A client that reaches the services in this process, each at the host `{name}.sandbox`.
    pub fn http(&self) -> Http {
        let routers = Arc::new(self.routers());
        let by_host = move |request: Request<axum::body::Body>| {
            let routers = routers.clone();
            async move {
                let host = request.uri().host().unwrap_or_default().to_owned();
                match routers.iter().find(|(name, _)| host.strip_suffix(".sandbox") == Some(name)) {
                    Some((_, router)) => router.clone().oneshot(request).await.into_response(),
                    None => (StatusCode::BAD_GATEWAY, "no such service").into_response(),
                }
            }
        };
        Http::in_process(Router::new().fallback(by_host), self.0.clock.clone())
    }
}

/// The settings of all clients, given where each service is.
fn setting(name: &str, address: impl Fn(&str) -> Option<String>) -> Option<String> {
    match name {
        "HARNESS_URL" => address("harness"),
        "CONVEX_URL" => address("convex"),
        "SLACK_WEBHOOK_URL" => address("slack").map(|address| format!("{address}/services/T000/B000/{KEY}")),
        "WHATSAPP_URL" => address("whatsapp"),
        "VLM_URL" => address("vlm"),
        "PHOTO_ENDPOINT" => address("photos"),
        "PHOTO_BUCKETS" => Some(BUCKET.to_owned()),
        // The demo, and whatever else is tried with stand-ins, need not go at the pace of a phone that is not to be banned, nor
        // wait for a morning.
        "WHATSAPP_ACCOUNT_LIMITS" | "WHATSAPP_QUIET_HOURS" => Some("off".to_owned()),
        "CONVEX_DEPLOY_KEY" | "WHATSAPP_SECRET" | "HARNESS_TOKEN" => Some(KEY.to_owned()),
        _ => None,
    }
}
