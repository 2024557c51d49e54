//! The Lambda function that puts in order, every minute, what was left behind: whoever died in the middle of what.

use durable::Error;
use durable_aws::{Aws, Clients, Settings, sweep};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> durable::Result<()> {
    tracing_subscriber::fmt().json().without_time().init();
    let aws = Aws::new(Settings::from_env()?, Clients::from_env().await);
    let handler = service_fn(async |_: LambdaEvent<Value>| {
        // The answer says what was done: it is in the log's report, and whoever invokes it by hand sees it.
        sweep(&aws).await.map_err(|error| error.to_string())
    });
    lambda_runtime::run(handler).await.map_err(|error| Error::new(format!("Lambda: {error}")))
}
