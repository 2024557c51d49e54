//! Large values in S3.

use async_trait::async_trait;
use aws_sdk_s3::{operation::get_object::GetObjectError, primitives::ByteStream};
use durable::{Blobs, Error, Result};

use crate::{Aws, failure::failed};

/// All objects begin with this, so that a bucket may be shared and its lifecycle rules can name them.
const PREFIX: &str = "durable/";

#[async_trait]
impl Blobs for Aws {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let request =
            self.clients.s3().put_object().bucket(&self.settings.bucket).key(format!("{PREFIX}{key}"));
        let sent = request.body(ByteStream::from(bytes)).send().await;
        sent.map(drop).map_err(|error| failed("S3: PutObject", error))
    }

    async fn get(&self, key: &str) -> Result<Vec<u8>> {
        let request =
            self.clients.s3().get_object().bucket(&self.settings.bucket).key(format!("{PREFIX}{key}"));
        match request.send().await {
            Ok(output) => Ok(output.body.collect().await?.to_vec()),
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => {
                Err(Error::fatal(format!("there is no blob {key}")))
            }
            Err(error) => Err(failed("S3: GetObject", error)),
        }
    }
}

impl Aws {
    /// Deletes a large value of a run that is deleted.
    pub(crate) async fn delete_blob(&self, key: &str) -> Result<()> {
        let request =
            self.clients.s3().delete_object().bucket(&self.settings.bucket).key(format!("{PREFIX}{key}"));
        request.send().await.map(drop).map_err(|error| failed("S3: DeleteObject", error))
    }
}
