//! send-whatsapp: sends one message, at the pace a phone may send, and never twice.

use durable::{Context, Error, Result, Retry, Throttle, Window, Workflow, minutes, seconds};
use fibreflow::{
    config::Settings,
    events::MessageQueued,
    phone::Address,
    whatsapp::{Pairing, Receipt, Trace, WhatsApp},
};
use serde::{Deserialize, Serialize};

/// What sending a message takes.
#[derive(Debug, Clone)]
pub struct Services {
    /// The paired phone.
    pub whatsapp: WhatsApp,
}

impl Services {
    /// The services that the settings name; one error says all that is missing.
    pub fn from_settings(settings: Settings<'_>) -> Result<Self> {
        settings.make(|settings| Some(Self { whatsapp: settings.whatsapp()? }))
    }
}

/// A message that went out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// WhatsApp's id of the message, where the service tells it.
    pub message_id: Option<String>,
    /// Whether the send's answer was lost and the message was found in the service's list of sent ones.
    pub found_afterwards: bool,
}

/// How often a message is sent at most, when it is certain each time that the send before did not happen.
const SENDS: u32 = 5;

/// How often the service is asked whether its phone is paired.
const CHECKS: u32 = 5;

/// Ten messages a minute to a phone. Starts are spaced so that messages arrive in order and checks come just before
/// their sends; the sends themselves are held to it as well, since a start may be followed by waiting.
pub fn workflow() -> Workflow<Services> {
    Workflow::new("send-whatsapp", send_whatsapp)
        .on_event("whatsapp/message.queued")
        .retries(5)
        .throttle(Throttle::limit(10).per(minutes(1)).key(|queued: &MessageQueued| queued.key()))
}

async fn send_whatsapp(ctx: Context<MessageQueued>, services: Services) -> Result<Sent> {
    let to: Address = ctx.event().phone.parse()?;
    let whatsapp = &services.whatsapp;

    wait_until_paired(&ctx, whatsapp).await?;

    let mut sent = send(&ctx, whatsapp, &to).await;
    for _ in 1..SENDS {
        match sent {
            Err(error) if error.is_outcome_unknown() => match find(&ctx, whatsapp, &to).await? {
                Trace::Sent { message_id } => return Ok(Sent { message_id, found_afterwards: true }),
                // The list goes back to before the attempt and lacks the message: it never went out.
                Trace::NotSent => sent = send(&ctx, whatsapp, &to).await,
                Trace::Unknown => return Err(error),
            },
            sent => return sent,
        }
    }
    sent
}

/// Sends, at the phone's pace and at most once. The workflow's throttle spaces starts; a start may be followed by waiting.
async fn send(ctx: &Context<MessageQueued>, whatsapp: &WhatsApp, to: &Address) -> Result<Sent> {
    let queued = ctx.event();
    let Receipt { message_id } = ctx
        .step("send-message")
        .retry(Retry::fixed(3, seconds(30)))
        .at_most_once()
        .throttle(format!("whatsapp:{}", queued.key()), [Window { limit: 10, period: minutes(1) }])
        .run(|| whatsapp.send(to, &queued.message))
        .await?;
    Ok(Sent { message_id, found_afterwards: false })
}

/// Asks again every five minutes, each time in a step of its own: the answer of a step never changes.
async fn wait_until_paired(ctx: &Context<MessageQueued>, whatsapp: &WhatsApp) -> Result<()> {
    for check in 1.. {
        let pairing = ctx.step("check-service").run(|| whatsapp.health()).await?;
        if pairing == Pairing::Paired {
            break;
        }
        if check == CHECKS {
            return Err(Error::fatal(format!(
                "the WhatsApp service was {pairing} at {CHECKS} checks, 5 minutes apart: mend it, then send the event again"
            )));
        }
        ctx.sleep("wait", minutes(5)).await;
    }
    Ok(())
}

/// Nobody heard how the last send ended. It is never repeated blindly: the service's list of sent messages decides.
async fn find(ctx: &Context<MessageQueued>, whatsapp: &WhatsApp, to: &Address) -> Result<Trace> {
    let began = ctx.began("send-message").unwrap_or_else(|| ctx.sent_at());
    // A request that was cut off may still be under way inside the service.
    ctx.sleep("let-it-settle", seconds(30)).await;
    ctx.step("find-message").run(|| whatsapp.find_recent(to, &ctx.event().message, began)).await
}
