//! The events FibreFlow's workflows start on and send.

use durable::{Error, Event, Result};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{phone::Address, photos::PhotoAddress, vlm::Evaluation};

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

/// The photos of a drop are to be evaluated.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EvaluationRequested {
    /// Where a photo is: `s3://bucket/key` or `https://…`.
    #[serde(default)]
    pub image_url: Option<String>,
    /// Where further photos are, or all of them.
    #[serde(default)]
    pub photos: Vec<String>,
    /// Who is told, if anybody.
    #[serde(default)]
    pub contractor_phone: Option<String>,
    /// The drop they show; without it, their addresses must name one.
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

/// The most photos of a drop. There are 6 to 16.
const MOST_PHOTOS: usize = 40;

impl EvaluationRequested {
    /// Where the photos are, each once, in the order they are named.
    pub fn photos(&self) -> Result<Vec<PhotoAddress>> {
        let first = self.image_url.iter().map(|url| ("image_url".to_owned(), url));
        let further = self.photos.iter().enumerate().map(|(n, url)| (format!("photos[{n}]"), url));
        let mut photos: Vec<PhotoAddress> = Vec::new();
        for (field, url) in first.chain(further) {
            if !photos.iter().any(|photo| photo.url == *url) {
                photos.push(PhotoAddress { field, url: url.clone() });
            }
        }
        match photos.len() {
            0 => Err(Error::fatal("image_url, photos: expected the address of at least one photo")),
            1..=MOST_PHOTOS => Ok(photos),
            many => Err(Error::fatal(format!("photos: expected at most {MOST_PHOTOS}, not {many}"))),
        }
    }

    /// One key for all requests about one drop; what names no drop is a key of its own, whose run will say so.
    pub fn key(&self) -> String {
        self.drop().unwrap_or_else(|_| {
            let addresses: Vec<_> = self.image_url.iter().chain(&self.photos).map(String::as_str).collect();
            addresses.join(" ")
        })
    }

    /// The drop's number: the field, or the one `DR` with digits in the photos' addresses.
    pub fn drop(&self) -> Result<String> {
        let is_drop = |text: &str| {
            text.len() > 2 && text.starts_with("DR") && text[2..].bytes().all(|b| b.is_ascii_digit())
        };
        let wrong = |what: &str| {
            Error::fatal(format!(
                "dr_number: expected a drop's number such as DR1733758, here or in the photos' addresses{what}"
            ))
        };
        if let Some(number) = &self.dr_number {
            return if is_drop(number) { Ok(number.clone()) } else { Err(wrong("")) };
        }
        let first_in = |url: &'_ String| {
            url.split(|c: char| !c.is_ascii_alphanumeric()).find(|part| is_drop(part)).map(str::to_owned)
        };
        let mut drops: Vec<_> = self.image_url.iter().chain(&self.photos).filter_map(first_in).collect();
        drops.dedup();
        match drops.as_slice() {
            [] => Err(wrong("")),
            [drop] => Ok(drop.clone()),
            // Judged together, the good photos of one drop would pass the other.
            [one, other, ..] => Err(wrong(&format!("; they name {one} and {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(image_url: &str, dr_number: Option<&str>) -> Result<String> {
        let dr_number = dr_number.map(str::to_owned);
        EvaluationRequested { image_url: Some(image_url.into()), dr_number, ..Default::default() }.drop()
    }

    fn with_photos(photos: &[&str]) -> EvaluationRequested {
        let photos = photos.iter().map(|url| (*url).to_owned()).collect();
        EvaluationRequested { photos, ..Default::default() }
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
    fn requests_about_one_drop_have_one_key() {
        let key = |image_url: &str, dr_number: Option<&str>| {
            let dr_number = dr_number.map(str::to_owned);
            EvaluationRequested { image_url: Some(image_url.into()), dr_number, ..Default::default() }.key()
        };
        assert_eq!(key("s3://photos/x.jpg", Some("DR17")), key("s3://photos/DR17/y.jpg", None));
        assert_ne!(key("s3://photos/x.jpg", None), key("s3://photos/y.jpg", None));
    }

    #[test]
    fn photos_of_two_drops_are_not_one_drop() {
        let mut both = with_photos(&["s3://photos/DR1/a.jpg", "s3://photos/b.jpg", "s3://photos/DR2/a.jpg"]);
        assert!(both.drop().unwrap_err().message().ends_with("; they name DR1 and DR2"));
        both.dr_number = Some("DR2".into());
        assert_eq!(both.drop().unwrap(), "DR2");
    }

    #[test]
    fn photos_are_the_seeds_one_or_many_and_each_once() {
        let mut request = with_photos(&["s3://photos/a.jpg", "s3://photos/b.jpg", "s3://photos/a.jpg"]);
        request.image_url = Some("s3://photos/b.jpg".into());
        let fields: Vec<_> = request.photos().unwrap().into_iter().map(|photo| photo.field).collect();
        assert_eq!(fields, ["image_url", "photos[0]"]);
        assert!(with_photos(&[]).photos().unwrap_err().message().starts_with("image_url, photos: expected"));
        request.photos = (0..41).map(|n| format!("s3://photos/{n}.jpg")).collect();
        assert!(request.photos().unwrap_err().message().contains("at most 40, not 42"));
    }

    #[test]
    fn one_number_is_one_key() {
        let key = |phone: &str| MessageQueued { phone: phone.into(), message: String::new() }.key();
        assert_eq!(key("0821234567"), key("+27821234567"));
        assert_eq!(key("nonsense"), "nonsense");
    }
}
