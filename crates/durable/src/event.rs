//! Events: what starts a run, and what a run sends.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;

/// The largest event accepted, as JSON, in bytes. It is what one message of the narrowest transport carries
/// (EventBridge: 256 KiB an entry); larger values are stored, and the event holds a reference.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;

/// The data of one kind of event, known to sender and receiver.
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct BuildRequested {
///     agent_name: String,
/// }
///
/// impl durable::Event for BuildRequested {
///     const NAME: &'static str = "agent/build.requested";
/// }
/// ```
pub trait Event: Serialize {
    /// The name rules match on, by convention `subject/what.happened`.
    const NAME: &'static str;
}

/// One event that was sent: its data, and what identifies it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Identifies the event. Two deliveries with one id are one event.
    pub id: String,
    /// The name rules match on.
    pub name: String,
    /// What the sender said.
    pub data: Value,
    /// When it was sent.
    pub sent_at: Timestamp,
}

/// Without its data: that is somebody's message, and what is shown for debugging ends in logs.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, data: _, sent_at } = self;
        f.debug_struct("Envelope")
            .field("id", id)
            .field("name", name)
            .field("sent_at", sent_at)
            .finish_non_exhaustive()
    }
}

impl Envelope {
    /// Wraps typed data.
    pub fn new<E: Event>(id: impl Into<String>, event: &E, sent_at: Timestamp) -> Result<Self, Error> {
        Self::untyped(id, E::NAME, serde_json::to_value(event).map_err(unserialisable::<E>)?, sent_at)
    }

    /// Wraps data whose type the sender does not know. Fails when a part is not within its bounds.
    pub fn untyped(
        id: impl Into<String>,
        name: impl Into<String>,
        data: Value,
        sent_at: Timestamp,
    ) -> Result<Self, Error> {
        let event = Self { id: id.into(), name: name.into(), data, sent_at };
        event.check()?;
        Ok(event)
    }

    fn check(&self) -> Result<(), Error> {
        for (field, text) in [("id", &self.id), ("name", &self.name)] {
            if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
                return Err(Error::fatal(format!("{field}: expected 1 to 256 printable characters")));
            }
        }
        let bytes = self.data.to_string().len();
        if bytes > MAX_EVENT_BYTES {
            let name = &self.name;
            return Err(Error::fatal(format!(
                "data: event {name} holds {bytes} bytes of JSON, expected at most {MAX_EVENT_BYTES}; \
                 store the large part and send a reference to it"
            )));
        }
        Ok(())
    }
}

fn unserialisable<E: Event>(error: serde_json::Error) -> Error {
    Error::fatal(format!("data: event {} cannot be written as JSON: {error}", E::NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_over_the_limit_is_refused_by_name() {
        let data = Value::String("x".repeat(2_000_000));
        let error =
            Envelope::untyped("1", "foto/evaluation.requested", data, Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(error.message().contains("foto/evaluation.requested holds 2000002 bytes"), "{error}");
    }

    #[test]
    fn an_event_needs_a_name() {
        let error = Envelope::untyped("1", "", Value::Null, Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error.message(), "name: expected 1 to 256 printable characters");
    }
}
