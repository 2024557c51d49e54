//! Events: listed, shown, sent.

use durable::{Definition, Envelope, MAX_EVENT_BYTES, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    console::Console,
    problem::{Problem, Result},
    query::Query,
    views::{EventDetail, EventItem, Paged},
};

/// An event that is to be sent.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventOrder {
    /// Its name.
    #[schema(example = "agent/build.requested", min_length = 1, max_length = 256)]
    pub(crate) name: String,
    /// Its data: what the workflows that start with it expect.
    #[schema(example = json!({"agent_name": "sharepoint"}))]
    pub(crate) data: Value,
    /// Its id: an event sent again under one id starts nothing new. Without one it gets one.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    pub(crate) id: Option<String>,
}

/// An event that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Sent {
    /// Its id.
    pub(crate) event_id: String,
    /// The runs that it starts.
    pub(crate) runs: Vec<String>,
    /// What its sender should know, if it starts none.
    pub(crate) message: Option<String>,
}

impl Console {
    /// Events, the newest first.
    pub(crate) async fn events(&self, query: &Query) -> Result<Paged<EventItem>> {
        let now = self.now();
        let page = self.desk().events(&query.events(now)?, &query.page()?).await?;
        Ok(Paged::of(page, |event| EventItem::of(event, now)))
    }

    /// An event with its data.
    pub(crate) async fn event(&self, id: &str) -> Result<EventDetail> {
        let view = self.desk().event(id).await?.ok_or_else(|| Problem::missing("event", id))?;
        Ok(EventDetail::of(view, self.masked(), self.now()))
    }

    /// Sends an event, once every workflow that starts with it has found its data to be what it expects.
    pub(crate) async fn send(&self, who: &str, order: EventOrder) -> Result<Sent> {
        let bytes = order.data.to_string().len();
        if bytes > MAX_EVENT_BYTES {
            let detail = format!("data: {bytes} bytes of JSON, expected at most {MAX_EVENT_BYTES}");
            return Err(Problem::body(detail, "data"));
        }
        let listeners: Vec<&Definition> = self.listeners(&order.name).collect();
        listeners
            .iter()
            .try_for_each(|workflow| workflow.check(&order.data))
            .map_err(|error| Problem::body(error.message(), "data"))?;
        let id = order.id.unwrap_or_else(|| self.fresh());
        let event = Envelope::untyped(id, order.name, order.data, self.now())
            .map_err(|error| Problem::body(error.message(), "event"))?;
        self.desk().send(who, &event).await?;
        Ok(self.sent(&event))
    }

    /// Sends an event of the past again, as an event of its own.
    pub(crate) async fn resend(&self, who: &str, id: &str, request: Option<String>) -> Result<Sent> {
        let request = request.unwrap_or_else(|| self.fresh());
        Ok(self.sent(&self.desk().resend(who, id, &request).await?))
    }

    /// Data that was edited as it is shown, with what is still masked put back from the event it came from.
    pub(crate) async fn restored(&self, data: Value, like: Option<&str>) -> Result<Value> {
        let Some(like) = like.filter(|like| !like.is_empty()) else { return Ok(data) };
        let event = self.desk().event(like).await?;
        Ok(event.map_or(data.clone(), |event| self.masked().restore(data, &event.event.data)))
    }

    /// The names of the events that start something.
    pub(crate) fn event_names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self
            .desk()
            .definitions
            .iter()
            .flat_map(|workflow| &workflow.events)
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn listeners(&self, event: &str) -> impl Iterator<Item = &Definition> {
        self.desk().definitions.iter().filter(move |workflow| workflow.starts_with(event))
    }

    fn sent(&self, event: &Envelope) -> Sent {
        let runs: Vec<_> = self
            .listeners(&event.name)
            .map(|workflow| RunId::of(&workflow.name, &event.id).as_str().to_owned())
            .collect();
        let message = runs.is_empty().then(|| {
            let known = self.event_names().join(", ");
            format!(
                "no workflow starts with {}: it is recorded and starts nothing; known are {known}",
                event.name
            )
        });
        Sent { event_id: event.id.clone(), runs, message }
    }
}
