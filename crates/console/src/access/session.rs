//! Who has signed in, as their browser keeps it: sealed, out of reach of scripts, and for a working day.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use durable::{after, hours, minutes};
use jiff::Timestamp;

use super::{BEGUN, Begun, Identity, Seal};

/// The purpose of the seal.
const SESSION: &str = "session";

/// With the browsers' prefix for cookies of one host, sent over HTTPS only.
pub(crate) const SESSION_COOKIE: &str = "__Host-session";

/// How long somebody stays signed in.
const LENGTH: Duration = hours(10);

/// Keeps what was begun while somebody is at the provider.
pub(crate) const BEGUN_COOKIE: &str = "__Host-sign-in";

/// How long signing in may take.
const SIGN_IN: Duration = minutes(10);

/// The cookie that keeps somebody signed in.
pub(crate) fn session_cookie(seal: &Seal, identity: &Identity, now: Timestamp) -> Option<HeaderValue> {
    let value = seal.seal(SESSION, identity, after(now, LENGTH));
    cookie(SESSION_COOKIE, &value, LENGTH)
}

/// The cookie that signs somebody out.
pub(crate) fn end_cookie() -> Option<HeaderValue> {
    cookie(SESSION_COOKIE, "", Duration::ZERO)
}

/// The cookie that keeps a sign-in that was begun.
pub(crate) fn begun_cookie(seal: &Seal, begun: &Begun, now: Timestamp) -> Option<HeaderValue> {
    cookie(BEGUN_COOKIE, &seal.seal(BEGUN, begun, after(now, SIGN_IN)), SIGN_IN)
}

/// The cookie that ends a sign-in that was begun: none is used twice.
pub(crate) fn end_begun() -> Option<HeaderValue> {
    cookie(BEGUN_COOKIE, "", Duration::ZERO)
}

/// `Lax`: a link from a chat leads to a page, and nothing that changes anything comes with the cookie from elsewhere.
fn cookie(name: &str, value: &str, age: Duration) -> Option<HeaderValue> {
    let age = age.as_secs();
    let text = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; Secure; SameSite=Lax");
    HeaderValue::from_str(&text).ok()
}

/// The value of a cookie.
pub(crate) fn cookie_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(given, _)| *given == name).map(|(_, value)| value)
}

/// Who a request comes from.
pub(crate) fn identity(seal: &Seal, headers: &HeaderMap, now: Timestamp) -> Option<Identity> {
    seal.open(SESSION, cookie_value(headers, SESSION_COOKIE)?, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;

    fn with(cookie: &str) -> HeaderMap {
        [(header::COOKIE, HeaderValue::from_str(cookie).unwrap())].into_iter().collect()
    }

    #[test]
    fn a_session_lasts_for_its_time_and_cannot_be_made_up() {
        let seal = Seal::new(&[1; 32]).unwrap();
        let (now, ana) = (Timestamp::UNIX_EPOCH, Identity::new("ana", Role::Viewer));
        let cookie = session_cookie(&seal, &ana, now).unwrap();
        let cookie = cookie.to_str().unwrap();
        assert!(cookie.ends_with("; Path=/; Max-Age=36000; HttpOnly; Secure; SameSite=Lax"), "{cookie}");
        let sent = with(&format!("a=b; {}", cookie.split(';').next().unwrap()));
        assert_eq!(identity(&seal, &sent, now), Some(ana));
        assert_eq!(identity(&seal, &sent, after(now, LENGTH)), None);
        assert_eq!(identity(&Seal::new(&[2; 32]).unwrap(), &sent, now), None);
        assert_eq!(identity(&seal, &with("__Host-session=x.y"), now), None);
        assert_eq!(identity(&seal, &HeaderMap::new(), now), None);
    }
}
