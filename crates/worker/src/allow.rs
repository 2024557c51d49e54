//! Which addresses a request may have: those below the address of its service, and below the paths that are allowed there.

use durable::{Error, Result};
use url::Url;

/// The address of `path`, with its query, below `base`.
///
/// The path is taken apart and not trusted to a parser: what a proxy or a service may read as another place (`..`, `//`, a
/// backslash, an encoded dot or slash, a user, a fragment) is refused, not repaired.
pub fn address(base: &Url, allowed: &[String], path: &str) -> Result<Url> {
    let refused = |why: &str| Err(Error::fatal(format!("path: {why}")));
    let (plain, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    if !plain.starts_with('/') {
        return refused("expected one that begins with /");
    }
    if path.contains(|c: char| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '#')) {
        return refused("expected neither spaces, control characters, # nor \\");
    }
    let lower = plain.to_ascii_lowercase();
    if ["%2e", "%2f", "%5c", "%00", "%25"].iter().any(|encoded| lower.contains(encoded))
        || plain.contains('@')
    {
        return refused("expected neither @ nor encoded dots, slashes and percent signs");
    }
    let mut segments = plain.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if matches!(segment, "." | "..") || (segment.is_empty() && segments.peek().is_some()) {
            return refused("expected neither //, /. nor /..");
        }
    }
    if !allowed.is_empty() && !allowed.iter().any(|prefix| is_below(plain, prefix)) {
        return refused("it is not among the paths that are allowed");
    }
    let mut url = base.clone();
    url.set_path(&format!("{}{plain}", base.path().trim_end_matches('/')));
    url.set_query(query);
    let same_place = url.origin() == base.origin() && url.username().is_empty() && url.password().is_none();
    if same_place && is_below(url.path(), base.path()) { Ok(url) } else { refused("it leads elsewhere") }
}

/// Whether a path is `prefix` or below it: `/v1` allows `/v1` and `/v1/models`, and not `/v10`.
fn is_below(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Result<String> {
        let base = "http://10.0.0.5:8000/api/".parse().unwrap();
        address(&base, &["/v1".into(), "/health".into()], path).map(Into::into)
    }

    #[test]
    fn what_is_below_the_address_is_reached() {
        assert_eq!(at("/v1/models?x=1&y=/..").unwrap(), "http://10.0.0.5:8000/api/v1/models?x=1&y=/..");
        assert_eq!(at("/health").unwrap(), "http://10.0.0.5:8000/api/health");
        let all = address(&"https://host".parse().unwrap(), &[], "/a/b/").unwrap();
        assert_eq!(all.as_str(), "https://host/a/b/");
    }

    #[test]
    fn nothing_else_is() {
        for path in [
            "v1",
            "",
            "//evil.example/v1",
            "/v1//x",
            "/v1/../admin",
            "/v1/..",
            "/v1/./x",
            "/v1/%2e%2e/admin",
            "/v1/%2E%2E%2Fadmin",
            "/v1/%252e%252e/admin",
            "/v1\\..\\admin",
            "/v1/@evil.example",
            "@evil.example/v1",
            "/v1 /x",
            "/v1/\r\nHost: evil",
            "/v1#x",
            "/v10",
            "/admin",
            "http://evil.example/v1",
        ] {
            let error = at(path).unwrap_err();
            assert!(!error.is_retryable() && error.message().starts_with("path: "), "{path}: {error}");
        }
    }
}
