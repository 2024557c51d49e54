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
    let MessageQueued { phone, message, .. } = ctx.event();
    let to: Address = phone.parse()?;
    let whatsapp = &services.whatsapp;

    wait_until_paired(&ctx, whatsapp).await?;

    let sent = ctx
        .step("send-message")
        .retry(Retry::fixed(3, seconds(30)))
        .at_most_once()
        .throttle(format!("whatsapp:{}", ctx.event().key()), [Window { limit: 10, period: minutes(1) }])
        .run(|| whatsapp.send(&to, message))
        .await;
    match sent {
        Ok(Receipt { message_id }) => Ok(Sent { message_id, found_afterwards: false }),
        Err(error) if error.is_outcome_unknown() => find(&ctx, whatsapp, &to, error).await,
        Err(error) => Err(error),
    }
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

/// Nobody heard how the send ended. It is never repeated blindly: the service's list of sent messages decides.
async fn find(
    ctx: &Context<MessageQueued>,
    whatsapp: &WhatsApp,
    to: &Address,
    unknown: Error,
) -> Result<Sent> {
    let began = ctx.began("send-message").unwrap_or_else(|| ctx.sent_at());
    // A request that was cut off may still be under way inside the service.
    ctx.sleep("let-it-settle", seconds(30)).await;
    let message = &ctx.event().message;
    match ctx.step("find-message").run(|| whatsapp.find_recent(to, message, began)).await? {
        Trace::Sent { message_id } => Ok(Sent { message_id, found_afterwards: true }),
        Trace::NotSent => {
            // The list goes back to before the attempt and lacks the message: it never went out.
            let again = ctx.step("send-message").at_most_once().run(|| whatsapp.send(to, message)).await?;
            Ok(Sent { message_id: again.message_id, found_afterwards: false })
        }
        Trace::Unknown => Err(unknown),
    }
}
