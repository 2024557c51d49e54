//! What sending a message takes.

use std::{sync::Arc, time::Duration};

use durable::{Result, minutes, until};
use fibreflow::{
    config::Settings,
    whatsapp::{Pairing, Receipt, Recipient, Rules, Switch, WhatsApp},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clearance::{Clearance, by_the_rules};

/// How long it is taken for granted that a service that was well still is.
const FRESH: Duration = minutes(1);

/// What sending a message takes.
#[derive(Debug, Clone)]
pub struct Services {
    /// The paired phone.
    pub whatsapp: WhatsApp,
    /// What may be sent when.
    pub rules: Rules,
    /// Stops everything.
    pub switch: Arc<dyn Switch>,
}

/// What became of a send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Attempted {
    /// It went out.
    Sent(Receipt),
    /// Nothing was sent, because it may not go out any more as it might when it was checked.
    NotNow,
}

impl Services {
    /// The services that the settings name; one error says all that is missing.
    pub fn from_settings(settings: Settings<'_>) -> Result<Self> {
        settings.make(|settings| {
            let (whatsapp, rules) = (settings.whatsapp(), settings.whatsapp_rules());
            Some(Self { whatsapp: whatsapp?, rules: rules?, switch: settings.whatsapp_switch()? })
        })
    }

    /// Whether a message that was queued at a time may go out now.
    pub(crate) async fn clearance(&self, queued: Timestamp, now: Timestamp) -> Result<Clearance> {
        match by_the_rules(&self.rules, self.switch.setting().await, queued, now) {
            Clearance::Go => Ok(match self.whatsapp.health().await? {
                Pairing::Paired => Clearance::Go,
                pairing => Clearance::Unpaired { pairing },
            }),
            not_now => Ok(not_now),
        }
    }

    /// Sends, if it still may: the wait for a turn may have been long. The switch is read as close to the request as can be.
    pub(crate) async fn send(
        &self,
        to: &Recipient,
        text: &str,
        queued: Timestamp,
        checked: Timestamp,
        now: Timestamp,
    ) -> Result<Attempted> {
        if until(checked, now) > FRESH && self.whatsapp.health().await? != Pairing::Paired {
            return Ok(Attempted::NotNow);
        }
        if by_the_rules(&self.rules, self.switch.setting().await, queued, now) != Clearance::Go {
            return Ok(Attempted::NotNow);
        }
        self.whatsapp.send(to, text).await.map(Attempted::Sent)
    }
}
