//! Jobs from SQS, with what is large, and the claims, in one corner of a bucket.
//!
//! All it needs is to receive from its queue, to send to the queues of the workflows, and to read and write below one prefix.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    operation::get_object::GetObjectError,
    primitives::ByteStream,
};
use durable::{
    Blobs, Error, Payload, Result,
    callback::Answer,
    claim::{self, Claim},
    job::{self, Job},
};
use durable_aws::{Clients, answer_message};
use serde_json::Value;

use crate::{
    config::AwsQueue,
    queue::{Delivery, Queue, Version},
};

/// Below this is all that the engine keeps; below `worker/` in it, what workers may read and write.
const PREFIX: &str = "durable/";

/// How long a request for a job waits for one, in seconds.
const WAIT: i32 = 5;

/// Jobs from SQS.
#[derive(Debug)]
pub struct SqsQueue {
    clients: Clients,
    config: AwsQueue,
}

impl SqsQueue {
    /// The queues and the bucket of a configuration.
    pub fn new(config: AwsQueue, clients: Clients) -> Self {
        Self { clients, config }
    }

    fn claim_key(name: &str) -> String {
        format!("{PREFIX}{}", claim::key(name))
    }

    async fn object(&self, key: String) -> Result<Option<(Vec<u8>, String)>> {
        let request = self.clients.s3().get_object().bucket(&self.config.bucket).key(key);
        match request.send().await {
            Ok(object) => {
                let tag = object.e_tag.unwrap_or_default();
                Ok(Some((object.body.collect().await?.to_vec(), tag)))
            }
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => Ok(None),
            Err(error) => Err(failed("S3: GetObject", error)),
        }
    }
}

fn failed<E: ProvideErrorMetadata, R>(what: &str, error: SdkError<E, R>) -> Error
where
    SdkError<E, R>: std::error::Error,
{
    let code = error.code().map(|code| format!("{code}: ")).unwrap_or_default();
    Error::new(format!("{what}: {code}{}", error.message().unwrap_or("no answer")))
}

#[async_trait]
impl Queue for SqsQueue {
    async fn receive(&self, visibility: Duration) -> Result<Option<Delivery>> {
        let request = self.clients.sqs().receive_message().queue_url(&self.config.jobs);
        let request = request.max_number_of_messages(1).wait_time_seconds(WAIT);
        let received = request.visibility_timeout(whole_seconds(visibility)).send().await;
        let received = received.map_err(|error| failed("SQS: ReceiveMessage", error))?;
        let Some(message) = received.messages.unwrap_or_default().pop() else { return Ok(None) };
        let job = serde_json::from_str(message.body.as_deref().unwrap_or_default());
        // One that cannot be read comes again, and ends among the dead letters.
        let job = job.map_err(|error| Error::new(format!("a message of the queue is no job: {error}")))?;
        Ok(Some(Delivery { job, receipt: message.receipt_handle.unwrap_or_default() }))
    }

    async fn prolong(&self, receipt: &str, visibility: Duration) -> Result<()> {
        let request = self.clients.sqs().change_message_visibility().queue_url(&self.config.jobs);
        let request = request.receipt_handle(receipt).visibility_timeout(whole_seconds(visibility));
        request.send().await.map(drop).map_err(|error| failed("SQS: ChangeMessageVisibility", error))
    }

    async fn delete(&self, delivery: &Delivery) -> Result<()> {
        let request = self.clients.sqs().delete_message().queue_url(&self.config.jobs);
        let deleted = request.receipt_handle(&delivery.receipt).send().await;
        deleted.map_err(|error| failed("SQS: DeleteMessage", error))?;
        let Payload::Blob { key, .. } = &delivery.job.work else { return Ok(()) };
        let request = self.clients.s3().delete_object().bucket(&self.config.bucket);
        let deleted = request.key(format!("{PREFIX}{key}")).send().await;
        deleted.map(drop).map_err(|error| failed("S3: DeleteObject", error))
    }

    async fn claim(&self, name: &str) -> Result<Option<(Claim, Version)>> {
        let Some((claim, version)) = self.object(Self::claim_key(name)).await? else { return Ok(None) };
        Ok(Some((serde_json::from_slice(&claim)?, version)))
    }

    async fn swap(&self, name: &str, claim: &Claim, before: Option<&Version>) -> Result<Option<Version>> {
        let request = self.clients.s3().put_object().bucket(&self.config.bucket).key(Self::claim_key(name));
        let request = match before {
            Some(version) => request.if_match(version),
            None => request.if_none_match("*"),
        };
        match request.body(ByteStream::from(serde_json::to_vec(claim)?)).send().await {
            Ok(written) => Ok(Some(written.e_tag.unwrap_or_default())),
            // 412, or 409 when two write at the same moment.
            Err(error)
                if matches!(error.code(), Some("PreconditionFailed" | "ConditionalRequestConflict")) =>
            {
                Ok(None)
            }
            Err(error) => Err(failed("S3: PutObject", error)),
        }
    }

    async fn work(&self, job: &Job) -> Result<Value> {
        job.work.load(self).await
    }

    async fn done(&self, job: &Job, result: Value) -> Result<Answer> {
        job::done(result.to_string(), &job.token, self).await
    }

    async fn answer(&self, job: &Job, answer: &Answer) -> Result<()> {
        let queue = self
            .config
            .replies
            .get(&job.workflow)
            .ok_or_else(|| Error::fatal(format!("queue.replies: there is none for {}", job.workflow)))?;
        let body = answer_message(&job.token, answer)?;
        let sent = self.clients.sqs().send_message().queue_url(queue).message_body(body).send().await;
        sent.map(drop).map_err(|error| failed("SQS: SendMessage", error))
    }
}

#[async_trait]
impl Blobs for SqsQueue {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let request =
            self.clients.s3().put_object().bucket(&self.config.bucket).key(format!("{PREFIX}{key}"));
        let sent = request.body(ByteStream::from(bytes)).send().await;
        sent.map(drop).map_err(|error| failed("S3: PutObject", error))
    }

    async fn get(&self, key: &str) -> Result<Vec<u8>> {
        let object = self.object(format!("{PREFIX}{key}")).await?;
        object.map(|(bytes, _)| bytes).ok_or_else(|| Error::fatal(format!("there is no blob {key}")))
    }
}

/// Whole seconds, never fewer: SQS knows no others, and no more than twelve hours.
fn whole_seconds(time: Duration) -> i32 {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    i32::try_from(seconds.min(43_200)).unwrap_or(43_200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visibility_is_never_shorter_than_asked_for() {
        let millis = [0, 1, 1000, 1001, 100_000_000].map(Duration::from_millis);
        assert_eq!(millis.map(whole_seconds), [0, 1, 1, 2, 43_200]);
    }
}
