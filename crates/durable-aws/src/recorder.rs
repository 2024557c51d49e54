//! The history of events: two or three items an event, which go when their time is up.
//!
//! `event` has the event and is listed with all of them; `name` is listed with those of its name; `data` holds data over
//! 1 KB, so that a list need not read it.

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use aws_sdk_dynamodb::types::AttributeValue;
use durable::{Delivery, Envelope, Result, after};
use futures::{StreamExt, future::try_join_all, stream};
use jiff::Timestamp;

use crate::{
    Aws,
    items::{Change, Key, ms, n, s},
    message,
    runs::{EVENT_INLINE, shard},
};

/// How many events are written at once.
const AT_ONCE: usize = 16;

pub(crate) fn partition(id: &str) -> String {
    format!("event#{id}")
}

/// The partitions of the index that list events, of a name or of all. No workflow has such a name.
pub(crate) fn listed(name: Option<&str>, shard: u32) -> String {
    match name {
        Some(name) => format!("@events/{name}#{shard}"),
        None => format!("@events#{shard}"),
    }
}

/// The place of an event in the index `listed`.
pub(crate) fn place(at: Timestamp, id: &str) -> String {
    format!("{:013}#{id}", at.as_millisecond())
}

/// Records the events of a batch from the queue of all that the bus takes. Answers those that are to be tried again; what
/// is no event of ours never will be one, and is logged and left.
pub async fn record(aws: &Aws, batch: SqsEvent) -> SqsBatchResponse {
    let outcomes = stream::iter(batch.records).map(|message| async move {
        let id = message.message_id.unwrap_or_default();
        let event = match message::of_text(message.body.as_deref().unwrap_or_default(), "") {
            Ok(Delivery::Start(event)) => event,
            Ok(Delivery::Resume(_)) => return None,
            Err(error) => {
                tracing::warn!(message = id, %error, "not recorded");
                return None;
            }
        };
        let kept = aws.keep_events(&[event]).await;
        kept.err().map(|error| {
            tracing::error!(message = id, %error, "cannot record an event");
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            failure
        })
    });
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures =
        outcomes.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    response
}

impl Aws {
    /// Keeps events, for people to look at. Each part is written where it is not there yet: whoever died in the middle does
    /// it again, and what is listed with all comes last.
    pub(crate) async fn keep_events(&self, events: &[Envelope]) -> Result<()> {
        for some in events.chunks(AT_ONCE) {
            try_join_all(some.iter().map(|event| self.keep_event(event))).await?;
        }
        Ok(())
    }

    async fn keep_event(&self, event: &Envelope) -> Result<()> {
        let expires_at = (":expires_at", n(after(self.clock.now(), self.settings.retention).as_second()));
        let (data, id, shard) = (event.data.to_string(), event.id.as_str(), shard(&event.id));
        let list_at = (":list_at", s(place(event.sent_at, id)));
        let mut all = vec![
            (":name", s(&event.name)),
            (":sent_at", ms(event.sent_at)),
            (":list_shard", s(listed(None, shard))),
            list_at.clone(),
            expires_at.clone(),
        ];
        let by_name = vec![(":list_shard", s(listed(Some(&event.name), shard))), list_at, expires_at.clone()];
        self.table.update(&first(id, "name", by_name)).await?;
        if data.len() <= EVENT_INLINE {
            all.push((":data", s(data)));
        } else {
            self.table.update(&first(id, "data", vec![(":data", s(data)), expires_at])).await?;
        }
        self.table.update(&first(id, "event", all)).await.map(drop)
    }
}

/// Writes an item of an event, unless it was written before. An item that only names reruns of the event was not.
fn first(id: &str, sk: &str, values: Vec<(&'static str, AttributeValue)>) -> Change {
    let set = values.iter().map(|(value, _)| format!("{} = {value}", value.replacen(':', "#", 1)));
    Change {
        key: Key::new(partition(id), sk),
        update: format!("SET {}", set.collect::<Vec<_>>().join(", ")),
        condition:
            "attribute_not_exists(#expires_at) OR (attribute_exists(#reruns) AND attribute_not_exists(#name))"
                .to_owned(),
        values,
    }
}
