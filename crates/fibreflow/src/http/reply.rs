//! An answer, and what it means.

use std::time::Duration;

use durable::{Error, Result, seconds, until};
use http::{HeaderMap, HeaderName, StatusCode, header};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::phone;

/// How long a service that answers 429 without saying how long is left alone.
const PAUSE: Duration = seconds(30);

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as text, cut off where an error message needs no more.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(300).collect()
    }

    /// How long the service asks to be left alone: a number of seconds, or a date (RFC 9110, 10.2.3).
    ///
    /// A date is measured by the answer's own date, so that no clock but the service's matters.
    fn retry_after(&self) -> Option<Duration> {
        let text = self.header(header::RETRY_AFTER)?;
        text.parse().ok().map(Duration::from_secs).or_else(|| {
            let answered = date(self.header(header::DATE)?)?;
            Some(until(answered, date(text)?))
        })
    }

    fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// Takes numbers out of the body, and whatever it repeats of the request.
    pub(super) fn hush(&mut self, request: &Value) {
        let mut text = String::from_utf8_lossy(&self.body).into_owned();
        for said in request.as_object().into_iter().flat_map(|fields| fields.values()) {
            if let Some(said) = said.as_str().filter(|said| !said.is_empty()) {
                // As JSON repeats it, then as it is.
                let quoted = Value::from(said).to_string();
                text = text.replace(quoted.trim_matches('"'), "…").replace(said, "…");
            }
        }
        self.body = phone::without_numbers(&text).into_bytes();
    }

    /// What an answer without success means: whether trying again can help, and whether the request may have had its
    /// effect.
    pub(super) fn failure(&self, request: &str) -> Error {
        let text = format!("{request}: {} {}", self.status.as_u16(), self.text());
        match (self.status.as_u16(), self.retry_after()) {
            (429, delay) => Error::retry_after(delay.unwrap_or(PAUSE), text),
            // It says when it will be well again, and not how far this request came.
            (503, Some(delay)) => Error::new(text).not_before(delay),
            // Something between us and the service gave up on it: nobody knows how far the request came.
            (408 | 425, _) => Error::new(text),
            (300..=499, _) => Error::fatal(text),
            _ => Error::new(text),
        }
    }
}

fn date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

/// Reads an answer that ought to be JSON; what is not may come from something between us and the service, so asking again
/// may help.
pub fn json<T: DeserializeOwned>(reply: &Reply) -> Result<T> {
    serde_json::from_slice(&reply.body)
        .map_err(|error| Error::new(format!("unexpected answer: {error}: {}", reply.text())))
}

#[cfg(test)]
mod tests {
    use durable::ErrorKind;
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn reply(status: u16, headers: &[(HeaderName, &'static str)]) -> Reply {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: b"why".to_vec() }
    }

    fn failure(status: u16, headers: &[(HeaderName, &'static str)]) -> Error {
        reply(status, headers).failure("GET host/path")
    }

    #[test]
    fn a_status_says_whether_to_try_again_and_what_may_have_happened() {
        for status in [301, 302, 307, 400, 401, 403, 404, 405, 413, 415, 422] {
            assert_eq!(failure(status, &[]).kind(), ErrorKind::Fatal, "{status}");
        }
        for status in [408, 425, 500, 502, 503, 504] {
            assert_eq!(failure(status, &[]).kind(), ErrorKind::Retryable, "{status}");
        }
        for (status, kind) in [(429, ErrorKind::NoEffect), (503, ErrorKind::Retryable)] {
            let error = failure(status, &[(header::RETRY_AFTER, "7")]);
            assert_eq!((error.kind(), error.delay()), (kind, Some(seconds(7))), "{status}");
        }
        assert_eq!(failure(404, &[]).message(), "GET host/path: 404 why");
    }

    #[test]
    fn a_service_says_in_seconds_or_by_a_date_when_to_come_back() {
        let date = (header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT");
        let after = |text: &'static str| failure(429, &[date.clone(), (header::RETRY_AFTER, text)]).delay();
        assert_eq!(after("120"), Some(seconds(120)));
        assert_eq!(after("Sun, 06 Nov 1994 08:51:07 GMT"), Some(seconds(90)));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(seconds(0)), "a date that is past");
        assert_eq!(after("soon"), Some(PAUSE));
        let undated = [(header::RETRY_AFTER, "Sun, 06 Nov 1994 08:51:07 GMT")];
        assert_eq!(failure(429, &undated).delay(), Some(PAUSE), "nothing to measure it by");
        assert_eq!(failure(503, &undated).kind(), ErrorKind::Retryable);
    }

    #[test]
    fn a_discreet_answer_repeats_neither_numbers_nor_what_was_sent() {
        let mut reply = reply(500, &[]);
        let text = "Drop \"DR1733758\" is booked";
        reply.body = json!({ "error": format!("cannot send {text} to 27821234567@s.whatsapp.net") })
            .to_string()
            .into();
        reply.hush(&json!({ "recipient": "27821234567", "message": text }));
        let error = reply.failure("POST host/api/send");
        assert_eq!(
            error.message(),
            r#"POST host/api/send: 500 {"error":"cannot send … to …@s.whatsapp.net"}"#
        );
    }
}
