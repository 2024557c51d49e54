//! What becomes of a message that is given up: it is put among the dead letters, with the reason. SQS would keep none.

use aws_sdk_sqs::types::MessageAttributeValue;
use durable::Result;

use crate::{Aws, failure::failed};

/// The attributes of a dead letter that say why it was given up, and after how many deliveries.
pub(crate) const REASON: &str = "reason";
pub(crate) const RECEIVES: &str = "receives";

/// The longest reason that is kept with a message, in characters: a message holds 256 KiB, its attributes included.
const LONGEST_REASON: usize = 2000;

impl Aws {
    /// Puts a message among the dead letters of its workflow's queue, with the reason. Whether there is such a place: without
    /// one, whoever received the message leaves it to SQS to move it, as it does when this fails.
    pub(crate) async fn bury(&self, workflow: &str, body: &str, reason: &str, receives: u32) -> Result<bool> {
        let Some(url) = &self.settings.queue(workflow)?.dead_letters else { return Ok(false) };
        let attribute = |kind, value: String| {
            MessageAttributeValue::builder().data_type(kind).string_value(value).build()
        };
        let request = self.clients.sqs().send_message().queue_url(url).message_body(body);
        let request = request
            .message_attributes(REASON, attribute("String", speakable(reason))?)
            .message_attributes(RECEIVES, attribute("Number", receives.to_string())?);
        request.send().await.map_err(|error| failed("SQS: SendMessage", error))?;
        Ok(true)
    }
}

/// A reason as the attribute of a message may be: of the characters of XML, and not empty.
fn speakable(reason: &str) -> String {
    let is_allowed =
        |c: &char| matches!(c, '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    let text: String = reason.chars().filter(is_allowed).take(LONGEST_REASON).collect();
    if text.is_empty() { "no reason".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_that_a_message_can_carry() {
        assert_eq!(
            speakable("S3: no bucket\0 \u{1b}[31m at\n„home“ 🏠\u{ffff}"),
            "S3: no bucket [31m at\n„home“ 🏠"
        );
        assert_eq!(
            (speakable("\0").as_str(), speakable(&"ä".repeat(5000)).chars().count()),
            ("no reason", 2000)
        );
    }
}
