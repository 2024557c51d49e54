//! Dead letters as they are shown.

use durable::DeadLetter;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::run::short_id;
use crate::mask;

/// A message that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DeadLetterItem {
    /// Identifies it.
    pub(crate) id: String,
    /// The workflow whose queue it was in.
    pub(crate) workflow: String,
    /// The run it was for, if that could be read.
    pub(crate) run_id: Option<String>,
    /// Why it was given up, as far as anybody knows.
    pub(crate) reason: String,
    /// When it was given up, or sent, whichever is known.
    pub(crate) at: Option<Timestamp>,
    /// How often it was received.
    pub(crate) receives: Option<u32>,
}

impl DeadLetterItem {
    pub(crate) fn of(letter: DeadLetter) -> Self {
        Self {
            id: letter.id,
            workflow: letter.workflow,
            run_id: letter.run.map(|run| run.as_str().to_owned()),
            reason: mask::text(&letter.reason),
            at: letter.at,
            receives: letter.receives,
        }
    }

    pub(crate) fn short_run(&self) -> Option<&str> {
        self.run_id.as_deref().map(short_id)
    }
}
