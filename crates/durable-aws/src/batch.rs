//! A batch from a workflow's queue: each record on its own, all at the same time.

use std::sync::Arc;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use durable::{Clock, Disposition, Error, Result, Settings, after, give_up, seconds};
use futures::future::join_all;
use jiff::Timestamp;

use crate::{
    Aws, Function, SystemClock,
    message::{self, Message},
    wakeups::DEFERRALS,
};

impl Function {
    /// Which records failed. The others are deleted from the queue.
    pub(crate) async fn batch(
        &self,
        aws: &Arc<Aws>,
        batch: SqsEvent,
        deadline: Timestamp,
    ) -> SqsBatchResponse {
        let records = batch.records.iter().map(async |record| {
            let id = record.message_id.clone().unwrap_or_default();
            self.record(aws, record, deadline).await.is_err().then_some(id)
        });
        let mut response = SqsBatchResponse::default();
        for failed in join_all(records).await.into_iter().flatten() {
            response.add_failure(failed);
        }
        response
    }

    async fn record(&self, aws: &Arc<Aws>, record: &SqsMessage, deadline: Timestamp) -> Result<()> {
        let workflow = &self.runnable.definition().name;
        let body = record.body.clone().unwrap_or_default();
        let asked = match message::of_text(&body, workflow) {
            Ok(asked) => asked,
            Err(error) => {
                let (message, receives) = (record.message_id.as_deref(), receives(record));
                tracing::error!(message, receives, workflow, %error, "a message that cannot be read");
                // A newer version of the function, on its way, may be able to.
                return self.fail(aws, record, &body, None, error).await;
            }
        };
        let run = asked.run(workflow);
        let delivery = asked.clone().settled(&aws.ports(None)).await;
        let carried = match delivery {
            Ok(None) => return Ok(()),
            Ok(Some(delivery)) => self.carry_out(aws, delivery, deadline).await,
            Err(error) => Err(error),
        };
        let put_off = match carried {
            Ok(Disposition::Done) => return Ok(()),
            Ok(Disposition::Later(at)) => Ok(at),
            // Whoever names a time asks for patience, and nothing has failed: see `throttle`.
            Err(error) => match error.delay() {
                Some(delay) => Ok(after(SystemClock.now(), delay)),
                None => Err(error),
            },
        };
        match put_off {
            Ok(at) => aws.defer(workflow, body, at, deferrals(record)).await.inspect_err(|error| {
                tracing::warn!(%run, workflow, %error, "cannot put a message off");
            }),
            Err(error) => {
                tracing::warn!(%run, workflow, receives = receives(record), %error, "will try again");
                self.fail(aws, record, &body, Some(asked), error).await
            }
        }
    }

    /// What becomes of a message that failed, and of what it asked for: it comes again, or is given up once its deliveries are
    /// used up. `Ok` if it is among the dead letters.
    async fn fail(
        &self,
        aws: &Arc<Aws>,
        record: &SqsMessage,
        body: &str,
        asked: Option<Message>,
        error: Error,
    ) -> Result<()> {
        let (workflow, receives) = (&self.runnable.definition().name, receives(record));
        if receives < aws.settings.receives {
            self.come_again(aws, record, receives).await;
            return Err(error);
        }
        if let Some(asked) = asked {
            self.give_up(aws, asked, &error).await;
        }
        match aws.bury(workflow, body, error.message(), receives).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(error),
            Err(unburied) => {
                tracing::warn!(workflow, error = %unburied, "SQS will move a message to the dead letters, without its reason");
                Err(error)
            }
        }
    }

    /// A message that failed comes again after seconds, not after the visibility timeout, which outlasts an invocation.
    async fn come_again(&self, aws: &Aws, record: &SqsMessage, receives: u32) {
        let Ok(queue) = aws.settings.queue(&self.runnable.definition().name) else { return };
        let Some(receipt) = &record.receipt_handle else { return };
        let seconds = (5_i32 << receives.min(6)).min(300);
        let request = aws.clients.sqs().change_message_visibility().queue_url(&queue.url);
        let changed = request.receipt_handle(receipt).visibility_timeout(seconds).send().await;
        if changed.is_err() {
            tracing::warn!("the visibility of a message cannot be changed: it comes again later");
        }
    }

    /// The run that a message asked for fails with the reason.
    async fn give_up(&self, aws: &Arc<Aws>, asked: Message, error: &Error) {
        let run = asked.run(&self.runnable.definition().name);
        // An answer that cannot be kept fails nothing but itself: its step has a time limit.
        let Message::Deliver(delivery) = asked else { return };
        let reason = format!("given up after {} deliveries: {error}", aws.settings.receives);
        let settings = Settings { lease: seconds(30), ..Settings::default() };
        match give_up(&self.runnable, &aws.ports(None), &settings, delivery, &reason).await {
            Ok(()) => tracing::error!(%run, reason, "given up"),
            Err(error) => tracing::error!(%run, reason, %error, "given up, and the run cannot be told"),
        }
    }
}

/// How often a message was received, this time included.
fn receives(record: &SqsMessage) -> u32 {
    record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1)
}

/// How often a message was put off before.
fn deferrals(record: &SqsMessage) -> u32 {
    let count = record.message_attributes.get(DEFERRALS).and_then(|count| count.string_value.as_ref());
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}
