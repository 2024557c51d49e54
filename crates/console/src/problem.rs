//! What is answered when something is wrong: RFC 9457's problem details, with the field where one is to blame.

use std::fmt;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request was not carried out, as RFC 9457 has it (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    #[schema(example = "Unprocessable Entity")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// What is wrong, and what was expected.
    #[schema(example = "status: expected queued, running, waiting, completed, failed or cancelled")]
    detail: String,
    /// The field that is to blame, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// What a request gets, or why it gets nothing.
pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
        }
    }

    /// Says which field is to blame.
    #[must_use]
    pub(crate) fn of(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// A part of the address is not what it must be.
    pub(crate) fn parameter(field: &str, expected: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("{field}: expected {expected}")).of(field)
    }

    /// A part of the body is not what it must be. The error may begin with the field's path; else it is `whole`.
    pub(crate) fn body(error: impl Into<String>, whole: &str) -> Self {
        let error = error.into();
        let field = field_of(&error).unwrap_or_else(|| whole.to_owned());
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error).of(field)
    }

    /// There is no such thing.
    pub(crate) fn missing(what: &str, id: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no {what} {id}"))
    }

    /// It cannot be done as things stand.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// Whoever asks may not.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// Nobody knows who asks.
    pub(crate) fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The status in words.
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// What is wrong, and what was expected.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The field that is to blame, if one is.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// The store did not do what it was asked.
impl From<durable::Error> for Problem {
    fn from(error: durable::Error) -> Self {
        tracing::error!(error = error.message(), "the store did not do what it was asked");
        let detail = format!("the store did not answer as it should: {}", error.message());
        Self::new(StatusCode::BAD_GATEWAY, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(&self)).into_response();
        let problem = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem);
        // For pages, which say it in their own way.
        response.extensions_mut().insert(self);
        response
    }
}

/// The field that an error names: `phone` in `phone: invalid type: …`, `agent_name` in ``missing field `agent_name` ``.
pub fn field_of(error: &str) -> Option<String> {
    let is_path = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']'))
    };
    let (path, rest) = match error.split_once(": ") {
        Some((path, rest)) if is_path(path) => (Some(path), rest),
        _ => (None, error),
    };
    let missing =
        rest.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')).map(|(name, _)| name);
    match (path, missing) {
        (Some(path), Some(missing)) => Some(format!("{path}.{missing}")),
        (path, missing) => path.or(missing).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_that_an_error_names_is_found() {
        for (error, field) in [
            ("phone: invalid type: integer `12`, expected a string", "phone"),
            ("missing field `agent_name`", "agent_name"),
            ("rows[2]: missing field `id` at line 1", "rows[2].id"),
            ("expected a map", "data"),
        ] {
            assert_eq!(Problem::body(error, "data").field(), Some(field), "{error}");
        }
    }

    #[test]
    fn it_is_written_as_the_standard_says() {
        let json = serde_json::to_value(Problem::parameter("limit", "a number")).unwrap();
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Bad Request", "status": 400, "detail": "limit: expected a number",
            "field": "limit",
        });
        assert_eq!(json, expected);
        let response = Problem::missing("run", "x").into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
