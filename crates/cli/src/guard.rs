//! Keeps web pages elsewhere from steering the server through a browser on this machine.

use std::net::{IpAddr, Ipv6Addr};

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use url::Url;

use crate::server::refuse;

/// Lets a request pass that names this machine, and that no page of another origin has caused.
pub(crate) async fn same_origin(request: Request, next: Next) -> Response {
    match check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(reason) => refuse(StatusCode::FORBIDDEN, reason, None).into_response(),
    }
}

/// A name that leads here through somebody else's DNS is refused by `Host`; a request that another page sends, by `Origin`,
/// which browsers put on every such request that could change something.
fn check(headers: &HeaderMap) -> Result<(), &'static str> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_local(host) {
        return Err("Host: expected localhost, 127.0.0.1 or [::1]");
    }
    match headers.get(header::ORIGIN) {
        Some(origin) if origin.as_bytes() != format!("http://{host}").as_bytes() => {
            Err("Origin: requests of pages elsewhere are refused")
        }
        _ => Ok(()),
    }
}

/// Whether `host[:port]` is this machine's loopback.
pub(crate) fn is_local(host: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{host}/")) else { return false };
    // What the parser made of it must be all there was: no user, no path.
    if url.path() != "/" || !url.username().is_empty() || host.contains(['/', '@', '?', '#', '\\']) {
        return false;
    }
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => address == Ipv6Addr::LOCALHOST,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn passes(host: Option<&'static str>, origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        check(&headers).is_ok()
    }

    #[test]
    fn only_this_machine_is_spoken_to() {
        for host in ["localhost", "localhost:8288", "127.0.0.1:9", "[::1]:8288", "LOCALHOST:1"] {
            assert!(passes(Some(host), None), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:8288",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
            "a@localhost",
            "localhost/x",
        ] {
            assert!(!passes(Some(host), None), "{host}");
        }
        assert!(!passes(None, None));
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        assert!(passes(Some("localhost:8288"), Some("http://localhost:8288")));
        for origin in ["https://evil.example", "http://localhost:3000", "null", "https://localhost:8288"] {
            assert!(!passes(Some("localhost:8288"), Some(origin)), "{origin}");
        }
    }
}
