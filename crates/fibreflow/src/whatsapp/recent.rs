//! Whether a message went out, by the service's list of what it sent lately.

use durable::{after, seconds, until};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Recipient;
use crate::phone::Address;

/// What the list of sent messages says of one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trace", rename_all = "snake_case")]
pub enum Trace {
    /// It went out.
    Sent {
        /// WhatsApp's id of it.
        message_id: Option<String>,
    },
    /// It did not: the list goes back to before it could have been sent, and does not have it.
    NotSent,
    /// The list does not go back far enough to say.
    Unknown,
}

/// `GET /list-recent`: the last 100 messages, up to an hour, kept in memory only.
#[derive(Debug, Deserialize)]
pub(super) struct Recent {
    messages: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    message_id: Option<String>,
    #[serde(default)]
    group_jid: String,
    #[serde(default)]
    recipient_jid: String,
    message_text: String,
    sent_at: Timestamp,
}

/// How much of a text the list keeps, in bytes.
const KEPT: usize = 50;

/// How far the service's clock may differ from ours, in seconds.
const SKEW: u64 = 5;

pub(super) fn trace(recent: &Recent, to: &Recipient, text: &str, since: Timestamp) -> Trace {
    let chat = to.chat.jid();
    let mention = to.mention.as_ref().map(Address::jid);
    let earliest =
        after(Timestamp::UNIX_EPOCH, until(Timestamp::UNIX_EPOCH, since).saturating_sub(seconds(SKEW)));
    let is_it = |sent: &&Entry| {
        let to_them = match &mention {
            Some(mention) => sent.group_jid == chat && sent.recipient_jid == *mention,
            None => sent.group_jid == chat || sent.recipient_jid == chat,
        };
        to_them && sent.sent_at >= earliest && same(&sent.message_text, text)
    };
    if let Some(sent) = recent.messages.iter().find(is_it) {
        return Trace::Sent { message_id: sent.message_id.clone() };
    }
    // An older entry proves that the list has forgotten nothing since: neither by a restart nor by its length.
    let goes_back = recent.messages.iter().any(|sent| sent.sent_at < earliest);
    if goes_back { Trace::NotSent } else { Trace::Unknown }
}

/// Whether the list's entry is of this text: it keeps the first bytes, of which the last may be half a character.
fn same(kept: &str, text: &str) -> bool {
    // With a mention, the addressee comes first and takes its part of what is kept.
    let (mention, kept) = match kept.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
        Some((user, rest)) if !text.starts_with('@') => (user.len() + 2, rest),
        _ => (0, kept),
    };
    let room = KEPT.saturating_sub(mention).min(text.len());
    kept.trim_end_matches('\u{fffd}') == &text[..text.floor_char_boundary(room)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn find(entries: &[(&str, &str, i64)], text: &str) -> Trace {
        let entry = |(to, text, second): &(&str, &str, i64)| {
            let cut = &text[..text.len().min(50)];
            json!({"message_id": "3EB0", "group_jid": to, "recipient_jid": "", "message_text": cut, "sent_at": at(*second).to_string()})
        };
        let list = json!({ "messages": entries.iter().map(entry).collect::<Vec<_>>() });
        let to = Recipient::new("0821234567".parse().unwrap(), None).unwrap();
        trace(&serde_json::from_value(list).unwrap(), &to, text, at(0))
    }

    const ME: &str = "27821234567@s.whatsapp.net";

    #[test]
    fn what_the_list_has_went_out() {
        let long = "DR1733758: PASS (9 of 10 steps, 7.4 of 10), and more than fifty bytes of it";
        assert!(matches!(find(&[(ME, long, 1)], long), Trace::Sent { .. }));
        assert!(matches!(find(&[(ME, "short", 1)], "short"), Trace::Sent { .. }));
    }

    #[test]
    fn another_text_addressee_or_time_is_another_message() {
        assert_eq!(find(&[(ME, "short", 1)], "other"), Trace::Unknown);
        assert_eq!(find(&[("27830000000@s.whatsapp.net", "short", 1)], "short"), Trace::Unknown);
        assert_eq!(find(&[(ME, "short", -60)], "short"), Trace::NotSent);
        assert_eq!(
            find(&[(ME, "short", 1)], "short, but longer than the one that went out before it"),
            Trace::Unknown
        );
    }

    #[test]
    fn only_a_list_that_goes_back_far_enough_proves_that_it_did_not() {
        assert_eq!(find(&[], "short"), Trace::Unknown);
        assert_eq!(find(&[("27830000000@s.whatsapp.net", "older", -60)], "short"), Trace::NotSent);
    }
    #[test]
    fn in_a_group_the_mention_tells_messages_apart() {
        let group = "120363401234567890@g.us";
        let list = json!({ "messages": [{
            "message_id": "3EB0", "group_jid": group, "recipient_jid": ME,
            "message_text": "@27821234567 DR1733758: PASS", "sent_at": at(1).to_string(),
        }] });
        let list: Recent = serde_json::from_value(list).unwrap();
        let find = |mention: &str| {
            let to = Recipient::new(group.parse().unwrap(), Some(mention)).unwrap();
            trace(&list, &to, "DR1733758: PASS", at(0))
        };
        assert!(matches!(find("0821234567"), Trace::Sent { .. }));
        assert_eq!(find("0831234567"), Trace::Unknown);
    }
}
