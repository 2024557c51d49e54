//! Requests to services of the private network, with the secrets that only the worker has.

use std::{collections::BTreeMap, time::Duration};

use durable::{Error, Result, seconds};
use fibreflow::work::{self, Request, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use reqwest::redirect::Policy;
use serde_json::Value;

use crate::{allow, config, secret::Secrets};

/// The largest answer that is taken, whatever the job says, in bytes.
const LARGEST: usize = 64 * 1024 * 1024;

/// Headers that are the client's own business, or would let a job speak as somebody else.
const NOT_A_JOBS: [HeaderName; 8] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
];

/// Makes requests.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    client: reqwest::Client,
    services: BTreeMap<String, config::Service>,
}

impl Requests {
    pub(crate) fn new(services: BTreeMap<String, config::Service>) -> Result<Self> {
        let _ = rustls_provider();
        // A redirect would take a secret elsewhere, and a proxy of the environment everything.
        let client =
            reqwest::Client::builder().redirect(Policy::none()).no_proxy().connect_timeout(seconds(5));
        Ok(Self { client: client.build()?, services })
    }

    /// Makes a request that takes at most `limit`.
    pub(crate) async fn make(&self, request: Request, limit: Duration) -> Result<Value> {
        let name = request.service.clone();
        let service = self.services.get(&name).ok_or_else(|| {
            let known: Vec<_> = self.services.keys().map(String::as_str).collect();
            Error::fatal(format!("service: this worker reaches {}, not {name}", known.join(", ")))
        })?;
        let secrets = Secrets::read(&service.headers).map_err(|error| error.context(&name))?;
        let made = self.answer(service, &secrets, request, limit).await;
        let response = made.map_err(|error| secrets.hide_in_error(&error).context(&name))?;
        Ok(secrets.hide_in_value(serde_json::to_value(response)?))
    }

    async fn answer(
        &self,
        service: &config::Service,
        secrets: &Secrets,
        request: Request,
        limit: Duration,
    ) -> Result<Response> {
        let url = allow::address(&service.base, &service.paths, &request.path)?;
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| Error::fatal("method: expected one of HTTP"))?;
        let mut asked = reqwest::Request::new(method, url);
        *asked.timeout_mut() = Some(limit);
        *asked.headers_mut() = headers(&request.headers, secrets)?;
        *asked.body_mut() = Some(request.body.into_bytes()?.into());
        let mut response = self.client.execute(asked).await.map_err(|error| lost(&error.without_url()))?;
        let largest = request.largest.min(LARGEST);
        let mut body = Vec::new();
        // Headers without a body: the service was at work on the request.
        while let Some(part) = response.chunk().await.map_err(|error| Error::from(error.without_url()))? {
            // One byte more tells whoever asked that there is more.
            let room = largest.saturating_add(1) - body.len();
            body.extend_from_slice(&part[..part.len().min(room)]);
            if body.len() > largest {
                break;
            }
        }
        let (status, headers) = (response.status().as_u16(), work::readable(response.headers()));
        Ok(Response { status, headers, body: body.into() })
    }
}

/// A job's headers, and the secrets over them.
fn headers(wanted: &BTreeMap<String, String>, secrets: &Secrets) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in wanted {
        let wrong = || Error::fatal(format!("headers: {name:?} is no header"));
        let (name, value) = (HeaderName::try_from(name), HeaderValue::try_from(value));
        let (name, value) = (name.map_err(|_| wrong())?, value.map_err(|_| wrong())?);
        if !NOT_A_JOBS.contains(&name) {
            headers.insert(name, value);
        }
    }
    for (name, secret) in secrets.iter() {
        let wrong = || Error::fatal(format!("the secret for header {name}: expected printable characters"));
        let mut value = HeaderValue::try_from(secret).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(HeaderName::try_from(name).map_err(|_| wrong())?, value);
    }
    Ok(headers)
}

/// What it means that no answer came.
fn lost(error: &reqwest::Error) -> Error {
    let never_left = error.is_connect() || error.is_builder();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    if never_left { Error::no_effect(text) } else { Error::new(text) }
}

/// Another part of the program may have chosen a provider already; then that one serves.
fn rustls_provider() -> Result<(), std::sync::Arc<rustls::crypto::CryptoProvider>> {
    rustls::crypto::ring::default_provider().install_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_speaks_as_nobody_else() {
        let wanted = [("Authorization", "Bearer mine"), ("Host", "evil"), ("Cookie", "a=b"), ("x-id", "1")];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let made = headers(&wanted, &Secrets::default()).unwrap();
        assert_eq!(made.len(), 1);
        assert_eq!(made["x-id"], "1");
        let broken = [("x\r\ny".to_owned(), String::new())].into();
        assert!(headers(&broken, &Secrets::default()).unwrap_err().message().starts_with("headers: "));
    }
}
