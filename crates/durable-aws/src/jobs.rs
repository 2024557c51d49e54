//! Work that is left to a worker: to its queue, with what is large in the bucket.

use async_trait::async_trait;
use durable::{
    Blobs, Error, Jobs, Result,
    callback::Token,
    claim::{self, Claim},
    job::Job,
};

use crate::{Aws, failure::failed};

#[async_trait]
impl Jobs for Aws {
    async fn post(&self, job: &Job) -> Result<()> {
        let Some(queue) = &self.settings.jobs else {
            return Err(Error::fatal("DURABLE_JOBS is missing: expected the URL of the worker's queue"));
        };
        let body = serde_json::to_string(job)?;
        let sent = self.clients.sqs().send_message().queue_url(queue).message_body(body).send().await;
        sent.map(drop).map_err(|error| failed("SQS: SendMessage", error))
    }

    async fn withdraw(&self, job: &Token) -> Result<()> {
        self.put(&claim::key(&claim::name(job)), serde_json::to_vec(&Claim::withdrawn())?).await
    }
}
