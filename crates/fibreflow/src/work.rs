//! What a worker in the private network is asked to do, and how a client here asks.
//!
//! A service whose address is `worker://NAME` is reached by the worker, which knows under NAME where it is and which secret it
//! wants. The client makes the same request and reads the same answer either way.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use durable::{Error, Result, hours, job, minutes};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use crate::http::Reply;

/// The scheme of addresses that the worker knows.
const SCHEME: &str = "worker";

/// So long a request waits for a worker: one that is alive takes it at once, and so long one may be restarted.
const PATIENCE: Duration = minutes(10);

/// So long a command waits for a worker: it may have others to end first, each for half an hour.
const COMMAND_PATIENCE: Duration = hours(12);

/// What a worker is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// To run a program.
    Command(Command),
    /// To make a request.
    Http(Request),
}

/// A program that the worker's configuration names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// By this name.
    pub name: String,
    /// What it is to work on.
    #[serde(default)]
    pub input: Value,
    /// An idempotency key: asked for again under it, the result of what ran, or is still running, is the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A request to a service that the worker's configuration names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// By this name.
    pub service: String,
    /// The method.
    pub method: String,
    /// The path below the service's address, and the query.
    pub path: String,
    /// Headers; none of them a secret.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default)]
    pub body: Body,
    /// The largest answer that is taken, in bytes.
    pub largest: usize,
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Its body.
    #[serde(default)]
    pub body: Body,
}

/// Bytes in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// As text, where it is text.
    Text(String),
    /// As base64.
    Base64(String),
}

impl Default for Body {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes)
            .map_or_else(|error| Self::Base64(BASE64_STANDARD.encode(error.as_bytes())), Self::Text)
    }
}

impl Body {
    /// The bytes.
    pub fn into_bytes(self) -> Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Base64(text) => BASE64_STANDARD
                .decode(text)
                .map_err(|error| Error::fatal(format!("body: expected base64: {error}"))),
        }
    }
}

/// The name under which the worker knows a service, if it is the worker's to reach.
pub fn service(address: &Url) -> Option<&str> {
    address.host_str().filter(|_| address.scheme() == SCHEME)
}

/// Has the worker make a request. Secrets stay where they are: the worker has those of its services.
pub(crate) async fn send(request: http::Request<Vec<u8>>, limit: Duration, largest: usize) -> Result<Reply> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request {
        service: parts.uri.host().unwrap_or_default().to_owned(),
        method: parts.method.to_string(),
        path: path.to_owned(),
        headers: readable(&parts.headers),
        body: body.into(),
        largest,
    };
    let work = serde_json::to_value(Work::Http(request))?;
    let response = job::hand_over(job::Order { work, limit, patience: PATIENCE }).await?;
    let response: Response = serde_json::from_value(response)
        .map_err(|error| Error::fatal(format!("the worker's answer: {error}")))?;
    reply(response)
}

/// Has the worker run a command, and reads its result.
pub(crate) async fn command<T: DeserializeOwned>(command: Command, limit: Duration) -> Result<T> {
    let name = command.name.clone();
    let work = serde_json::to_value(Work::Command(command))?;
    let result = job::hand_over(job::Order { work, limit, patience: COMMAND_PATIENCE }).await?;
    serde_path_to_error::deserialize(result)
        .map_err(|error| Error::fatal(format!("the result of command {name}: {error}")))
}

/// What a worker tells of headers: those that are text and no secret.
pub fn readable(headers: &HeaderMap) -> BTreeMap<String, String> {
    let headers = headers.iter().filter(|(_, value)| !value.is_sensitive());
    headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned()))).collect()
}

fn reply(response: Response) -> Result<Reply> {
    let status = StatusCode::from_u16(response.status)
        .map_err(|error| Error::fatal(format!("the worker's answer: status: {error}")))?;
    let header = |(name, value): (String, String)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    };
    let headers = response.headers.into_iter().filter_map(header).collect();
    Ok(Reply { status, headers, body: response.body.into_bytes()? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bytes_come_back_as_they_went() {
        for bytes in [b"".to_vec(), "Grüße".into(), vec![0xff, 0xd8, 0x00]] {
            let body: Body =
                serde_json::from_value(serde_json::to_value(Body::from(bytes.clone())).unwrap()).unwrap();
            assert_eq!(body.into_bytes().unwrap(), bytes);
        }
        assert!(Body::Base64("?".into()).into_bytes().unwrap_err().message().starts_with("body: expected"));
    }

    #[test]
    fn a_service_is_the_workers_by_its_scheme_alone() {
        let named = |url: &str| service(&url.parse().unwrap()).map(str::to_owned);
        assert_eq!(named("worker://vlm"), Some("vlm".into()));
        assert_eq!(named("worker://vlm/v2"), Some("vlm".into()));
        assert_eq!(named("https://worker/vlm"), None);
    }

    #[test]
    fn no_secret_travels() {
        let mut headers = HeaderMap::new();
        let mut secret = HeaderValue::from_static("hidden");
        secret.set_sensitive(true);
        headers.insert("x-bridge-secret", secret);
        headers.insert("idempotency-key", HeaderValue::from_static("run/step"));
        assert_eq!(readable(&headers), [("idempotency-key".to_owned(), "run/step".to_owned())].into());
    }

    #[test]
    fn work_is_told_by_its_kind() {
        let work = json!({"command": {"name": "harness", "input": {"agent_name": "x"}, "key": "k"}});
        let Work::Command(command) = serde_json::from_value(work).unwrap() else { panic!("a command") };
        assert_eq!((command.name.as_str(), command.key.as_deref()), ("harness", Some("k")));
        let shell = json!({"command": {"name": "harness", "shell": "rm -rf /"}});
        assert!(
            serde_json::from_value::<Work>(shell).unwrap_err().to_string().contains("unknown field `shell`")
        );
    }
}
