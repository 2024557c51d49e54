//! Events as they are shown.

use durable::EventView;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{CauseItem, RunItem};
use crate::mask::Mask;

/// An event in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct EventItem {
    /// Its id.
    pub(crate) event_id: String,
    /// Its name.
    pub(crate) name: String,
    /// When it was sent.
    pub(crate) sent_at: Timestamp,
    /// The step that sent it, if one did.
    pub(crate) caused_by: Option<CauseItem>,
    /// The runs it started, reruns included.
    pub(crate) runs: Vec<RunItem>,
    /// The workflows that start with an event of its name.
    pub(crate) listeners: Vec<String>,
    /// Why it started nothing, if it did not.
    pub(crate) why_none: Option<String>,
}

/// An event with its data.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct EventDetail {
    /// The event.
    #[serde(flatten)]
    pub(crate) event: EventItem,
    /// Its data, sensitive fields masked.
    pub(crate) data: Value,
}

impl EventItem {
    pub(crate) fn of(view: EventView, now: Timestamp) -> Self {
        Self {
            event_id: view.event.id,
            name: view.event.name,
            sent_at: view.event.sent_at,
            caused_by: view.caused_by.map(CauseItem::of),
            runs: view.runs.into_iter().map(|run| RunItem::of(run, now)).collect(),
            listeners: view.listeners,
            why_none: view.why_none,
        }
    }
}

impl EventDetail {
    pub(crate) fn of(view: EventView, mask: &Mask, now: Timestamp) -> Self {
        let data = mask.value(&view.event.data);
        Self { event: EventItem::of(view, now), data }
    }
}
