//! Links that sign somebody in: made by whoever can read the console's key, good for a short time.

use std::time::Duration;

use durable::after;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Role, Seal};

/// The purpose of the seal.
pub(crate) const LINK: &str = "link";

/// Whom a link signs in, and as what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Linked {
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// The address that signs `name` in at the console at `origin` (`https://name`), for as long as the link is good. Whoever
/// has it can use it: it is a secret while it lasts.
pub fn sign_in_link(
    seal: &Seal,
    origin: &str,
    name: &str,
    role: Role,
    now: Timestamp,
    good_for: Duration,
) -> String {
    let token = seal.seal(LINK, &Linked { name: name.to_owned(), role }, after(now, good_for));
    // After the number sign, where servers on the way and their logs do not see it.
    format!("{}/console/sign-in#{token}", origin.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use durable::minutes;

    use super::*;

    #[test]
    fn a_link_is_good_for_its_time() {
        let seal = Seal::new(&[1; 32]).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let link = sign_in_link(&seal, "https://console.example/", "ana", Role::Operator, now, minutes(15));
        let token = link.strip_prefix("https://console.example/console/sign-in#").unwrap();
        let expected = Linked { name: "ana".into(), role: Role::Operator };
        assert_eq!(seal.open(LINK, token, now), Some(expected));
        assert_eq!(seal.open::<Linked>(LINK, token, after(now, minutes(15))), None);
    }
}
