//! An object in S3 that people replace and a function reads again when it has changed: a list of what there is, say.

use durable::{Error, Result};

use crate::{Clients, failure::failed};

/// The largest document that is read, in bytes.
const LARGEST: i64 = 1024 * 1024;

/// An object in S3, by its address.
#[derive(Debug)]
pub struct Document {
    clients: Clients,
    bucket: String,
    key: String,
}

/// A document as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edition {
    /// Its entity tag: another one means another content.
    pub etag: String,
    /// What it holds.
    pub text: String,
}

impl Document {
    /// The object at `s3://bucket/key`.
    pub fn new(address: &str, clients: Clients) -> Result<Self> {
        let parts = address.strip_prefix("s3://").and_then(|path| path.split_once('/'));
        let (bucket, key) = parts
            .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
            .ok_or_else(|| Error::fatal(format!("{address}: expected s3://bucket/key")))?;
        Ok(Self { clients, bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// Reads it, at most 1 MiB; `None` when it still has the entity tag `known`. What was written before this began is seen.
    pub async fn read(&self, known: Option<&str>) -> Result<Option<Edition>> {
        let request = self.clients.s3().get_object().bucket(&self.bucket).key(&self.key);
        let output = match request.set_if_none_match(known.map(str::to_owned)).send().await {
            Ok(output) => output,
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 304) => {
                return Ok(None);
            }
            Err(error) => return Err(failed("S3: GetObject", error)),
        };
        let etag = output.e_tag.unwrap_or_default();
        if output.content_length.is_none_or(|length| length > LARGEST) {
            return Err(Error::fatal(format!("s3://{}/{}: expected at most 1 MiB", self.bucket, self.key)));
        }
        let bytes = output.body.collect().await?.to_vec();
        let text = String::from_utf8(bytes)
            .map_err(|error| Error::fatal(format!("s3://{}/{}: {error}", self.bucket, self.key)))?;
        Ok(Some(Edition { etag, text }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_bucket_and_key() {
        let clients = Clients::of(&aws_config::SdkConfig::builder().build());
        let document = Document::new("s3://bucket/a/b.json", clients.clone()).unwrap();
        assert_eq!((document.bucket.as_str(), document.key.as_str()), ("bucket", "a/b.json"));
        for address in ["bucket/key", "s3://bucket", "s3://bucket/", "s3:///key", "https://bucket/key"] {
            let error = Document::new(address, clients.clone()).unwrap_err();
            assert!(error.message().ends_with("expected s3://bucket/key"), "{error}");
        }
    }
}
