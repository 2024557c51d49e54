//! The events FibreFlow's workflows start on and send.

use durable::{Error, Event, Result};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{phone::Address, vlm::Evaluation};

/// An agent is to be built.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuildRequested {
    /// The agent's name, as its specification's file has it: letters, digits, `_` and `-`.
    #[serde(deserialize_with = "agent_name")]
    pub agent_name: String,
}

/// The name becomes part of paths on the harness's machine.
fn agent_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=64).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(name);
    }
    Err(D::Error::custom("expected 1 to 64 letters, digits, _ or -, such as knowledge_base"))
}

impl Event for BuildRequested {
    const NAME: &'static str = "agent/build.requested";
}

/// The databases are to be synchronised. It has no fields; whatever its sender adds is ignored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SyncRequested {}

impl Event for SyncRequested {
    const NAME: &'static str = "databases/sync.requested";
}

/// A WhatsApp message is to be sent.
#[derive(Clone, Serialize, Deserialize)]
pub struct MessageQueued {
    /// To whom: a number, or an address of WhatsApp's.
    pub phone: String,
    /// The text.
    pub message: String,
}

impl Event for MessageQueued {
    const NAME: &'static str = "whatsapp/message.queued";
}

impl MessageQueued {
    /// What a contractor is told of an evaluation.
    pub fn for_evaluation(phone: &str, evaluation: &Evaluation) -> Self {
        Self { phone: phone.to_owned(), message: evaluation.message() }
    }

    /// One key for all ways to write one number; what is no number is a key of its own, whose run will say so.
    pub fn key(&self) -> String {
        self.phone.parse::<Address>().map_or_else(|_| self.phone.clone(), |address| address.jid())
    }
}

impl std::fmt::Debug for MessageQueued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageQueued")
            .field("phone", &crate::phone::masked(&self.phone))
            .finish_non_exhaustive()
    }
}

/// A photo is to be evaluated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EvaluationRequested {
    /// Where the photo is: `s3://bucket/key` or `https://…`.
    pub image_url: String,
    /// Who is told, if anybody.
    #[serde(default)]
    pub contractor_phone: Option<String>,
    /// The drop it shows; without it, the photo's address must name one.
    #[serde(default)]
    pub dr_number: Option<String>,
    /// The project it belongs to.
    #[serde(default)]
    pub project_id: Option<String>,
    /// Who asked.
    #[serde(default)]
    pub requested_by: Option<String>,
}

impl Event for EvaluationRequested {
    const NAME: &'static str = "foto/evaluation.requested";
}

impl EvaluationRequested {
    /// The drop's number: the field, or the first `DR` with digits in the photo's address.
    pub fn drop(&self) -> Result<String> {
        let is_drop = |text: &&str| {
            text.len() > 2 && text.starts_with("DR") && text[2..].bytes().all(|b| b.is_ascii_digit())
        };
        let in_address =
            || self.image_url.split(|c: char| !c.is_ascii_alphanumeric()).find(is_drop).map(str::to_owned);
        match &self.dr_number {
            Some(number) if is_drop(&number.as_str()) => Some(number.clone()),
            Some(_) => None,
            None => in_address(),
        }
        .ok_or_else(|| {
            Error::fatal("dr_number: expected a drop's number such as DR1733758, here or in image_url")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(image_url: &str, dr_number: Option<&str>) -> Result<String> {
        let dr_number = dr_number.map(str::to_owned);
        let (contractor_phone, project_id, requested_by) = (None, None, None);
        EvaluationRequested {
            image_url: image_url.into(),
            contractor_phone,
            dr_number,
            project_id,
            requested_by,
        }
        .drop()
    }

    #[test]
    fn the_drop_is_named_by_its_field_or_by_the_address() {
        assert_eq!(request("s3://photos/x.jpg", Some("DR1733758")).unwrap(), "DR1733758");
        assert_eq!(request("s3://photos/DR1733758/house.jpg", None).unwrap(), "DR1733758");
        assert!(
            request("s3://photos/house.jpg", None).unwrap_err().message().starts_with("dr_number: expected")
        );
        assert!(request("s3://photos/DR1/house.jpg", Some("17")).is_err());
    }

    #[test]
    fn one_number_is_one_key() {
        let key = |phone: &str| MessageQueued { phone: phone.into(), message: String::new() }.key();
        assert_eq!(key("0821234567"), key("+27821234567"));
        assert_eq!(key("nonsense"), "nonsense");
    }
}
