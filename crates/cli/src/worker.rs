//! `fibreflow worker`.

use std::sync::Arc;

use worker::{Config, LocalQueue, Queue, Worker, config};

use crate::{args, dev::Signals, failure::Result, logs, terminal::say};

pub(crate) async fn worker(order: &args::Worker) -> Result<()> {
    let config = Config::read(&order.config)?;
    config.check_secrets()?;
    if order.check {
        say(format_args!("{}: sound", order.config.display()));
        return Ok(());
    }
    logs::start(None, "info");
    let mut signals = Signals::watch()?;
    let queue = queue(&config).await?;
    let commands: Vec<_> = config.commands.keys().map(String::as_str).collect();
    let services: Vec<_> = config.services.keys().map(String::as_str).collect();
    let (commands, services) = (commands.join(", "), services.join(", "));
    let name = config.name.clone();
    let worker = Worker::new(config, queue)?;
    tracing::info!(name, commands, services, "ready");
    worker.run(signals.next()).await?;
    Ok(())
}

async fn queue(config: &Config) -> Result<Arc<dyn Queue>> {
    match &config.queue {
        config::Queue::Home(queue) => Ok(Arc::new(LocalQueue::open(&queue.home)?)),
        config::Queue::Aws(queue) => on_aws(queue).await,
    }
}

#[cfg(feature = "aws")]
async fn on_aws(queue: &config::AwsQueue) -> Result<Arc<dyn Queue>> {
    let clients = durable_aws::Clients::from_env().await;
    Ok(Arc::new(worker::SqsQueue::new(queue.clone(), clients)))
}

#[cfg(not(feature = "aws"))]
#[expect(clippy::unused_async, reason = "with the feature it waits")]
async fn on_aws(_: &config::AwsQueue) -> Result<Arc<dyn Queue>> {
    Err(crate::failure::Failure::new(
        "queue: this build knows no AWS: build one that does with `cargo build --release -p cli --features aws`",
    ))
}
