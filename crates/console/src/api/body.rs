//! JSON that is sent to the API.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{StatusCode, header},
};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// A body of JSON. What is wrong with it is said with the field; an empty one is `{}`.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|error| Problem::new(error.status(), error.body_text()))?;
        if bytes.is_empty() {
            return read(b"{}");
        }
        // A form on a page elsewhere can send text, and cannot send this.
        match kind.as_deref() {
            Some("application/json") => read(&bytes),
            _ => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Type: expected application/json",
            )
            .of("Content-Type")),
        }
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<Body<T>, Problem> {
    let value: serde_json::Value = serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("not JSON: {error}")))?;
    serde_path_to_error::deserialize(&value).map(Body).map_err(|error| {
        let text = match error.path().to_string() {
            path if path == "." => error.inner().to_string(),
            path => format!("{path}: {}", error.inner()),
        };
        Problem::body(text, "body")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::RerunOrder;

    #[test]
    fn what_is_wrong_with_a_body_is_named() {
        let problem = |text: &str| read::<RerunOrder>(text.as_bytes()).unwrap_err();
        assert_eq!(problem("{").status(), StatusCode::BAD_REQUEST);
        assert_eq!(problem(r#"{"from": 7}"#).field(), Some("from"));
        assert_eq!(problem(r#"{"form": "x"}"#).field(), Some("form"));
        assert_eq!(problem("[1]").status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
}
