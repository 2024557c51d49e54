//! The Lambda function: direct invocations, and requests to its URL.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use durable::{Bus, Clock, Error, Result};
use durable_aws::{Aws, Clients, Settings, SystemClock};
use lambda_runtime::{LambdaEvent, service_fn};
use orchestrator::{Registry, invoke};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().json().without_time().init();
    let (registry, bus) = (Registry::shipped()?, bus().await?);
    let handler = service_fn(async |event: LambdaEvent<Value>| {
        let (task, request) = (event.payload, &event.context.request_id);
        invoke(&registry, &*bus, task, request, SystemClock.now()).await.map_err(|error| error.to_string())
    });
    lambda_runtime::run(handler).await.map_err(|error| Error::new(format!("Lambda: {error}")))
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
    };
    Ok(Aws::new(settings, Clients::from_env().await))
}
