//! HTTP as every client here needs it: one shared client, timeouts, no redirects, and a plain account of what went wrong.

use std::{fmt, time::Duration};

use durable::{Error, Result, seconds};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

/// Sends requests, to the network or to a service in this process.
#[derive(Clone)]
pub struct Http(Transport);

#[derive(Clone)]
enum Transport {
    Network(reqwest::Client),
    #[cfg(feature = "sandbox")]
    InProcess(axum::Router, std::sync::Arc<dyn durable::Clock>),
}

impl Http {
    /// The network. Redirects are not followed: an address is configuration, and a secret goes nowhere else.
    pub fn network() -> Result<Self> {
        // Another part of the program may have chosen a provider already; then that one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client =
            reqwest::Client::builder().redirect(Policy::none()).connect_timeout(seconds(5)).build()?;
        Ok(Self(Transport::Network(client)))
    }

    /// A service in this process, without sockets and without a runtime: it runs under a simulated clock.
    #[cfg(feature = "sandbox")]
    pub fn in_process(service: axum::Router, clock: std::sync::Arc<dyn durable::Clock>) -> Self {
        Self(Transport::InProcess(service, clock))
    }

    /// Sends a request. Of an answer's body no more than `largest` bytes are kept, and one more where there are more.
    async fn send(
        &self,
        request: http::Request<Vec<u8>>,
        timeout: Duration,
        largest: usize,
    ) -> Result<Reply, Unanswered> {
        match &self.0 {
            Transport::Network(client) => {
                let lost = |error: reqwest::Error| Unanswered::from_network(&error.without_url());
                let mut request = reqwest::Request::try_from(request).map_err(lost)?;
                *request.timeout_mut() = Some(timeout);
                let mut response = client.execute(request).await.map_err(lost)?;
                let (status, headers) = (response.status(), response.headers().clone());
                let mut body = Vec::new();
                // Headers without a body: the service was at work on the request.
                while let Some(part) = response.chunk().await.map_err(|error| Unanswered {
                    never_left: false,
                    reason: Error::from(error.without_url()).message().to_owned(),
                })? {
                    let room = largest.saturating_add(1) - body.len();
                    body.extend_from_slice(&part[..part.len().min(room)]);
                    if body.len() > largest {
                        break;
                    }
                }
                Ok(Reply { status, headers, body })
            }
            #[cfg(feature = "sandbox")]
            Transport::InProcess(service, clock) => {
                let end = durable::after(clock.now(), timeout);
                let answer = std::pin::pin!(in_process(service.clone(), request));
                match futures::future::select(answer, clock.sleep_until(end)).await {
                    futures::future::Either::Left((reply, _)) => reply,
                    futures::future::Either::Right(_) => {
                        Err(Unanswered { never_left: false, reason: "operation timed out".to_owned() })
                    }
                }
            }
        }
    }
}

#[cfg(feature = "sandbox")]
async fn in_process(service: axum::Router, request: http::Request<Vec<u8>>) -> Result<Reply, Unanswered> {
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    let lost = |reason: String| Unanswered { never_left: false, reason };
    let request = request.map(axum::body::Body::from);
    let Ok(response) = service.oneshot(request).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| lost(error.to_string()))?;
    Ok(Reply { status: parts.status, headers: parts.headers, body: body.to_bytes().to_vec() })
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Transport::Network(_) => "Http::network",
            #[cfg(feature = "sandbox")]
            Transport::InProcess(..) => "Http::in_process",
        })
    }
}

/// No answer came.
#[derive(Debug)]
struct Unanswered {
    /// Whether the request certainly never reached the service.
    never_left: bool,
    reason: String,
}

impl Unanswered {
    fn from_network(error: &reqwest::Error) -> Self {
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            reason = format!("{reason}: {error}");
            cause = error.source();
        }
        Self { never_left: error.is_connect() || error.is_builder(), reason }
    }
}

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

    /// How long the service asks to be left alone, if it says so in seconds.
    fn retry_after(&self) -> Option<Duration> {
        self.headers
            .get(http::header::RETRY_AFTER)?
            .to_str()
            .ok()?
            .trim()
            .parse()
            .ok()
            .map(Duration::from_secs)
    }
}

/// A service at an address, with what it wants in every request.
#[derive(Clone)]
pub struct Endpoint {
    http: Http,
    base: Url,
    headers: HeaderMap,
    timeout: Duration,
    largest: usize,
}

/// The largest answer taken, in bytes, where nothing else is said.
const LARGEST: usize = 64 * 1024 * 1024;

impl Endpoint {
    /// A service at `base`. A request takes at most 30 s, and an answer has at most 64 MiB.
    pub fn new(http: Http, base: Url) -> Self {
        Self { http, base, headers: HeaderMap::new(), timeout: seconds(30), largest: LARGEST }
    }

    /// The largest answer that is taken, in bytes. What is larger is not read to its end.
    #[must_use]
    pub fn largest(mut self, bytes: usize) -> Self {
        self.largest = bytes;
        self
    }

