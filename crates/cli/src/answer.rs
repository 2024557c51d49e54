//! `fibreflow answer`, and what the HTTP interface has for it.

use durable::{
    Error, Ports, Result,
    callback::{self, Answer, Settled, Token},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{args, failure, failure::Failure, inbound, place::Place, place::unknown, send, terminal::say};

pub(crate) const LATE: &str = "the answer comes too late: the step has a result, or has been handed to somebody else, or the run has ended";

/// What somebody says who has work of a run.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    Done(Value),
    Failed(String),
    Alive,
}

impl Said {
    pub(crate) fn from_json(value: Value) -> Result<Self, String> {
        let expected = r#"expected {"done": …}, {"failed": "why"} or "alive""#;
        serde_json::from_value(value).map_err(|error| format!("{error}; {expected}"))
    }
}

pub(crate) async fn answer(place: &Place, order: args::Answer) -> failure::Result<()> {
    let said = match (order.data, order.fail) {
        (Some(data), _) => {
            let parsed = inbound::parse(&send::data(&data)?);
            Said::Done(parsed.map_err(|problem| Failure::usage(format!("--data: {}", problem.error)))?)
        }
        (None, why) => Said::Failed(why.unwrap_or_default()),
    };
    match give(&place.desk().await?.ports, &order.token, said).await? {
        Settled::Done(_) => {
            say("the answer is recorded");
            Ok(())
        }
        Settled::Late => Err(Failure::new(LATE)),
        Settled::Missing => Err(unknown(order.token.run.as_str())),
    }
}

pub(crate) async fn give(ports: &Ports, token: &Token, said: Said) -> Result<Settled> {
    let answer = match said {
        Said::Done(value) => callback::done(ports, token, value.to_string()).await?,
        Said::Failed(why) => Answer::Failed(Error::new(why)),
        Said::Alive => Answer::Alive,
    };
    callback::answer(ports, token, &answer).await
}
