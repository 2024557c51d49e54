//! Keys that let other systems send events, and nothing else.

use std::fmt;

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The fewest characters of a key.
const SHORTEST: usize = 24;

/// The keys with which events may be sent. None: nobody may by a key.
#[derive(Clone, Default)]
pub struct EventKeys(Vec<[u8; 32]>);

impl EventKeys {
    /// These keys, of 24 characters or more each. Two of them at a time make it possible to change one.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a str>) -> durable::Result<Self> {
        let digests = keys.into_iter().map(|key| {
            if key.len() < SHORTEST {
                return Err(durable::Error::fatal(format!(
                    "event key: expected {SHORTEST} characters or more, at random"
                )));
            }
            Ok(digest(key))
        });
        digests.collect::<durable::Result<_>>().map(Self)
    }

    /// Whether a request comes with one of the keys, as `Authorization: Bearer KEY`.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(given) = given.and_then(|value| value.strip_prefix("Bearer ")) else { return false };
        let given = digest(given.trim());
        // Digests have one length, and each is compared to its end: the time tells nothing of a key.
        self.0.iter().fold(Choice::from(0), |found, key| found | key.ct_eq(&given)).into()
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

impl fmt::Debug for EventKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventKeys({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const KEYS: [&str; 2] = ["abcdefghijklmnopqrstuvwxyz", "0123456789012345678901234"];

    fn admits(keys: &EventKeys, authorization: &'static str) -> bool {
        let value = HeaderValue::from_static(authorization);
        keys.admit(&[(header::AUTHORIZATION, value)].into_iter().collect())
    }

    #[test]
    fn any_of_the_keys_opens_and_nothing_else() {
        let keys = EventKeys::new(KEYS).unwrap();
        assert!(admits(&keys, "Bearer abcdefghijklmnopqrstuvwxyz"));
        assert!(admits(&keys, "Bearer 0123456789012345678901234"));
        for wrong in ["Bearer ", "Bearer abcdefghijklmnopqrstuvwxy", "abcdefghijklmnopqrstuvwxyz", ""] {
            assert!(!admits(&keys, wrong), "{wrong}");
        }
        assert!(!keys.admit(&HeaderMap::new()));
    }

    #[test]
    fn without_keys_nobody_gets_in() {
        assert!(!admits(&EventKeys::default(), "Bearer abcdefghijklmnopqrstuvwxyz"));
    }

    #[test]
    fn a_short_key_is_refused_and_none_is_shown() {
        assert!(EventKeys::new(["short"]).unwrap_err().message().starts_with("event key: expected 24"));
        assert_eq!(format!("{:?}", EventKeys::new(KEYS).unwrap()), "EventKeys(2)");
    }
}
