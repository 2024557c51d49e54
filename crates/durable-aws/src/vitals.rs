//! Whether all is well.

use async_trait::async_trait;
use aws_sdk_sqs::types::QueueAttributeName;
use durable::{Health, OldestRun, QueueHealth, Result, Vitals};
use futures::future::try_join_all;
use jiff::Timestamp;

use crate::{Aws, caretaker, failure::failed, items::time};

#[async_trait]
impl Vitals for Aws {
    async fn health(&self, now: Timestamp) -> Result<Health> {
        let queues =
            try_join_all(self.settings.queues.iter().map(|(name, queue)| self.queue(name, &queue.url)));
        let sweep = caretaker::sweep_key();
        let (queues, oldest, overdue, sweep) =
            futures::try_join!(queues, self.oldest_queued(), self.overdue(now), self.table.get(&sweep))?;
        let oldest = match oldest {
            Some(id) => durable::Journal::run(self, &id).await?,
            None => None,
        };
        Ok(Health {
            queues,
            oldest_queued: oldest.map(|run| OldestRun::of(&run)),
            overdue: overdue as u64,
            swept_at: sweep.and_then(|item| time(&item, "at")),
            worker: None,
        })
    }
}

impl Aws {
    async fn queue(&self, workflow: &str, url: &str) -> Result<QueueHealth> {
        let [ready, in_flight, delayed] = self.counts(url).await?;
        let dead = match self.dead_letter_queue(workflow).await? {
            Some(url) => self.counts(&url).await?[0],
            None => 0,
        };
        Ok(QueueHealth { workflow: workflow.to_owned(), ready, in_flight, delayed, dead })
    }

    async fn counts(&self, url: &str) -> Result<[u64; 3]> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let request = self.clients.sqs().get_queue_attributes().queue_url(url);
        let output = request.set_attribute_names(Some(names.to_vec())).send().await;
        let attributes = output.map_err(|error| failed("SQS: GetQueueAttributes", error))?.attributes;
        let attributes = attributes.unwrap_or_default();
        Ok(names.map(|name| attributes.get(&name).and_then(|count| count.parse().ok()).unwrap_or(0)))
    }
}
