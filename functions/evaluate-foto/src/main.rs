//! The Lambda function: batches from the workflow's queue, and direct invocations.
// The SDK's futures are nested deeper than the compiler follows by itself.
#![recursion_limit = "256"]

use evaluate_foto::{Services, workflow};
use fibreflow::config::Settings;

#[tokio::main(flavor = "current_thread")]
async fn main() -> durable::Result<()> {
    durable_aws::serve(async || Ok(workflow().with(Services::from_settings(Settings::from_env()?)?))).await
}