    /// The longest a request may take, from connecting to the end of the answer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The name under which the worker in the private network knows it, if that is who reaches it.
    pub fn service(&self) -> Option<&str> {
        crate::work::service(&self.base)
    }

    /// Whether the worker in the private network reaches it, with secrets of its own.
    pub fn is_by_worker(&self) -> bool {
        self.service().is_some()
    }

    /// A header that no log and no error ever shows, and that no message carries. Fails when the secret has characters that no header can hold.
    pub fn secret(mut self, name: &'static str, secret: &SecretString) -> Result<Self> {
        let mut value = HeaderValue::from_str(secret.expose_secret()).map_err(|_| {
            Error::fatal(format!("the secret for header {name}: expected printable characters"))
        })?;
        value.set_sensitive(true);
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    /// Asks for `path`, below the base address; `""` is the base address itself.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.request(Method::GET, path, None, &[]).await
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        self.request(Method::POST, path, Some(body), &[]).await
    }

    /// Posts JSON under an idempotency key.
    pub async fn post_once(&self, path: &str, body: &Value, key: &str) -> Result<Reply> {
        self.request(Method::POST, path, Some(body), &[("idempotency-key", key)]).await
    }

    /// Sends a request. Only an answer with a status of success is one; all else is an error that says whether trying
    /// again can help, and whether the request may have had its effect.
    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&'static str, &str)],
    ) -> Result<Reply> {
        let mut url = self.base.clone();
        if !path.is_empty() {
            url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        }
        let mut request = http::Request::builder().method(&method).uri(url.as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header(http::header::CONTENT_TYPE, "application/json");
        }
        let mut request = request
            .body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default())
            .map_err(|error| Error::fatal(format!("{}: {error}", self.name(&method, path))))?;
        request.headers_mut().extend(self.headers.clone());
        if self.is_by_worker() {
            let name = self.name(&method, path);
            let reply = crate::work::send(request, self.timeout, self.largest).await;
            let reply = reply.map_err(|error| error.context(&name))?;
            return if reply.status.is_success() { Ok(reply) } else { Err(classify(&name, &reply)) };
        }
        match self.http.send(request, self.timeout, self.largest).await {
            Ok(reply) if reply.body.len() > self.largest => Err(Error::fatal(format!(
                "{}: the answer has more than {} bytes",
                self.name(&method, path),
                self.largest
            ))),
            Ok(reply) if reply.status.is_success() => Ok(reply),
            Ok(reply) => Err(classify(&self.name(&method, path), &reply)),
            Err(Unanswered { never_left: true, reason }) => {
                Err(Error::no_effect(format!("{}: {reason}", self.name(&method, path))))
            }
            Err(Unanswered { reason, .. }) => {
                Err(Error::new(format!("{}: {reason}", self.name(&method, path))))
            }
        }
    }

    /// What an error calls a request: neither the base address's path nor a query, which may hold a secret.
    fn name(&self, method: &Method, path: &str) -> String {
        format!("{method} {}{path}", self.base.host_str().unwrap_or("?"))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("host", &self.base.host_str()).finish_non_exhaustive()
    }
}

/// What an answer without success means.
fn classify(request: &str, reply: &Reply) -> Error {
    let text = format!("{request}: {} {}", reply.status.as_u16(), reply.text());
    match (reply.status.as_u16(), reply.retry_after()) {
        (429, delay) => Error::retry_after(delay.unwrap_or(seconds(30)), text),
        (503, Some(delay)) => Error::retry_after(delay, text),
        (300..=499, _) => Error::fatal(text),
        _ => Error::new(text),
    }
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

    use super::*;

    fn reply(status: u16, retry_after: Option<&'static str>) -> Reply {
        let mut headers = HeaderMap::new();
        if let Some(delay) = retry_after {
            headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static(delay));
        }
        Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: b"why".to_vec() }
    }

    #[test]
    fn a_status_says_whether_to_try_again_and_what_may_have_happened() {
        for status in [301, 400, 401, 403, 404, 405, 413, 415, 422] {
            assert_eq!(classify("GET x", &reply(status, None)).kind(), ErrorKind::Fatal, "{status}");
        }
        for status in [500, 502, 503, 504] {
            assert_eq!(classify("GET x", &reply(status, None)).kind(), ErrorKind::Retryable, "{status}");
        }
        for status in [429, 503] {
            let error = classify("GET x", &reply(status, Some("7")));
            assert_eq!((error.kind(), error.delay()), (ErrorKind::NoEffect, Some(seconds(7))), "{status}");
        }
        assert_eq!(classify("GET host/path", &reply(404, None)).message(), "GET host/path: 404 why");
    }

    #[test]
    fn no_secret_is_shown() {
        let http = Http::network().unwrap();
        let endpoint =
            Endpoint::new(http, "https://hooks.example/services/T0/B0/secret?key=secret".parse().unwrap());
        let endpoint = endpoint.secret("authorization", &"Convex secret".into()).unwrap();
        assert!(!format!("{endpoint:?} {}", endpoint.name(&Method::POST, "")).contains("secret"));
    }
}
