//! The history of events: two or three items an event, which go when their time is up.
//!
//! `event` has the event and is in the index that lists all of them; `data` holds data over 1 KB, so that a list need not read
//! it. What lists the events of a name is an item of the table itself, which can be read consistently: whoever begins to wait
//! for an event must not miss one that came a moment ago. Then whoever waits for the event hears of it.

use std::sync::Arc;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use aws_sdk_dynamodb::types::AttributeValue;
use durable::{Delivery, Envelope, Result, after, waits};
use futures::{StreamExt, future::try_join_all, stream};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Aws,
    items::{Change, Item, Key, ms, n, parsed, required, s, text, time},
    message::{self, Message},
    runs::{EVENT_INLINE, shard},
};

/// How many events are written at once.
const AT_ONCE: usize = 16;

pub(crate) fn partition(id: &str) -> String {
    format!("event#{id}")
}

pub(crate) fn key(id: &str) -> Key {
    Key::new(partition(id), "event")
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

/// Records the events of a batch from the queue of all that the bus takes, and tells whoever waits for them. Answers those that are to be tried again; what
/// is no event of ours never will be one, and is logged and left.
pub async fn record(aws: &Arc<Aws>, batch: SqsEvent) -> SqsBatchResponse {
    let outcomes = stream::iter(batch.records).map(|message| async move {
        let id = message.message_id.unwrap_or_default();
        let event = match message::of_text(message.body.as_deref().unwrap_or_default(), "") {
            Ok(Message::Deliver(Delivery::Start(event))) => event,
            Ok(_) => return None,
            Err(error) => {
                tracing::warn!(message = id, %error, "not recorded");
                return None;
            }
        };
        let recorded = match aws.keep_events(std::slice::from_ref(&event)).await {
            Ok(()) => waits::arrive(&aws.ports(None), &event).await,
            error => error,
        };
        recorded.err().map(|error| {
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
        let place = place(event.sent_at, id);
        let mut all = vec![
            (":name", s(&event.name)),
            (":sent_at", ms(event.sent_at)),
            (":list_shard", s(listed(None, shard))),
            (":list_at", s(&place)),
            expires_at.clone(),
        ];
        let by_name = Key::new(listed(Some(&event.name), shard), &place);
        self.table.update(&first(by_name, vec![expires_at.clone()])).await?;
        if data.len() <= EVENT_INLINE {
            all.push((":data", s(data)));
        } else {
            let apart = Key::new(partition(id), "data");
            self.table.update(&first(apart, vec![(":data", s(data)), expires_at])).await?;
        }
        self.table.update(&first(key(id), all)).await.map(drop)
    }

    /// Events of the past, in any order; those that are not there, or not yet, are left out.
    pub(crate) async fn kept_events(&self, ids: &[String]) -> Result<Vec<Envelope>> {
        let keys: Vec<_> = ids.iter().map(|id| key(id)).collect();
        let items = self.fetch(&keys).await?;
        let apart = items.iter().filter(|(_, item)| item.contains_key("name") && !item.contains_key("data"));
        let apart: Vec<_> = apart.map(|(pk, _)| Key::new(pk, "data")).collect();
        let apart = self.fetch(&apart).await?;
        items.iter().filter_map(|(pk, item)| event(item, apart.get(pk)).transpose()).collect()
    }
}

/// The event of an item; `None` for one that only names reruns.
pub(crate) fn event(item: &Item, apart: Option<&Item>) -> Result<Option<Envelope>> {
    let Some(name) = text(item, "name") else { return Ok(None) };
    let Some(data) = text(item, "data").or_else(|| text(apart?, "data")) else { return Ok(None) };
    Ok(Some(Envelope {
        id: required(item, "pk")?.trim_start_matches("event#").to_owned(),
        name: name.to_owned(),
        data: parsed::<Value>("data", data)?,
        sent_at: time(item, "sent_at").unwrap_or(Timestamp::UNIX_EPOCH),
    }))
}

/// Writes an item of an event, unless it was written before. An item that only names reruns of the event was not.
fn first(key: Key, values: Vec<(&'static str, AttributeValue)>) -> Change {
    let set = values.iter().map(|(value, _)| format!("{} = {value}", value.replacen(':', "#", 1)));
    Change {
        key,
        update: format!("SET {}", set.collect::<Vec<_>>().join(", ")),
        condition:
            "attribute_not_exists(#expires_at) OR (attribute_exists(#reruns) AND attribute_not_exists(#name))"
                .to_owned(),
        values,
    }
}
