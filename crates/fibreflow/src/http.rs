//! HTTP as every client here needs it: one shared client, timeouts, no redirects, and a plain account of what went wrong.

mod reply;

use std::{fmt, time::Duration};

use durable::{Error, Result, seconds};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

pub use reply::{Reply, json};

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

/// A service at an address, with what it wants in every request.
#[derive(Clone)]
pub struct Endpoint {
    http: Http,
    base: Url,
    headers: HeaderMap,
    timeout: Duration,
    discreet: bool,
    largest: usize,
}

/// The largest answer taken, in bytes, where nothing else is said.
const LARGEST: usize = 64 * 1024 * 1024;

impl Endpoint {
    /// A service at `base`. A request takes at most 30 s, and an answer has at most 64 MiB.
    pub fn new(http: Http, base: Url) -> Self {
        Self {
            http,
            base,
            headers: HeaderMap::new(),
            timeout: seconds(30),
            discreet: false,
            largest: LARGEST,
        }
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

    /// What the service answers may hold numbers or repeat what it was sent: errors show neither.
    #[must_use]
    pub fn discreet(mut self) -> Self {
        self.discreet = true;
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

    /// A header that no log and no error ever shows, and that no message carries. Fails when the secret has characters that
    /// no header can hold.
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

    /// The answer to a request, if its status is one of success.
    fn judged(&self, request: &str, mut reply: Reply, body: Option<&Value>) -> Result<Reply> {
        if reply.status.is_success() {
            return Ok(reply);
        }
        if self.discreet {
            reply.hush(body.unwrap_or(&Value::Null));
        }
        Err(reply.failure(request))
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
            return self.judged(&name, reply, body);
        }
        match self.http.send(request, self.timeout, self.largest).await {
            Ok(reply) if reply.body.len() > self.largest => Err(Error::fatal(format!(
                "{}: the answer has more than {} bytes",
                self.name(&method, path),
                self.largest
            ))),
            Ok(reply) => self.judged(&self.name(&method, path), reply, body),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let http = Http::network().unwrap();
        let endpoint =
            Endpoint::new(http, "https://hooks.example/services/T0/B0/secret?key=secret".parse().unwrap());
        let endpoint = endpoint.secret("authorization", &"Convex secret".into()).unwrap();
        assert!(!format!("{endpoint:?} {}", endpoint.name(&Method::POST, "")).contains("secret"));
    }
}
