//! Keeps web pages elsewhere from steering the console through somebody's browser.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::{HeaderMap, Method, header};
use url::Url;

/// Whether a request to a server on this machine names this machine, and no page of another origin has caused it.
///
/// A name that leads here through somebody else's DNS is refused by `Host`; a request that another page sends, by `Origin`
/// and `Sec-Fetch-Site`, which browsers put on every such request that could change something.
pub fn loopback(method: &Method, headers: &HeaderMap) -> Result<(), &'static str> {
    let host = host(headers);
    if !is_loopback(host) {
        return Err("Host: expected localhost, 127.0.0.1 or [::1]");
    }
    same_origin(method, headers, &format!("http://{host}"))
}

/// Whether no page of another origin than `own` (`https://name[:port]`) has caused a request. Following a link to a page is
/// free to all.
pub fn same_origin(method: &Method, headers: &HeaderMap, own: &str) -> Result<(), &'static str> {
    if headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes() != own.as_bytes()) {
        return Err("Origin: requests of pages elsewhere are refused");
    }
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match text("sec-fetch-site") {
        // What is not a browser does not say, and nobody steers it from a page.
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) if method.is_safe() && text("sec-fetch-mode") == Some("navigate") => Ok(()),
        Some(_) => Err("Sec-Fetch-Site: requests of pages elsewhere are refused"),
    }
}

/// What a request says it is sent to.
pub(crate) fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

/// Whether `host[:port]` is this machine's loopback.
pub fn is_loopback(host: &str) -> bool {
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
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn passes(method: Method, given: &[(&'static str, &'static str)]) -> bool {
        let named = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        loopback(&method, &given.iter().map(named).collect()).is_ok()
    }

    #[test]
    fn only_this_machine_is_spoken_to() {
        for host in ["localhost", "localhost:8288", "127.0.0.1:9", "[::1]:8288", "LOCALHOST:1"] {
            assert!(passes(Method::GET, &[("host", host)]), "{host}");
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
            assert!(!passes(Method::GET, &[("host", host)]), "{host}");
        }
        assert!(!passes(Method::GET, &[]));
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let with = |origin| passes(Method::POST, &[("host", "localhost:8288"), ("origin", origin)]);
        assert!(with("http://localhost:8288"));
        for origin in ["https://evil.example", "http://localhost:3000", "null", "https://localhost:8288"] {
            assert!(!with(origin), "{origin}");
        }
    }

    #[test]
    fn a_browser_says_where_a_request_comes_from() {
        let with = |method, site, mode| {
            let host = ("host", "localhost:8288");
            passes(method, &[host, ("sec-fetch-site", site), ("sec-fetch-mode", mode)])
        };
        assert!(with(Method::POST, "same-origin", "cors") && with(Method::GET, "none", "navigate"));
        // A link in a chat leads to a page; nothing else may be fetched, and nothing sent.
        assert!(with(Method::GET, "cross-site", "navigate"));
        for (method, site, mode) in [
            (Method::POST, "cross-site", "navigate"),
            (Method::POST, "same-site", "cors"),
            (Method::GET, "cross-site", "no-cors"),
            (Method::GET, "same-site", "cors"),
        ] {
            assert!(!with(method.clone(), site, mode), "{method} {site} {mode}");
        }
    }
}
