//! The WhatsApp service: one paired phone behind HTTP, in two dialects.

mod health;
mod recent;

use durable::{Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use health::Pairing;
pub use recent::Trace;

use crate::{
    http::{self, Endpoint},
    phone::Address,
};

/// Sends WhatsApp messages.
#[derive(Debug, Clone)]
pub struct WhatsApp {
    endpoint: Endpoint,
    dialect: Dialect,
}

/// How the service is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    /// The current bridge.
    Bridge,
    /// The older service, which sends to a group, with a mention.
    Sender {
        /// The group all messages go to.
        group_jid: String,
    },
}

/// What the service says of a message it sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// WhatsApp's id of it; some ways to send do not tell it.
    #[serde(default)]
    pub message_id: Option<String>,
}

impl WhatsApp {
    /// A service that speaks this dialect.
    pub fn new(endpoint: Endpoint, dialect: Dialect) -> Self {
        Self { endpoint, dialect }
    }

    /// Whether messages can be sent. A service that does not answer is an answer too.
    pub async fn health(&self) -> Result<Pairing> {
        match self.endpoint.get("/health").await {
            Ok(reply) => Ok(health::verdict(&http::json(&reply)?, self.dialect == Dialect::Bridge)),
            Err(error) if error.is_retryable() => Ok(Pairing::Unreachable),
            Err(error) => Err(error),
        }
    }

    /// Sends a text. An error leaves open whether it went out, unless it says otherwise.
    pub async fn send(&self, to: &Address, text: &str) -> Result<Receipt> {
        let (path, body) = match (&self.dialect, to) {
            (Dialect::Bridge, Address::Person(phone)) => {
                ("/api/send", json!({ "recipient": phone.digits(), "message": text }))
            }
            (Dialect::Bridge, Address::Hidden(jid)) => {
                ("/api/send", json!({ "recipient": jid, "message": text }))
            }
            (Dialect::Bridge, Address::Group(jid)) => {
                ("/send-message", json!({ "group_jid": jid, "message": text }))
            }
            (Dialect::Sender { group_jid }, to) => (
                "/send-message",
                json!({ "group_jid": group_jid, "recipient_jid": to.jid(), "message": text }),
            ),
        };
        match self.endpoint.post(path, &body).await {
            Ok(reply) => http::json(&reply),
            // The older service looks whether it is connected before it sends.
            Err(error) if error.message().contains("WhatsApp not connected") => {
                Err(Error::no_effect(error.message()))
            }
            Err(error) => Err(error),
        }
    }

    /// Looks for a message that may have gone out since a time.
    pub async fn find_recent(&self, to: &Address, text: &str, since: Timestamp) -> Result<Trace> {
        let reply = self.endpoint.get("/list-recent").await?;
        Ok(recent::trace(&http::json(&reply)?, to, text, since))
    }
}
