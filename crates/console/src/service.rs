//! What the API and the pages have in common: each question and each deed, once.

mod answers;
mod care;
mod events;
mod flow;
mod runs;

pub(crate) use answers::AnswerOrder;
use axum::http::StatusCode;
use durable::ActionError;
pub(crate) use events::{EventOrder, Sent};
pub(crate) use runs::{BulkOrder, BulkOutcome, RerunOrder};

use crate::problem::Problem;

impl From<ActionError> for Problem {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::NotFound { what, id } => Self::missing(what, id),
            ActionError::Conflict(reason) => Self::conflict(reason),
            ActionError::Invalid { field, expected } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{field}: expected {expected}")).of(field)
            }
            ActionError::Failed(error) => error.into(),
        }
    }
}
