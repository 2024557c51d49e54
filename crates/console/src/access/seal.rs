//! Texts that somebody else keeps for us and cannot change: sessions in cookies, links, tokens in forms.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;

/// The fewest bytes of a key: below that it is a password, and can be guessed.
const SHORTEST: usize = 32;

/// What seals are made with: HMAC-SHA256 under a secret key.
#[derive(Clone)]
pub struct Seal(Hmac<Sha256>);

#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    until: Timestamp,
    #[serde(rename = "is")]
    value: T,
}

impl Seal {
    /// Seals made with this key, of 32 bytes or more.
    pub fn new(key: &[u8]) -> durable::Result<Self> {
        if key.len() < SHORTEST {
            return Err(durable::Error::fatal(format!(
                "session key: expected {SHORTEST} random bytes or more"
            )));
        }
        Hmac::new_from_slice(key)
            .map(Self)
            .map_err(|_| durable::Error::fatal("session key: expected a key for HMAC-SHA256"))
    }

    /// The value, readable by whoever has the text, good for one purpose until a time.
    pub(crate) fn seal<T: Serialize>(&self, purpose: &str, value: &T, until: Timestamp) -> String {
        // What is sealed here are maps with text keys, and these can be written.
        let json = serde_json::to_vec(&Sealed { until, value }).unwrap_or_default();
        let payload = BASE64.encode(json);
        let tag = BASE64.encode(self.mac(purpose, &payload).finalize().into_bytes());
        format!("{payload}.{tag}")
    }

    /// The value that was sealed for this purpose, unless its time is over or somebody has changed it.
    pub(crate) fn open<T: DeserializeOwned>(&self, purpose: &str, text: &str, now: Timestamp) -> Option<T> {
        let (payload, tag) = text.split_once('.')?;
        // In constant time: how much of a guess was right stays unknown.
        self.mac(purpose, payload).verify_slice(&BASE64.decode(tag).ok()?).ok()?;
        let sealed: Sealed<T> = serde_json::from_slice(&BASE64.decode(payload).ok()?).ok()?;
        (now < sealed.until).then_some(sealed.value)
    }

    /// What only whoever has the key can say of a text, for a purpose.
    pub(crate) fn tag(&self, purpose: &str, text: &str) -> String {
        BASE64.encode(self.mac(purpose, text).finalize().into_bytes())
    }

    /// Whether that is what was said of it.
    pub(crate) fn is_tag(&self, purpose: &str, text: &str, tag: &str) -> bool {
        BASE64.decode(tag).is_ok_and(|tag| self.mac(purpose, text).verify_slice(&tag).is_ok())
    }

    fn mac(&self, purpose: &str, payload: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        // The length keeps ("a", "bc") apart from ("ab", "c").
        mac.update(&(purpose.len() as u64).to_be_bytes());
        mac.update(purpose.as_bytes());
        mac.update(payload.as_bytes());
        mac
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

#[cfg(test)]
mod tests {
    use durable::{after, seconds};

    use super::*;

    fn seal() -> Seal {
        Seal::new(&[7; 32]).unwrap()
    }

    #[test]
    fn what_was_sealed_is_read_back_until_its_time_is_over() {
        let (now, until) = (Timestamp::UNIX_EPOCH, after(Timestamp::UNIX_EPOCH, seconds(60)));
        let text = seal().seal("link", &"ana", until);
        assert_eq!(seal().open::<String>("link", &text, now).as_deref(), Some("ana"));
        assert_eq!(seal().open::<String>("link", &text, until), None);
    }

    #[test]
    fn another_purpose_another_key_and_another_text_are_refused() {
        let (now, until) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let text = seal().seal("link", &"ana", until);
        assert_eq!(seal().open::<String>("session", &text, now), None);
        assert_eq!(Seal::new(&[8; 32]).unwrap().open::<String>("link", &text, now), None);
        let (payload, tag) = text.split_once('.').unwrap();
        let forged = BASE64.encode(r#"{"until":"9999-12-30T22:00:00Z","is":"eve"}"#);
        for changed in [format!("{forged}.{tag}"), format!("{payload}."), payload.to_owned(), String::new()] {
            assert_eq!(seal().open::<String>("link", &changed, now), None, "{changed}");
        }
    }

    #[test]
    fn a_tag_is_of_one_text_for_one_purpose() {
        let tag = seal().tag("form", "ana");
        assert!(seal().is_tag("form", "ana", &tag));
        for (purpose, text, tag) in [("form", "eve", tag.as_str()), ("x", "ana", &tag), ("form", "ana", "")] {
            assert!(!seal().is_tag(purpose, text, tag), "{purpose} {text}");
        }
    }

    #[test]
    fn a_short_key_is_no_key() {
        assert!(Seal::new(&[7; 31]).unwrap_err().message().starts_with("session key: expected 32"));
    }
}
