//! send-whatsapp: sends one message, at the pace a phone may send, and never twice.

mod clearance;
mod services;
mod watch;

use clearance::Clearance;
use durable::{Concurrency, Context, Error, ErrorKind, Result, Retry, Throttle, Workflow, minutes, seconds};
use fibreflow::{
    events::{MessageQueued, OutageSuspected},
    whatsapp::{Receipt, Recipient, Trace},
};
use serde::{Deserialize, Serialize};

pub use services::Services;
pub use watch::{Outage, Watch, watch};

use services::Attempted;

/// A message that went out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// WhatsApp's id of the message, where the service tells it.
    pub message_id: Option<String>,
    /// Whether the send's answer was lost and the message was found in the service's list of sent ones.
    pub found_afterwards: bool,
    /// The run whose message this was before, when somebody sent it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resend_of: Option<String>,
}

/// How often a message is sent at most when each time before it is certain that it did not go out.
const SENDS: u32 = 5;

/// How often the service is asked whether its phone is paired, five minutes apart, before the outage is taken for a long one.
const CHECKS: u32 = 5;

/// While an outage lasts, whoever watches is told of it at every so many checks: about once an hour.
const CHECKS_A_REPORT: u32 = 12;

/// Ten messages a minute to a phone, and one message at a time: so they go out in order, also after an outage, and while
/// nothing can go out only the first in line asks.
///
/// Starts are spaced so that messages to a phone arrive in order; the sends themselves are held to it as well, since a start
/// may be followed by waiting.
pub fn workflow() -> Workflow<Services> {
    Workflow::new("send-whatsapp", send_whatsapp)
        .on_event("whatsapp/message.queued")
        .retries(5)
        .throttle(Throttle::limit(10).per(minutes(1)).key(|queued: &MessageQueued| queued.key()))
        .concurrency(Concurrency::limit(1))
}

async fn send_whatsapp(ctx: Context<MessageQueued>, services: Services) -> Result<Sent> {
    let to = ctx.event().recipient()?;
    let sent = |message_id, found_afterwards| {
        let resend_of = ctx.event().resend_of.clone();
        Ok(Sent { message_id, found_afterwards, resend_of })
    };

    let mut lost = 0;
    loop {
        wait_until_clear(&ctx, &services).await?;

        match send(&ctx, &services, &to).await {
            Ok(Attempted::Sent(Receipt { message_id })) => return sent(message_id, false),
            // While it waited for its turn, night fell, or somebody flipped the switch.
            Ok(Attempted::NotNow) => {}
            // Refused for now, several times: certainly not sent.
            Err(error) if error.kind() == ErrorKind::Exhausted => ctx.sleep("wait", minutes(5)).await,
            Err(unknown) if unknown.is_outcome_unknown() => match find(&ctx, &services, &to).await {
                Ok(Trace::Sent { message_id }) => return sent(message_id, true),
                // The list goes back to before the attempt and lacks the message: it never went out.
                Ok(Trace::NotSent) if lost + 1 < SENDS => lost += 1,
                Ok(Trace::NotSent) => {
                    return Err(Error::fatal(format!(
                        "not sent: {SENDS} sends failed and none went out: {unknown}"
                    )));
                }
                Ok(Trace::Unknown) | Err(_) => return Err(unknown),
            },
            Err(refused) => return Err(refused),
        }
    }
}

/// Waits as long as nothing may or can go out. Every look is a step of its own: the answer of a step never changes.
///
/// An unpaired phone is asked again every five minutes. An outage that outlasts five checks is a known one: it fails no
/// message, which waits on until the phone is paired or the message is too old. Who waits so says it, and asks as often, so
/// that the queue moves within five minutes of the pairing.
async fn wait_until_clear(ctx: &Context<MessageQueued>, services: &Services) -> Result<()> {
    let (mut checks, mut flips) = (0, 0);
    loop {
        match ctx.step("check-service").run(|| services.clearance(ctx.sent_at(), ctx.now())).await? {
            Clearance::Go => return Ok(()),
            Clearance::Expired { limit } => {
                return Err(Error::fatal(format!(
                    "expired: not sent, because it is older than {limit}: what it says may no longer be so"
                )));
            }
            Clearance::Night { until } => ctx.sleep_until("wait-for-morning", until).await,
            Clearance::SwitchedOff { .. } => {
                // Who waits for a person looks often at first, and never more seldom than every five minutes.
                let pause = seconds(15 << flips.min(5)).min(minutes(5));
                flips += 1;
                ctx.sleep("wait-for-the-switch", pause).await;
            }
            Clearance::Unpaired { pairing } => {
                if checks % CHECKS_A_REPORT == 0 {
                    ctx.send_event("report-outage", OutageSuspected { pairing }).await?;
                }
                checks += 1;
                let wait = if checks < CHECKS { "wait" } else { "wait-for-pairing" };
                ctx.sleep(wait, minutes(5)).await;
            }
        }
    }
}

/// Sends, at the pace of chat and account, and at most once.
async fn send(ctx: &Context<MessageQueued>, services: &Services, to: &Recipient) -> Result<Attempted> {
    let (queued, rules) = (ctx.event(), &services.rules);
    let chat = queued.key();
    let checked = ctx.began("check-service").unwrap_or_else(|| ctx.sent_at());
    let mut step = ctx.step("send-message").retry(Retry::fixed(3, seconds(30))).at_most_once();
    if let (Some(drop), Some(_)) = (&queued.dr_number, to.group()) {
        step = step.throttle_aside(format!("whatsapp:cooldown:{drop}:{chat}"), rules.cooldown_window());
    }
    step.throttle(format!("whatsapp:{chat}"), rules.phone_limits.clone())
        .throttle(format!("whatsapp:from:{}", rules.account), rules.account_limits.clone())
        .run(|| services.send(to, &queued.message, ctx.sent_at(), checked, ctx.now()))
        .await
}

/// Nobody heard how the last send ended. It is never repeated blindly: the service's list of sent messages decides.
async fn find(ctx: &Context<MessageQueued>, services: &Services, to: &Recipient) -> Result<Trace> {
    let began = ctx.began("send-message").unwrap_or_else(|| ctx.sent_at());
    // A request that was cut off may still be under way inside the service.
    ctx.sleep("let-it-settle", seconds(30)).await;
    let message = &ctx.event().message;
    ctx.step("find-message").run(|| services.whatsapp.find_recent(to, message, began)).await
}
