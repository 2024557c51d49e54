//! Jobs of a `fibreflow dev` on this machine, through the file that it works on: no port, and nothing to be up but the file.

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use durable::{
    Clock, Error, Payload, Ports, Result, after,
    callback::{self, Answer},
    claim::Claim,
    job::Job,
};
use durable_local::{Store, SystemClock};
use serde_json::Value;

use crate::queue::{Delivery, Queue, Version};

/// How often the file is looked at.
const POLL: Duration = Duration::from_millis(100);

/// Jobs of a `fibreflow dev`.
#[derive(Debug)]
pub struct LocalQueue {
    store: Store,
    ports: Ports,
}

impl LocalQueue {
    /// The jobs in a folder.
    pub fn open(home: &Path) -> Result<Self> {
        // A worker accepts no events, so it need not know which workflows they start.
        let store = Store::open(home, [])?;
        let ports = store.ports(None);
        Ok(Self { store, ports })
    }
}

fn id(receipt: &str) -> Result<i64> {
    receipt.parse().map_err(|_| Error::fatal("receipt: expected the number of a delivery"))
}

#[async_trait]
impl Queue for LocalQueue {
    async fn receive(&self, visibility: Duration) -> Result<Option<Delivery>> {
        let received = self.store.receive_job(visibility).await?;
        if received.is_none() {
            SystemClock.sleep_until(after(SystemClock.now(), POLL)).await;
        }
        Ok(received.map(|received| Delivery { job: received.job, receipt: received.id.to_string() }))
    }

    async fn prolong(&self, receipt: &str, visibility: Duration) -> Result<()> {
        self.store.return_job(id(receipt)?, after(SystemClock.now(), visibility)).await
    }

    async fn delete(&self, delivery: &Delivery) -> Result<()> {
        self.store.delete_job(id(&delivery.receipt)?).await?;
        match &delivery.job.work {
            Payload::Blob { key, .. } => self.store.delete_blob(key).await,
            Payload::Json(_) => Ok(()),
        }
    }

    async fn claim(&self, name: &str) -> Result<Option<(Claim, Version)>> {
        let Some(standing) = self.store.claim(name).await? else { return Ok(None) };
        Ok(Some((serde_json::from_str(&standing.claim)?, standing.version.to_string())))
    }

    async fn swap(&self, name: &str, claim: &Claim, before: Option<&Version>) -> Result<Option<Version>> {
        let before = before.map(|version| version.parse()).transpose()?;
        let written = self.store.swap_claim(name, serde_json::to_string(claim)?, before).await?;
        Ok(written.map(|version| version.to_string()))
    }

    async fn work(&self, job: &Job) -> Result<Value> {
        job.work.load(&*self.ports.blobs).await
    }

    async fn done(&self, job: &Job, result: Value) -> Result<Answer> {
        callback::done(&self.ports, &job.token, result.to_string()).await
    }

    async fn answer(&self, job: &Job, answer: &Answer) -> Result<()> {
        callback::answer(&self.ports, &job.token, answer).await.map(drop)
    }
}
