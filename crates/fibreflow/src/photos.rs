//! The photo store: photos by `s3://bucket/key` or `https://host/path`, from places that are allowed.

use std::{fmt, io::Cursor};

use base64::{Engine, prelude::BASE64_STANDARD};
use durable::{Error, Result};
use image::{ImageFormat, ImageReader};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use url::Url;

use crate::http::{Endpoint, Http};

/// The largest photo taken, in bytes.
const LARGEST: usize = 10 * 1024 * 1024;

/// Fetches photos.
#[derive(Debug, Clone)]
pub struct Photos {
    http: Http,
    /// Where `s3://` is read from, path-style: `{endpoint}/{bucket}/{key}`.
    endpoint: Url,
    buckets: Vec<String>,
    hosts: Vec<String>,
}

/// A photo that was fetched, and is one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Photo {
    /// `image/jpeg` or `image/png`.
    pub content_type: String,
    /// The file.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub bytes: Vec<u8>,
}

impl Photos {
    /// Photos in these buckets behind an S3 endpoint, and on these hosts.
    pub fn new(http: Http, endpoint: Url, buckets: Vec<String>, hosts: Vec<String>) -> Self {
        Self { http, endpoint, buckets, hosts }
    }

    /// Fetches a photo and sees that it is one.
    pub async fn fetch(&self, image_url: &str) -> Result<Photo> {
        let (base, path) = self.locate(image_url)?;
        let reply = Endpoint::new(self.http.clone(), base).get(&path).await?;
        Photo::read(reply.body)
    }

    /// Where a photo is fetched from, if that is allowed.
    fn locate(&self, image_url: &str) -> Result<(Url, String)> {
        let wrong = |what: String| {
            Error::fatal(format!(
                "image_url: expected s3://bucket/key or https://host/path, of an allowed bucket or host; {what}"
            ))
        };
        let url = Url::parse(image_url).map_err(|error| wrong(format!("{error}")))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        match url.scheme() {
            "s3" if self.buckets.contains(&host) => {
                Ok((self.endpoint.clone(), format!("/{host}{}", url.path())))
            }
            "s3" => Err(wrong(format!("bucket {host} is not allowed"))),
            "https" if self.hosts.contains(&host) => {
                let path = url.path().to_owned();
                Ok((url, path))
            }
            "https" => Err(wrong(format!("host {host} is not allowed"))),
            scheme => Err(wrong(format!("scheme {scheme} is not allowed"))),
        }
    }
}

impl Photo {
    fn read(bytes: Vec<u8>) -> Result<Self> {
        if bytes.len() > LARGEST {
            return Err(Error::fatal(format!(
                "image_url: the photo has {} bytes, expected at most {LARGEST}",
                bytes.len()
            )));
        }
        let reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format()?;
        let content_type = match reader.format() {
            Some(ImageFormat::Jpeg) => "image/jpeg",
            _ => return Err(Error::fatal("image_url: expected a JPEG photo")),
        };
        reader
            .into_dimensions()
            .map_err(|error| Error::fatal(format!("image_url: the photo cannot be read: {error}")))?;
        Ok(Self { content_type: content_type.to_owned(), bytes })
    }

    /// The photo as a `data:` address.
    pub fn data_url(&self) -> String {
        format!("data:{};base64,{}", self.content_type, BASE64_STANDARD.encode(&self.bytes))
    }
}

impl fmt::Debug for Photo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Photo({}, {} bytes)", self.content_type, self.bytes.len())
    }
}

fn to_base64<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&BASE64_STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    BASE64_STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn photos() -> Photos {
        let endpoint = "http://127.0.0.1:9000/".parse().unwrap();
        Photos::new(
            Http::network().unwrap(),
            endpoint,
            vec!["fibreflow-photos".into()],
            vec!["photos.example".into()],
        )
    }

    #[test]
    fn only_allowed_places_are_asked() {
        let (base, path) = photos().locate("s3://fibreflow-photos/DR1/house.jpg").unwrap();
        assert_eq!(
            (base.as_str(), path.as_str()),
            ("http://127.0.0.1:9000/", "/fibreflow-photos/DR1/house.jpg")
        );
        assert!(photos().locate("https://photos.example/DR1.jpg").is_ok());
        for (url, says) in [
            ("s3://secrets/key", "bucket secrets is not allowed"),
            ("https://169.254.169.254/latest", "host 169.254.169.254 is not allowed"),
            ("http://photos.example/DR1.jpg", "scheme http is not allowed"),
            ("file:///etc/passwd", "scheme file is not allowed"),
            ("DR1.jpg", "relative URL without a base"),
        ] {
            let error = photos().locate(url).unwrap_err();
            assert!(!error.is_retryable() && error.message().contains(says), "{url}: {error}");
        }
    }

    #[test]
    fn a_photo_is_a_photo_by_what_it_holds() {
        for bytes in [b"<html>".to_vec(), b"\xff\xd8\xff\xe0 cut off".to_vec(), Vec::new()] {
            assert!(Photo::read(bytes).unwrap_err().message().starts_with("image_url: "));
        }
    }
}
