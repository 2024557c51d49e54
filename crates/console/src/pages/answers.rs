//! A run's page: answering what the run waits for.

use axum::extract::{Path, State};

use super::{
    Done,
    form::{Form, go, path},
};
use crate::{console::Shared, service::AnswerOrder};

/// An answer: a result as JSON, or why it failed.
pub(super) async fn answer(State(console): State<Shared>, Path(id): Path<String>, form: Form) -> Done {
    let token = form.fields.text("answer").unwrap_or_default();
    let order = match form.fields.text("outcome") {
        Some("failed") => AnswerOrder::Failed(form.fields.text("reason").unwrap_or_default().to_owned()),
        _ => AnswerOrder::Done(form.json("data", "")?),
    };
    console.answer(&form.who.name, token, order).await?;
    Ok(go(&path("runs", &id), "answered"))
}

/// The event that is waited for. The form's request is its id: a form that is sent twice is one event.
pub(super) async fn event(State(console): State<Shared>, Path(id): Path<String>, form: Form) -> Done {
    let step = form.fields.text("step").unwrap_or_default();
    let request = form.fields.text("request").map_or_else(|| console.fresh(), str::to_owned);
    console.send_awaited(&form.who.name, &id, step, form.json("data", "")?, request).await?;
    Ok(go(&path("runs", &id), "sent"))
}
