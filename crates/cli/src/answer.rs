//! `fibreflow answer`, and what the HTTP interface has for it.

use durable::{ActionError, Reply};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    args,
    environment::who,
    failure::{Failure, Result},
    inbound,
    place::{Place, unknown},
    send,
    terminal::say,
};

/// What somebody says who has work of a run.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    Done(Value),
    Failed(String),
    Alive,
}

impl Said {
    pub(crate) fn from_json(value: Value) -> std::result::Result<Self, String> {
        let expected = r#"expected {"done": …}, {"failed": "why"} or "alive""#;
        serde_json::from_value(value).map_err(|error| format!("{error}; {expected}"))
    }
}

pub(crate) async fn answer(place: &Place, order: args::Answer) -> Result<()> {
    let reply = match (order.data, order.fail) {
        (Some(data), _) => {
            let parsed = inbound::parse(&send::data(&data)?);
            Reply::Done(parsed.map_err(|problem| Failure::usage(format!("--data: {}", problem.error)))?)
        }
        (None, why) => Reply::Failed(why.unwrap_or_default()),
    };
    match place.desk().await?.answer(&who(), &order.token, &reply).await {
        Ok(()) => {
            say("the answer is recorded");
            Ok(())
        }
        Err(ActionError::NotFound { id, .. }) => Err(unknown(&id)),
        Err(error) => Err(error.into()),
    }
}
