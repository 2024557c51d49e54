//! Values as they are kept: small ones in the record itself, large ones compressed in the blob store.

use std::io::{Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{Error, Result, ports::Blobs};

/// The largest value kept in a record, in bytes of JSON. A DynamoDB item holds 400 KB, a record's other fields included.
pub const INLINE_BYTES: usize = 256 * 1024;

/// A value in its serialised form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// The JSON itself.
    Json(String),
    /// A reference to JSON that is kept, gzipped, in the blob store.
    Blob {
        /// Its key there.
        key: String,
        /// The length of the JSON in bytes.
        bytes: usize,
        /// SHA-256 of the JSON, in hexadecimal, so that what is read back is what was written.
        sha256: String,
    },
}

impl Payload {
    /// Keeps JSON: in the record, or under `key` when it is large.
    pub(crate) async fn keep(json: String, key: &str, blobs: &dyn Blobs) -> Result<Self> {
        Self::keep_above(INLINE_BYTES, json, key, blobs).await
    }

    /// Keeps JSON: in the record up to so many bytes, or under `key`.
    pub(crate) async fn keep_above(
        inline: usize,
        json: String,
        key: &str,
        blobs: &dyn Blobs,
    ) -> Result<Self> {
        if json.len() <= inline {
            return Ok(Self::Json(json));
        }
        let sha256 = digest(&json);
        // The digest keeps racing writers of one key apart: each reference names the bytes it was made from.
        let key = format!("{key}/{}.json.gz", &sha256[..16]);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(json.as_bytes())?;
        blobs.put(&key, gzip.finish()?).await?;
        Ok(Self::Blob { key, bytes: json.len(), sha256 })
    }

    /// The JSON, fetched when it is kept elsewhere.
    pub async fn json(&self, blobs: &dyn Blobs) -> Result<String> {
        match self {
            Self::Json(json) => Ok(json.clone()),
            Self::Blob { key, bytes, sha256 } => {
                let gzip = blobs.get(key).await?;
                let mut json = String::with_capacity(*bytes);
                // One byte more than was written is enough to notice a blob that is not the one referred to.
                GzDecoder::new(gzip.as_slice()).take(*bytes as u64 + 1).read_to_string(&mut json)?;
                if digest(&json) != *sha256 {
                    return Err(Error::fatal(format!("blob {key} does not hold what was stored there")));
                }
                Ok(json)
            }
        }
    }

    /// The value, of a type the caller knows.
    pub async fn load<T: DeserializeOwned>(&self, blobs: &dyn Blobs) -> Result<T> {
        let json = match self {
            Self::Json(json) => return parse(json),
            Self::Blob { .. } => self.json(blobs).await?,
        };
        parse(&json)
    }
}

fn digest(json: &str) -> String {
    hex::encode(Sha256::digest(json))
}

/// Serialises a value.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::fatal(format!("the output cannot be written as JSON: {error}")))
}

/// Parses JSON; the error names the field.
pub(crate) fn parse<T: DeserializeOwned>(json: &str) -> Result<T> {
    let mut parser = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut parser).map_err(|error| field_error(&error))
}

/// Reads a typed value from JSON that is parsed already; the error names the field.
pub(crate) fn from_value<T: DeserializeOwned>(value: &serde_json::Value) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|error| field_error(&error))
}

/// `phone: invalid type: integer `12`, expected a string`
fn field_error(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let inner = error.inner().to_string();
    // Positions in a JSON text nobody sees help nobody.
    let text = inner.split(" at line ").next().unwrap_or_default();
    match error.path().to_string() {
        path if path == "." => Error::fatal(text),
        path => Error::fatal(format!("{path}: {text}")),
    }
}
