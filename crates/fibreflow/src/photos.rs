//! The photo store: photos by `s3://bucket/key` or `https://host/path`, from places that are allowed.
//!
//! A run keeps [`PhotoRef`]s, not photos: sixteen photos as base64 are megabytes, which would be written once, read again at
//! each resumption, and keep pictures of people's homes after they were deleted. A photo is fetched again by the call
//! that shows it to the model, and its digest proves that it is the one that was checked.

mod jpeg;
mod place;
mod prepare;

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use durable::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

pub use place::PhotoAddress;

use crate::http::{Endpoint, Http};
use place::Place;
use prepare::LARGEST;

/// Fetches photos.
#[derive(Debug, Clone)]
pub struct Photos {
    http: Http,
    /// Where objects are read from, path-style: `{endpoint}/{bucket}/{key}`.
    endpoint: Url,
    buckets: Vec<String>,
    hosts: Vec<String>,
}

/// A photo that was fetched and checked: what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhotoRef {
    /// Where it is.
    #[serde(flatten)]
    pub address: PhotoAddress,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The length of the file in bytes.
    pub bytes: usize,
    /// How wide it is when it is shown to the model, in pixels.
    pub width: u32,
    /// How high it is then.
    pub height: u32,
}

/// A photo, upright, at most 1280 × 960, as a JPEG file.
#[derive(Clone, PartialEq, Eq)]
pub struct Photo(Vec<u8>);

impl Photos {
    /// Photos in these buckets behind an S3 endpoint, and on these hosts.
    pub fn new(http: Http, endpoint: Url, buckets: Vec<String>, hosts: Vec<String>) -> Self {
        Self { http, endpoint, buckets, hosts }
    }

    /// Fetches photos and sees that each is one, within the limits. One that is not makes all of it an error: a step that
    /// only this photo shows would be judged as missing.
    pub async fn check(&self, addresses: &[PhotoAddress]) -> Result<Vec<PhotoRef>> {
        // All addresses before any request.
        let places = addresses.iter().map(|address| self.locate(address)).collect::<Result<Vec<_>>>()?;
        let mut photos = Vec::new();
        // One at a time: a decoded photo takes up to 200 MB.
        for (address, place) in addresses.iter().zip(places) {
            let file = self.fetch(address, place).await?;
            let (width, height) = prepare::check(&file).map_err(|what| address.wrong(what))?;
            let (address, sha256, bytes) = (address.clone(), digest(&file), file.len());
            photos.push(PhotoRef { address, sha256, bytes, width, height });
        }
        Ok(photos)
    }

    /// Fetches photos again that were checked, to be shown to the model.
    pub async fn load(&self, photos: &[PhotoRef]) -> Result<Vec<Photo>> {
        let mut loaded = Vec::new();
        for PhotoRef { address, sha256, .. } in photos {
            let file = self.fetch(address, self.locate(address)?).await?;
            if digest(&file) != *sha256 {
                return Err(address.wrong("the photo has changed since it was checked: send the event again"));
            }
            loaded.push(Photo(prepare::prepare(&file).map_err(|what| address.wrong(what))?));
        }
        Ok(loaded)
    }

    fn locate(&self, address: &PhotoAddress) -> Result<Place> {
        place::locate(address, &self.buckets, &self.hosts)
    }

    async fn fetch(&self, address: &PhotoAddress, place: Place) -> Result<Vec<u8>> {
        let (base, path) = match place {
            Place::Bucket { bucket, path } => (self.endpoint.clone(), format!("/{bucket}{path}")),
            Place::Host(url) => {
                let path = url.path().to_owned();
                (url, path)
            }
        };
        let endpoint = Endpoint::new(self.http.clone(), base).largest(LARGEST);
        let reply = endpoint.get(&path).await.map_err(|error| error.context(&address.field))?;
        Ok(reply.body)
    }
}

impl Photo {
    /// The photo as a `data:` address.
    pub fn data_url(&self) -> String {
        format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(&self.0))
    }
}

impl fmt::Debug for Photo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Photo({} bytes)", self.0.len())
    }
}

fn digest(file: &[u8]) -> String {
    hex::encode(Sha256::digest(file))
}
