//! What a worker needs of where its jobs come from.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use durable::{Result, callback::Answer, claim::Claim, job::Job};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A job that was received.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The job.
    pub job: Job,
    /// Names this delivery of it.
    pub receipt: String,
}

/// Names a version of a claim.
pub type Version = String;

/// Where jobs come from and answers go to.
#[async_trait]
pub trait Queue: fmt::Debug + Send + Sync {
    /// Waits a little for a job; one that is received is delivered to nobody else for so long.
    async fn receive(&self, visibility: Duration) -> Result<Option<Delivery>>;

    /// Delivers the job again after so long from now, and not before.
    async fn prolong(&self, receipt: &str, visibility: Duration) -> Result<()>;

    /// Never delivers the job again. What it was given by way of the blob store is deleted.
    async fn delete(&self, delivery: &Delivery) -> Result<()>;

    /// The claim to a job, if there is one.
    async fn claim(&self, name: &str) -> Result<Option<(Claim, Version)>>;

    /// Writes a claim, if the version `before` still stands, or none when that is `None`. Answers the new version, or `None`
    /// when somebody else was first.
    async fn swap(&self, name: &str, claim: &Claim, before: Option<&Version>) -> Result<Option<Version>>;

    /// What is to be done, fetched when it is kept elsewhere.
    async fn work(&self, job: &Job) -> Result<Value>;

    /// The answer with this result, which is kept elsewhere when it is large.
    async fn done(&self, job: &Job, result: Value) -> Result<Answer>;

    /// Gives an answer.
    async fn answer(&self, job: &Job, answer: &Answer) -> Result<()>;
}
