//! The Lambda function: batches from the workflow's queue, and direct invocations.
// The SDK's futures are nested deeper than the compiler follows by itself.
#![recursion_limit = "256"]

use fibreflow::config::Settings;
use sync_databases::{Services, workflow};

#[tokio::main(flavor = "current_thread")]
async fn main() -> durable::Result<()> {
    durable_aws::serve(async || {
        let services = Services::from_settings(Settings::from_env()?)?;
        Ok(workflow(&services.tables.clone()).with(services))
    })
    .await
}
