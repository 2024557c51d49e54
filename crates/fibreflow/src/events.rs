//! The events FibreFlow's workflows start on and send.

use durable::{Error, Event, Result};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    phone::Address,
    photos::PhotoAddress,
    vlm::Evaluation,
    whatsapp::{Pairing, Recipient},
};

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

/// A WhatsApp message is to be sent: to a person, or to a group, where somebody may be mentioned.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(try_from = "MessageFields")]
pub struct MessageQueued {
    /// To whom: a number, or an address of WhatsApp's. In a group, who is mentioned when `mention` does not say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phone: String,
    /// The text.
    pub message: String,
    /// The group it goes to: `1203…@g.us`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Who is mentioned there: a number, or an address of WhatsApp's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mention: Option<String>,
    /// The drop it is about. A group hears of one drop no more often than its cooldown allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dr_number: Option<String>,
    /// The run whose message this is, sent again by somebody who decided to: nobody knew whether it had gone out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resend_of: Option<String>,
}

/// What is read before it is known that the message has an addressee.
#[derive(Deserialize)]
struct MessageFields {
    phone: Option<String>,
    message: String,
    group: Option<String>,
    mention: Option<String>,
    dr_number: Option<String>,
    resend_of: Option<String>,
}

impl TryFrom<MessageFields> for MessageQueued {
    type Error = &'static str;

    fn try_from(fields: MessageFields) -> Result<Self, Self::Error> {
        let MessageFields { phone, message, group, mention, dr_number, resend_of } = fields;
        if phone.is_none() && group.is_none() {
            return Err("missing field `phone`, or `group` for a message to a group");
        }
        Ok(Self { phone: phone.unwrap_or_default(), message, group, mention, dr_number, resend_of })
    }
}

impl Event for MessageQueued {
    const NAME: &'static str = "whatsapp/message.queued";
}

impl MessageQueued {
    /// A message to a person, or to whatever address `phone` is.
    pub fn new(phone: impl Into<String>, message: impl Into<String>) -> Self {
        Self { phone: phone.into(), message: message.into(), ..Self::default() }
    }

    /// What a contractor is told of an evaluation.
    pub fn for_evaluation(phone: &str, evaluation: &Evaluation) -> Self {
        Self::new(phone, evaluation.message())
    }

    /// To whom it goes.
    pub fn recipient(&self) -> Result<Recipient> {
        let Some(group) = &self.group else {
            return Recipient::new(self.phone.parse()?, self.mention.as_deref());
        };
        let wrong = || Error::fatal("group: expected an address that ends in @g.us");
        let chat: Address = group.parse().map_err(|_| wrong())?;
        if !matches!(chat, Address::Group(_)) {
            return Err(wrong());
        }
        let phone = Some(self.phone.as_str()).filter(|phone| !phone.is_empty());
        Recipient::new(chat, self.mention.as_deref().or(phone))
    }

    /// One key for all ways to write one address; what is none shares a key, and its run will say so.
    pub fn key(&self) -> String {
        self.recipient().map_or_else(|_| "nobody".to_owned(), |recipient| recipient.chat.key())
    }
}

impl std::fmt::Debug for MessageQueued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hidden = |address: &Option<String>| address.as_deref().map(crate::phone::masked);
        f.debug_struct("MessageQueued")
            .field("phone", &crate::phone::masked(&self.phone))
            .field("group", &hidden(&self.group))
            .field("mention", &hidden(&self.mention))
            .field("dr_number", &self.dr_number)
            .field("resend_of", &self.resend_of)
            .finish_non_exhaustive()
    }
}

/// A message cannot go out as WhatsApp's service is. It may be a moment's trouble, and somebody else may have said so before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OutageSuspected {
    /// What the service's health came to.
    pub pairing: Pairing,
}

impl Event for OutageSuspected {
    const NAME: &'static str = "whatsapp/outage.suspected";
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

/// A person is to look at an evaluation before its contractor hears of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReviewRequested {
    /// The drop.
    pub dr_number: String,
    /// What the contractor would be told.
    pub message: String,
    /// Until when a decision is waited for.
    pub until: jiff::Timestamp,
}

impl Event for ReviewRequested {
    const NAME: &'static str = "foto/review.requested";
}

/// What a person decided about an evaluation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReviewDecided {
    /// The drop.
    pub dr_number: String,
    /// Whether its contractor is told.
    pub approved: bool,
    /// Who decided.
    #[serde(default)]
    pub by: Option<String>,
}

impl Event for ReviewDecided {
    const NAME: &'static str = "foto/review.decided";
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
    use serde_json::json;

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
        let key = |phone: &str| MessageQueued::new(phone, "").key();
        assert_eq!(key("0821234567"), key("+27821234567"));
        assert_ne!(key("0821234567"), key("0829234567"));
        assert_eq!(key("nonsense"), "nobody");
    }
    fn message(data: serde_json::Value) -> MessageQueued {
        serde_json::from_value(data).unwrap()
    }

    #[test]
    fn a_message_goes_to_a_person_or_to_a_group_with_a_mention() {
        let to = |data| {
            let recipient = message(data).recipient()?;
            Ok::<_, Error>((recipient.chat.jid(), recipient.mention.map(|mention| mention.jid())))
        };
        let (group, person) = ("120363401234567890@g.us", "27821234567@s.whatsapp.net");
        let of = |chat: &str, mention: Option<&str>| Ok((chat.to_owned(), mention.map(str::to_owned)));
        assert_eq!(to(json!({"phone": "0821234567", "message": "x"})), of(person, None));
        assert_eq!(to(json!({"group": group, "message": "x"})), of(group, None));
        assert_eq!(
            to(json!({"group": group, "phone": "0821234567", "message": "x"})),
            of(group, Some(person))
        );
        assert_eq!(to(json!({"phone": group, "mention": "9@lid", "message": "x"})), of(group, Some("9@lid")));
        let wrong = |data| to(data).unwrap_err().message().split(':').next().unwrap().to_owned();
        assert_eq!(wrong(json!({"group": "0821234567", "message": "x"})), "group");
        assert_eq!(wrong(json!({"group": group, "mention": group, "message": "x"})), "mention");
        assert_eq!(wrong(json!({"phone": "0821234567", "mention": "9@lid", "message": "x"})), "mention");
        assert!(serde_json::from_value::<MessageQueued>(json!({"message": "x"})).is_err());
    }

    #[test]
    fn a_message_is_shown_without_its_text_and_numbers() {
        let data =
            json!({"group": "120363401234567890@g.us", "mention": "0821234567", "message": "secret text"});
        let shown = format!("{:?}", message(data));
        assert!(
            !shown.contains("secret") && !shown.contains("82123") && !shown.contains("3401234"),
            "{shown}"
        );
    }
}
