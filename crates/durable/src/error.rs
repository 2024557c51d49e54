//! What can go wrong in a workflow, and what the engine does about it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// The result of a step or of a workflow.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a step or a workflow failed, and whether trying again can help.
///
/// Any [`std::error::Error`] becomes a retryable `Error` through `?`. Like `anyhow::Error`, this type does not
/// implement [`std::error::Error`] itself; that is what makes the conversion possible.
///
/// The text is stored in checkpoints and shown to people, so it must not hold secrets.
///
/// ```
/// use durable::Error;
///
/// assert!(Error::new("connection closed").is_retryable());
/// assert!(!Error::fatal("phone: expected a number such as +27821234567").is_retryable());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "retry_after_ms")]
    retry_after: Option<Duration>,
}

/// What an [`Error`] says about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Trying again may help. Whether the failed attempt had an effect is not known, so an `at_most_once` step
    /// does not try again after it.
    Retryable,
    /// Trying again may help, and the failed attempt certainly had no effect: the request was refused, or never left.
    NoEffect,
    /// Trying again cannot help.
    Fatal,
    /// The attempt began and nobody knows how it ended. Never tried again by the engine.
    OutcomeUnknown,
    /// A step used up its attempts. Final: its run does not try again either, unless the workflow handles the error.
    Exhausted,
}

impl Error {
    /// An error worth another attempt.
    pub fn new(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::Retryable, message)
    }

    /// An error worth another attempt, from an attempt that certainly had no effect.
    ///
    /// Only such an error (or [`Error::retry_after`]) lets an `at_most_once` step try again.
    pub fn no_effect(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::NoEffect, message)
    }

    /// An error that no further attempt can mend.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::Fatal, message)
    }

    /// The attempt may or may not have had its effect.
    pub fn outcome_unknown(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::OutcomeUnknown, message)
    }

    /// The other side refused for now and named the time after which to ask again, as HTTP's `Retry-After` does.
    ///
    /// The next attempt is not made earlier, whatever the step's policy says; the attempt counts.
    pub fn retry_after(delay: Duration, message: impl Into<String>) -> Self {
        Self { retry_after: Some(delay), ..Self::of(ErrorKind::NoEffect, message) }
    }

    /// The same error, and the next attempt is not made earlier than after this long, whatever the step's policy says.
    #[must_use]
    pub fn not_before(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    fn of(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None }
    }

    /// Puts what was being done before the message: `fetch-neon-data: connection refused`.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// The same error in other words.
    #[must_use]
    pub fn with_message(&self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self.clone() }
    }

    /// The same error, marked as final because a step's attempts are used up.
    #[must_use]
    pub(crate) fn exhausted(mut self) -> Self {
        if self.is_retryable() {
            self.kind = ErrorKind::Exhausted;
        }
        self
    }

    /// What this error says about trying again.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The text, without any prefix.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The shortest time before another attempt that the other side asked for.
    pub fn delay(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether another attempt may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Retryable | ErrorKind::NoEffect)
    }

    /// Whether the failed attempt certainly had no effect.
    pub fn had_no_effect(&self) -> bool {
        self.kind == ErrorKind::NoEffect
    }

    /// Whether an `at_most_once` step began and nobody knows how it ended.
    pub fn is_outcome_unknown(&self) -> bool {
        self.kind == ErrorKind::OutcomeUnknown
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many errors repeat their cause in their own text.
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        Self::new(message)
    }
}

mod retry_after_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
    pub(super) fn serialize<S: Serializer>(delay: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        delay.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_error_keeps_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the spec")]
        struct Outer(#[source] std::io::Error);

        let error: Error = Outer(std::io::Error::other("disk gone")).into();
        assert_eq!(error.message(), "cannot read the spec: disk gone");
        assert!(error.is_retryable() && !error.had_no_effect());
    }

    #[test]
    fn an_error_survives_its_checkpoint() {
        let error = Error::retry_after(Duration::from_secs(7), "429");
        let text = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<Error>(&text).unwrap(), error);
    }

    #[test]
    fn using_up_the_attempts_changes_only_what_could_be_retried() {
        assert_eq!(Error::new("x").exhausted().kind(), ErrorKind::Exhausted);
        assert_eq!(Error::outcome_unknown("x").exhausted().kind(), ErrorKind::OutcomeUnknown);
    }
}
