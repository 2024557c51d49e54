//! Forms: only from a page of ours, and only by somebody who may.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    response::Redirect,
};
use serde_json::Value;

use crate::{
    access::{Identity, Operator},
    console::Shared,
    problem::{Problem, Result},
    query::Query,
};

/// A form that an operator sent from a page of ours.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) who: Identity,
    pub(super) fields: Query,
}

impl FromRequest<Shared> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, console: &Shared) -> Result<Self> {
        let (mut parts, body) = request.into_parts();
        let Operator(who) = Operator::from_request_parts(&mut parts, console).await?;
        let fields = fields(Request::from_parts(parts, body), console).await?;
        checked(console, &who, &fields)?;
        Ok(Self { who, fields })
    }
}

impl Form {
    /// The JSON in a field, or in `otherwise` where the field is empty.
    pub(super) fn json(&self, field: &'static str, otherwise: &str) -> Result<Value> {
        serde_json::from_str(self.fields.text(field).unwrap_or(otherwise))
            .map_err(|error| Problem::body(format!("{field}: expected JSON: {error}"), field))
    }
}

/// The fields of a form.
pub(super) async fn fields(request: Request, console: &Shared) -> Result<Query> {
    let bytes = Bytes::from_request(request, console)
        .await
        .map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let text = str::from_utf8(&bytes).map_err(|_| Problem::body("form: expected UTF-8", "form"))?;
    Ok(Query::of(text))
}

/// Whether a form comes from a page that we made for this person.
pub(super) fn checked(console: &Shared, who: &Identity, fields: &Query) -> Result<()> {
    let token = fields.text("token").unwrap_or_default();
    if console.access().is_form_token(who, token) {
        return Ok(());
    }
    Err(Problem::forbidden(
        "This form is not of a page of this session: go back, load the page anew and try again.",
    ))
}

/// Goes on to a page, which says what was done.
pub(super) fn go(path: &str, notice: &str) -> Redirect {
    let joint = if path.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{path}{joint}notice={notice}"))
}

/// A path of the console, with a text of unknown content as its last part.
pub(super) fn path(of: &str, id: &str) -> String {
    let id = url::form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>().replace('+', "%20");
    format!("/console/{of}/{id}")
}
