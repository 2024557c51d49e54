//! The Lambda function: direct invocations, and requests to its URL.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use durable::{Bus, Clock, Error, Result};
use durable_aws::{Aws, Clients, Document, Metrics, Settings, SystemClock};
use lambda_runtime::{LambdaEvent, service_fn};
use orchestrator::{Edition, FileSource, Registries, Source, invoke};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().json().without_time().init();
    let (registries, bus) = (registries().await?, bus().await?);
    let handler = service_fn(async |event: LambdaEvent<Value>| {
        let (task, request) = (event.payload, &event.context.request_id);
        invoke(&registries, &*bus, task, request, SystemClock.now()).await.map_err(|error| error.to_string())
    });
    lambda_runtime::run(handler).await.map_err(|error| Error::new(format!("Lambda: {error}")))
}

/// An object in S3.
#[derive(Debug)]
struct S3Source(Document);

#[async_trait]
impl Source for S3Source {
    async fn read(&self, known: Option<&str>) -> Result<Option<Edition>> {
        let edition = self.0.read(known).await?;
        Ok(edition.map(|edition| Edition { version: edition.etag, text: edition.text }))
    }
}

/// `REGISTRY`: `s3://bucket/key`, or a file; without it, the one that is shipped.
#[expect(clippy::disallowed_methods, reason = "read once at start")]
async fn registries() -> Result<Registries> {
    let registries = match std::env::var("REGISTRY") {
        Ok(address) if address.starts_with("s3://") => {
            Registries::of(S3Source(Document::new(&address, Clients::from_env().await)?))
        }
        Ok(path) if !path.is_empty() => Registries::of(FileSource(path.into())),
        _ => Registries::shipped()?,
    };
    // The last good one serves on, and no invocation fails: there is an alarm on this.
    Ok(registries.alerting(|_| Metrics::count("orchestrator", "RegistryRefused")))
}

/// The only thing of ours that it reaches.
#[expect(clippy::disallowed_methods, reason = "read once at start")]
async fn bus() -> Result<Arc<dyn Bus>> {
    let Ok(bus) = std::env::var("DURABLE_BUS") else {
        #[cfg(feature = "local")]
        {
            let home = std::env::var_os("DURABLE_HOME").unwrap_or_else(|| ".fibreflow".into());
            return Ok(Arc::new(durable_local::Store::open(home.as_ref(), [])?));
        }
        #[cfg(not(feature = "local"))]
        return Err(Error::fatal("DURABLE_BUS is missing: expected the name of the EventBridge bus"));
    };
    let settings = Settings {
        bus,
        table: String::new(),
        bucket: String::new(),
        queues: BTreeMap::new(),
        jobs: None,
        schedule_group: String::new(),
        schedule_role_arn: String::new(),
        retention: Duration::ZERO,
        receives: 1,
        longest_delay: durable::minutes(15),
    };
    Ok(Aws::new(settings, Clients::from_env().await))
}
