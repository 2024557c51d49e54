//! What the API answers and the pages show: the engine's views, with what is sensitive masked.

mod audit;
mod dead_letter;
mod event;
mod health;
mod key;
mod run;
mod step;
mod wait;
mod workflow;

pub(crate) use audit::AuditItem;
pub(crate) use dead_letter::DeadLetterItem;
use durable::Page;
pub(crate) use event::{EventDetail, EventItem};
pub(crate) use health::HealthItem;
use jiff::Timestamp;
pub(crate) use key::{KeyItem, KeyLine, ThrottleItem, ThrottleLedger};
pub(crate) use run::{CauseItem, RunDetail, RunItem, RunStatus, short_id};
use serde::Serialize;
pub(crate) use step::{ErrorItem, StepItem};
use utoipa::ToSchema;
pub(crate) use wait::{Wait, wanted_data};
pub(crate) use workflow::{HourItem, StatisticsItem, WorkflowItem};

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Paged<T> {
    /// What was found, in the order of the list.
    pub(crate) items: Vec<T>,
    /// The `cursor` of the next page, when there may be one.
    pub(crate) next: Option<String>,
}

impl<T> Paged<T> {
    /// A page of the engine, each entry as it is shown.
    pub(crate) fn of<U>(page: Page<U>, show: impl FnMut(U) -> T) -> Self {
        let next = page.next.map(|next| next.as_str().to_owned());
        Self { items: page.items.into_iter().map(show).collect(), next }
    }
}

/// The milliseconds from one time to another.
pub(crate) fn milliseconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(durable::until(from, to).as_millis()).unwrap_or(u64::MAX)
}
