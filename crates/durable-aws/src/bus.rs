//! Events out, to EventBridge.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_eventbridge::{primitives::DateTime, types::PutEventsRequestEntry};
use durable::{Bus, Envelope, Error, Result, after};

use crate::{Aws, failure::failed, message::SOURCE};

/// A request takes so many entries.
const ENTRIES: usize = 10;

/// A request takes so many bytes, and so does its largest entry.
const BYTES: usize = 256 * 1024;

/// How often the entries that the bus did not take are put again.
const TRIES: u32 = 5;

#[async_trait]
impl Bus for Aws {
    async fn publish(&self, events: &[Envelope]) -> Result<()> {
        let entries = events.iter().map(Entry::of).collect::<Result<Vec<_>>>()?;
        for batch in batches(&entries) {
            self.put(batch).await?;
        }
        Ok(())
    }
}

/// An event in its serialised form.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    detail: String,
    sent_at_ms: i64,
}

impl Entry {
    fn of(event: &Envelope) -> Result<Self> {
        let detail = serde_json::to_string(event)?;
        let entry = Self { name: event.name.clone(), detail, sent_at_ms: event.sent_at.as_millisecond() };
        if entry.bytes() > BYTES {
            return Err(Error::fatal(format!(
                "event {} holds {} bytes with its envelope, and the bus takes {BYTES}; store the large part and send a \
                 reference to it",
                event.name,
                entry.bytes()
            )));
        }
        Ok(entry)
    }

    /// As EventBridge counts: 14 for the time, then the texts.
    fn bytes(&self) -> usize {
        14 + SOURCE.len() + self.name.len() + self.detail.len()
    }
}

/// Runs of entries that fit a request, in order.
fn batches(entries: &[Entry]) -> Vec<&[Entry]> {
    let mut batches = Vec::new();
    let (mut first, mut bytes) = (0, 0);
    for (place, entry) in entries.iter().enumerate() {
        if place > first && (place - first == ENTRIES || bytes + entry.bytes() > BYTES) {
            batches.push(&entries[first..place]);
            (first, bytes) = (place, 0);
        }
        bytes += entry.bytes();
    }
    if first < entries.len() {
        batches.push(&entries[first..]);
    }
    batches
}

impl Aws {
    async fn put(&self, batch: &[Entry]) -> Result<()> {
        let mut left: Vec<&Entry> = batch.iter().collect();
        let mut said = String::new();
        for attempt in 0..TRIES {
            let entries = left.iter().map(|entry| {
                PutEventsRequestEntry::builder()
                    .source(SOURCE)
                    .detail_type(&entry.name)
                    .detail(&entry.detail)
                    .time(DateTime::from_millis(entry.sent_at_ms))
                    .event_bus_name(&self.settings.bus)
                    .build()
            });
            let request = self.clients.eventbridge().put_events().set_entries(Some(entries.collect()));
            let output = request.send().await.map_err(|error| failed("EventBridge: PutEvents", error))?;
            if output.failed_entry_count() == 0 {
                return Ok(());
            }
            let results = output.entries();
            said = results
                .iter()
                .find_map(|result| Some(format!("{}: {}", result.error_code()?, result.error_message()?)))
                .unwrap_or_default();
            let mut refused = results.iter().map(|result| result.error_code().is_some());
            left.retain(|_| refused.next().unwrap_or(true));
            let pause = Duration::from_millis(50 << attempt);
            self.clock.sleep_until(after(self.clock.now(), pause)).await;
        }
        Err(Error::new(format!("EventBridge: PutEvents: {} of {} entries: {said}", left.len(), batch.len())))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn entry(bytes: usize) -> Entry {
        let (name, sent_at_ms) = ("x".to_owned(), 0);
        Entry { name, detail: "y".repeat(bytes - 14 - SOURCE.len() - 1), sent_at_ms }
    }

    #[test]
    fn batches_keep_both_limits_and_lose_nothing() {
        let lengths =
            |entries: &[Entry]| batches(entries).iter().map(|batch| batch.len()).collect::<Vec<_>>();
        assert_eq!(lengths(&[]), [0_usize; 0]);
        assert_eq!(lengths(&vec![entry(100); 25]), [10, 10, 5]);
        assert_eq!(lengths(&vec![entry(100_000); 5]), [2, 2, 1]);
        assert_eq!(lengths(&[entry(BYTES), entry(BYTES)]), [1, 1]);
    }

    #[test]
    fn an_event_over_the_limit_is_refused_by_name() {
        let data = "x".repeat(BYTES - 30).into();
        let event = Envelope { id: "1".into(), name: "big".into(), data, sent_at: Timestamp::UNIX_EPOCH };
        let error = Entry::of(&event).unwrap_err();
        assert!(error.message().starts_with("event big holds 2"), "{error}");
        assert!(!error.is_retryable());
    }
}
