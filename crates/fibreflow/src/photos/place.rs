//! Where a photo is: which addresses mean an object in a bucket, and which are allowed.

use durable::{Error, Result};
use serde::{Deserialize, Serialize};
use url::Url;

/// The address of a photo, as a request has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhotoAddress {
    /// The field that has it, for error messages: `image_url` or `photos[2]`.
    pub field: String,
    /// `s3://bucket/key`, `https://bucket.s3.region.amazonaws.com/key`, or `https://host/path`.
    pub url: String,
}

impl PhotoAddress {
    /// An error that no further attempt mends, with the field that is wrong.
    pub(super) fn wrong(&self, what: impl std::fmt::Display) -> Error {
        Error::fatal(format!("{}: {what}", self.field))
    }
}

/// What an address means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An object, in whatever answers for S3 here.
    Bucket { bucket: String, path: String },
    /// A file on another host.
    Host(Url),
}

/// Finds out what an address means, if it is one of these buckets or hosts.
///
/// S3's https form is the same object as its `s3://` form: it is read from the configured endpoint, never from the host
/// that the address names, so no address leads a request to a place of its own choosing.
pub(super) fn locate(address: &PhotoAddress, buckets: &[String], hosts: &[String]) -> Result<Place> {
    let wrong = |what: String| {
        address.wrong(format!(
            "expected s3://bucket/key or https://host/path, of an allowed bucket or host; {what}"
        ))
    };
    let url = Url::parse(&address.url).map_err(|error| wrong(error.to_string()))?;
    let host = url.host_str().unwrap_or_default();
    let (bucket, path) = match url.scheme() {
        "s3" => (host, url.path()),
        "https" if hosts.iter().any(|allowed| allowed == host) => return Ok(Place::Host(url)),
        "https" => object(host, url.path()).ok_or_else(|| wrong(format!("host {host} is not allowed")))?,
        scheme => return Err(wrong(format!("scheme {scheme} is not allowed"))),
    };
    if !buckets.iter().any(|allowed| allowed == bucket) {
        return Err(wrong(format!("bucket {bucket} is not allowed")));
    }
    if path.len() < 2 {
        return Err(wrong("the key is missing".to_owned()));
    }
    Ok(Place::Bucket { bucket: bucket.to_owned(), path: path.to_owned() })
}

/// The bucket and the key's path of S3's https forms: virtual-hosted and path-style, with a region and without.
fn object<'a>(host: &'a str, path: &'a str) -> Option<(&'a str, &'a str)> {
    let service = host.strip_suffix(".amazonaws.com")?;
    // A region has no dots, so the last `s3` is the service; a bucket may have dots, and even an `s3` of its own.
    let service = match service.rsplit_once('.') {
        Some((before, region)) if region != "s3" && is_region(region) => before,
        _ => service,
    };
    match service.strip_suffix("s3")? {
        "" => path.strip_prefix('/')?.find('/').map(|slash| (&path[1..=slash], &path[slash + 1..])),
        bucket => Some((bucket.strip_suffix('.')?, path)),
    }
}

fn is_region(text: &str) -> bool {
    text.contains('-') && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Result<Place> {
        let address = PhotoAddress { field: "photos[1]".into(), url: url.into() };
        locate(&address, &["fibreflow-photos".into(), "a.s3.b".into()], &["photos.example".into()])
    }

    #[test]
    fn every_form_of_an_object_is_the_same_object() {
        for url in [
            "s3://fibreflow-photos/DR1/house.jpg",
            "https://fibreflow-photos.s3.af-south-1.amazonaws.com/DR1/house.jpg",
            "https://fibreflow-photos.s3.amazonaws.com/DR1/house.jpg",
            "https://s3.af-south-1.amazonaws.com/fibreflow-photos/DR1/house.jpg",
            "https://s3.amazonaws.com/fibreflow-photos/DR1/house.jpg?X-Amz-Signature=abc",
        ] {
            let place = Place::Bucket { bucket: "fibreflow-photos".into(), path: "/DR1/house.jpg".into() };
            assert_eq!(at(url).unwrap(), place, "{url}");
        }
        let dotted = Place::Bucket { bucket: "a.s3.b".into(), path: "/x".into() };
        assert_eq!(at("https://a.s3.b.s3.eu-west-1.amazonaws.com/x").unwrap(), dotted);
        assert!(matches!(at("https://photos.example/DR1.jpg").unwrap(), Place::Host(_)));
    }

    #[test]
    fn only_allowed_places_are_asked() {
        for (url, says) in [
            ("s3://secrets/key", "bucket secrets is not allowed"),
            ("https://secrets.s3.af-south-1.amazonaws.com/key", "bucket secrets is not allowed"),
            ("https://s3.amazonaws.com/secrets/key", "bucket secrets is not allowed"),
            ("s3://fibreflow-photos", "the key is missing"),
            ("s3://fibreflow-photos/", "the key is missing"),
            ("https://169.254.169.254/latest", "host 169.254.169.254 is not allowed"),
            ("https://fibreflow-photos.s3.evil.example/key", "is not allowed"),
            ("https://fibreflow-photos.ec2.af-south-1.amazonaws.com/key", "is not allowed"),
            ("http://photos.example/DR1.jpg", "scheme http is not allowed"),
            ("file:///etc/passwd", "scheme file is not allowed"),
            ("DR1.jpg", "relative URL without a base"),
        ] {
            let error = at(url).unwrap_err();
            assert!(!error.is_retryable() && error.message().contains(says), "{url}: {error}");
            assert!(error.message().starts_with("photos[1]: expected s3://"), "{error}");
        }
    }

    #[test]
    fn no_address_leaves_its_bucket() {
        for url in ["s3://fibreflow-photos/../secrets/key", "s3://fibreflow-photos/%2e%2e/secrets/key"] {
            let Ok(Place::Bucket { bucket, path }) = at(url) else { panic!("{url}") };
            assert_eq!((bucket.as_str(), path.as_str()), ("fibreflow-photos", "/secrets/key"));
        }
    }
}
