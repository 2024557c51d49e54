//! What the service's account of its health means.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether messages can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairing {
    /// They can.
    Paired,
    /// The service does not answer.
    Unreachable,
    /// A person must pair the phone again; restarting makes it worse.
    LoggedOut,
    /// The connection to WhatsApp is down; it comes back by itself within minutes.
    Disconnected,
}

impl fmt::Display for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Paired => "paired",
            Self::Unreachable => "unreachable",
            Self::LoggedOut => "logged out",
            Self::Disconnected => "disconnected",
        })
    }
}

/// What `/health` answers. Its `status` is "ok" whatever happens, so it is not even read.
#[derive(Debug, Deserialize)]
pub(super) struct Health {
    connected: Option<bool>,
    session_valid: Option<bool>,
    needs_auth: Option<bool>,
}

/// The order matters: a bridge that is logged out may say that it is connected. The older service knows `connected` only.
pub(super) fn verdict(health: &Health, knows_sessions: bool) -> Pairing {
    if knows_sessions && (health.session_valid != Some(true) || health.needs_auth == Some(true)) {
        Pairing::LoggedOut
    } else if health.connected == Some(true) {
        Pairing::Paired
    } else {
        Pairing::Disconnected
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ok_means_nothing() {
        let bridge = |health| verdict(&serde_json::from_value(health).unwrap(), true);
        assert_eq!(
            bridge(json!({"status": "ok", "connected": true, "session_valid": true, "needs_auth": false})),
            Pairing::Paired
        );
        assert_eq!(
            bridge(json!({"status": "ok", "connected": true, "session_valid": false})),
            Pairing::LoggedOut
        );
        assert_eq!(
            bridge(json!({"status": "ok", "connected": true, "session_valid": true, "needs_auth": true})),
            Pairing::LoggedOut
        );
        assert_eq!(
            bridge(json!({"status": "ok", "connected": false, "session_valid": true})),
            Pairing::Disconnected
        );
        assert_eq!(bridge(json!({"status": "ok"})), Pairing::LoggedOut);
    }

    #[test]
    fn the_older_service_knows_only_whether_it_is_connected() {
        let older = |health| verdict(&serde_json::from_value(health).unwrap(), false);
        assert_eq!(older(json!({"connected": true})), Pairing::Paired);
        assert_eq!(older(json!({"connected": false})), Pairing::Disconnected);
    }
}
