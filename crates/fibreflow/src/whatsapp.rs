//! The WhatsApp service: one paired phone behind HTTP, in two dialects.

mod health;
mod quiet;
mod recent;
mod rules;
mod switch;

use durable::{Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

pub use health::Pairing;
pub use quiet::QuietHours;
pub use recent::Trace;
pub use rules::Rules;
pub use switch::{FileSwitch, HttpSwitch, Setting, Switch};
pub(crate) use {
    rules::{limits, span},
    switch::NoSwitch,
};

use crate::{
    http::{Endpoint, Reply},
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

/// To whom a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The person or the group.
    pub chat: Address,
    /// Who is mentioned in the group.
    pub mention: Option<Address>,
}

impl Recipient {
    /// A chat, and who is mentioned there: a number, or an address of WhatsApp's.
    pub fn new(chat: Address, mention: Option<&str>) -> Result<Self> {
        let wrong = || {
            Error::fatal(
                "mention: expected a number, or an address that ends in @s.whatsapp.net or @lid, in a group",
            )
        };
        let mention = mention.map(|text| text.parse::<Address>().map_err(|_| wrong())).transpose()?;
        let is_person = |address: &Address| !matches!(address, Address::Group(_));
        if mention.as_ref().is_some_and(|mention| is_person(&chat) || !is_person(mention)) {
            return Err(wrong());
        }
        Ok(Self { chat, mention })
    }

    /// The group, if it is one.
    pub fn group(&self) -> Option<&str> {
        match &self.chat {
            Address::Group(jid) => Some(jid),
            Address::Person(_) | Address::Hidden(_) => None,
        }
    }
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
        Self { endpoint: endpoint.discreet(), dialect }
    }

    /// Whether messages can be sent. A service that does not answer, or not as it ought to, is an answer too: it fails no
    /// message.
    pub async fn health(&self) -> Result<Pairing> {
        let health = self.endpoint.get("/health").await.and_then(|reply| read(&reply));
        Ok(match health {
            Ok(health) => health::verdict(&health, self.dialect == Dialect::Bridge),
            Err(_) => Pairing::Unreachable,
        })
    }

    /// Sends a text. An error leaves open whether it went out, unless it says otherwise.
    pub async fn send(&self, to: &Recipient, text: &str) -> Result<Receipt> {
        let mention = to.mention.as_ref().map(Address::jid);
        let (path, body) = match (&self.dialect, &to.chat) {
            (Dialect::Bridge, Address::Person(phone)) => {
                ("/api/send", json!({ "recipient": phone.digits(), "message": text }))
            }
            (Dialect::Bridge, Address::Hidden(jid)) => {
                ("/api/send", json!({ "recipient": jid, "message": text }))
            }
            (Dialect::Bridge, Address::Group(jid)) => {
                ("/send-message", to_group(jid, mention.as_ref(), text))
            }
            (Dialect::Sender { .. }, Address::Group(jid)) if mention.is_some() => {
                ("/send-message", to_group(jid, mention.as_ref(), text))
            }
            (Dialect::Sender { .. }, Address::Group(_)) => {
                return Err(Error::fatal("mention: the older service sends to a group only with a mention"));
            }
            (Dialect::Sender { group_jid }, person) => {
                ("/send-message", to_group(group_jid, Some(&person.jid()), text))
            }
        };
        match self.endpoint.post(path, &body).await {
            Ok(reply) => read(&reply),
            // The older service looks whether it is connected before it sends.
            Err(error) if error.message().contains("WhatsApp not connected") => {
                Err(Error::no_effect(error.message()))
            }
            Err(error) => Err(error),
        }
    }

    /// Looks for a message that may have gone out since a time. The older service keeps no list.
    pub async fn find_recent(&self, to: &Recipient, text: &str, since: Timestamp) -> Result<Trace> {
        if self.dialect != Dialect::Bridge {
            return Ok(Trace::Unknown);
        }
        let reply = self.endpoint.get("/list-recent").await?;
        Ok(recent::trace(&read(&reply)?, to, text, since))
    }
}

fn to_group(group_jid: &str, mention: Option<&String>, text: &str) -> serde_json::Value {
    match mention {
        Some(jid) => json!({ "group_jid": group_jid, "recipient_jid": jid, "message": text }),
        None => json!({ "group_jid": group_jid, "message": text }),
    }
}

/// Reads an answer. An error shows none of it: it may hold numbers and texts.
fn read<T: DeserializeOwned>(reply: &Reply) -> Result<T> {
    serde_json::from_slice(&reply.body).map_err(|error| {
        let (length, column) = (reply.body.len(), error.column());
        Error::new(format!(
            "unexpected answer of {length} bytes: not the JSON that it ought to be at column {column}"
        ))
    })
}
