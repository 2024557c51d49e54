//! What can be wrong with a service.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What can be wrong with a service. Each was seen with a real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Requests are read and never answered.
    Hang,
    /// The connection is reset after the request was read; nothing was done.
    Reset,
    /// The request is carried out, and the connection is reset before the answer.
    LostAnswer,
    /// The request is carried out, and a gateway before the service answers 503 with `Retry-After: 7`.
    BusyGateway,
    /// Nothing answers, health checks included.
    Unreachable,
    /// 429 with `Retry-After: 7`.
    TooManyRequests,
    /// 500.
    ServerError,
    /// WhatsApp: a person must pair the phone again; `status` says "ok" and `connected` true all the same.
    LoggedOut,
    /// WhatsApp: the connection is down for a while.
    Disconnected,
    /// VLM: 404, the model does not exist; it is not among those the server has either.
    ModelMissing,
    /// VLM: 400, the prompt is longer than the model takes.
    TooLong,
    /// VLM: the answer ends in the middle.
    CutOff,
    /// VLM: the answer is prose.
    Prose,
    /// VLM: the model will not answer.
    Refusal,
    /// VLM: the server dies over a call, and nothing answers from then on.
    Dies,
    /// Convex: status 200, and in it an error.
    Refuse,
    /// Harness: the session starts and crashes.
    SessionFails,
    /// Harness: the agent that was deployed does not answer.
    AgentIll,
    /// Slack: 404 `no_service`, for ever.
    NoService,
}

impl Fault {
    /// All of them, each with the services that can have it (none named: all) and what it does.
    pub const ALL: [(Self, &'static [&'static str], &'static str); 19] = [
        (Self::Hang, &[], "requests are read and never answered"),
        (Self::Reset, &[], "the connection is reset before anything was done"),
        (Self::LostAnswer, &[], "the request is carried out, then the connection is reset"),
        (
            Self::BusyGateway,
            &[],
            "the request is carried out, then a gateway answers 503 with Retry-After: 7",
        ),
        (Self::Unreachable, &[], "nothing answers, health checks included"),
        (Self::TooManyRequests, &[], "429 with Retry-After: 7"),
        (Self::ServerError, &[], "500"),
        (Self::LoggedOut, WHATSAPP, "a person must pair the phone again"),
        (Self::Disconnected, WHATSAPP, "the connection to WhatsApp is down"),
        (Self::ModelMissing, &["vlm"], "404, the model does not exist, nor is it listed"),
        (Self::TooLong, &["vlm"], "400, the prompt is longer than the model takes"),
        (Self::CutOff, &["vlm"], "the answer ends in the middle"),
        (Self::Prose, &["vlm"], "the answer is prose instead of JSON"),
        (Self::Refusal, &["vlm"], "the model will not answer"),
        (Self::Dies, &["vlm"], "the server dies over a call, and nothing answers from then on"),
        (Self::Refuse, &["convex"], "status 200, and in it an error"),
        (Self::SessionFails, &["harness"], "the session starts and crashes"),
        (Self::AgentIll, &["harness"], "the agent that was deployed does not answer"),
        (Self::NoService, &["slack"], "404 no_service"),
    ];

    /// Whether the service of this name can have it.
    pub fn suits(self, service: &str) -> bool {
        Self::ALL.iter().any(|(fault, services, _)| {
            *fault == self && (services.is_empty() || services.contains(&service))
        })
    }

    /// Whether it is a state of the whole service rather than the fate of a request.
    pub(super) fn is_state(self) -> bool {
        matches!(self, Self::Unreachable | Self::LoggedOut | Self::Disconnected | Self::AgentIll)
    }
}

const WHATSAPP: &[&str] = &["whatsapp", "whatsapp-sender"];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// There is no fault of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such fault")]
pub struct ParseFaultError;

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, ParseFaultError> {
        Self::ALL
            .iter()
            .map(|(fault, ..)| *fault)
            .find(|fault| fault.to_string() == text)
            .ok_or(ParseFaultError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_named_alike_everywhere() {
        for (fault, ..) in Fault::ALL {
            assert_eq!(fault.to_string().parse(), Ok(fault));
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.to_string());
        }
        assert_eq!(Fault::LostAnswer.to_string(), "lost-answer");
        assert!(Fault::ModelMissing.suits("vlm") && !Fault::ModelMissing.suits("slack"));
    }
}
