//! watch-whatsapp: says once an outage that messages cannot go out, and once that they can again. Not over WhatsApp.

use std::time::Duration;

use durable::{Concurrency, Context, Result, Retry, Workflow, minutes, seconds, until};
use fibreflow::{
    config::Settings,
    events::OutageSuspected,
    slack::Slack,
    whatsapp::{Pairing, WhatsApp},
};
use serde::{Deserialize, Serialize};

/// What watching takes.
#[derive(Debug, Clone)]
pub struct Watch {
    /// The service that is watched.
    pub whatsapp: WhatsApp,
    /// Who is told.
    pub slack: Slack,
}

impl Watch {
    /// The services that the settings name; one error says all that is missing.
    pub fn from_settings(settings: Settings<'_>) -> Result<Self> {
        settings.make(|settings| {
            let (whatsapp, slack) = (settings.whatsapp(), settings.slack());
            Some(Self { whatsapp: whatsapp?, slack: slack? })
        })
    }
}

/// What a suspicion came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outage", rename_all = "snake_case")]
pub enum Outage {
    /// Nothing: the service is well, be it that it never was otherwise or that an outage is over which others reported.
    None,
    /// There was one, and it is over.
    Over {
        /// What was wrong.
        pairing: Pairing,
        /// How long it lasted, in seconds, from the first suspicion.
        seconds: u64,
    },
}

/// How often the service is asked before it is called out of order.
const PROBES: u32 = 3;

/// How much time lies between.
const BETWEEN_PROBES: Duration = seconds(5);

/// One at a time, from suspicion to recovery: whatever is reported meanwhile waits, and finds the service well. So there is
/// one alert an outage, however many messages meet it.
pub fn watch() -> Workflow<Watch> {
    Workflow::new("watch-whatsapp", watch_whatsapp)
        .on_event("whatsapp/outage.suspected")
        .retries(5)
        .concurrency(Concurrency::limit(1))
}

async fn watch_whatsapp(ctx: Context<OutageSuspected>, services: Watch) -> Result<Outage> {
    let mut pairing = probe(&ctx, &services).await?;
    if pairing == Pairing::Disconnected {
        // That heals by itself within minutes; it is worth a word only when it does not.
        ctx.sleep("let-it-heal", minutes(5)).await;
        pairing = probe(&ctx, &services).await?;
    }
    if pairing == Pairing::Paired {
        return Ok(Outage::None);
    }

    let patiently = || Retry::exponential(20, seconds(10)).cap(minutes(10)).jitter(0.2);
    ctx.step("alert").retry(patiently()).run(|| services.slack.notify(alert(pairing))).await?;

    for look in 0.. {
        ctx.sleep("wait", if look < 10 { minutes(1) } else { minutes(5) }).await;
        if ctx.step("check-service").run(|| services.whatsapp.health()).await? == Pairing::Paired {
            break;
        }
    }
    let lasted = ctx.step("note-end").run(async || Ok(until(ctx.sent_at(), ctx.now()))).await?;
    let text =
        format!("WhatsApp sends again, after {} min. What waited goes out in order.", lasted.as_secs() / 60);
    ctx.step("all-clear").retry(patiently()).run(|| services.slack.notify(&text)).await?;
    Ok(Outage::Over { pairing, seconds: lasted.as_secs() })
}

/// One slow answer is no outage: 124 false alarms came of a single probe.
async fn probe(ctx: &Context<OutageSuspected>, services: &Watch) -> Result<Pairing> {
    let mut pairing = Pairing::Paired;
    for probe in 1..=PROBES {
        pairing = ctx.step("check-service").run(|| services.whatsapp.health()).await?;
        if pairing == Pairing::Paired || probe == PROBES {
            break;
        }
        ctx.sleep("probe-again", BETWEEN_PROBES).await;
    }
    Ok(pairing)
}

/// What people are told, and what to do.
fn alert(pairing: Pairing) -> &'static str {
    match pairing {
        Pairing::LoggedOut => {
            "WhatsApp is logged out: somebody must pair the phone again; restarting makes it worse. Messages wait and go out after that."
        }
        Pairing::Disconnected => {
            "WhatsApp has been disconnected for more than 5 min, and ought to have come back by itself. Messages wait."
        }
        Pairing::Unreachable | Pairing::Paired => {
            "WhatsApp's service does not answer: see whether it runs and can be reached. Messages wait."
        }
    }
}
