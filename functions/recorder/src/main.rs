//! The Lambda function that records every event that the bus takes, so that people can look at them later.

use aws_lambda_events::event::sqs::SqsEvent;
use durable::Error;
use durable_aws::{Aws, Clients, Settings, record};
use lambda_runtime::{LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> durable::Result<()> {
    tracing_subscriber::fmt().json().without_time().init();
    let aws = Aws::new(Settings::from_env()?, Clients::from_env().await);
    let handler = service_fn(async |batch: LambdaEvent<SqsEvent>| {
        // Each event fails alone: what could not be recorded comes again.
        Ok::<_, String>(record(&aws, batch.payload).await)
    });
    lambda_runtime::run(handler).await.map_err(|error| Error::new(format!("Lambda: {error}")))
}
