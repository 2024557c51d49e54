//! Who gets in, as the environment says it.

use std::fmt;

use console::{EventKeys, Members, Seal};
use durable::{Error, Result};

use crate::Signers;

/// What the function is told.
#[derive(Debug)]
pub struct Settings {
    /// Whom it is for.
    pub who: Who,
    /// What the stack is called where people see it: `CONSOLE_PLACE`.
    pub place: String,
    /// Fields to be masked beside those that always are: `CONSOLE_MASK`, with commas between.
    pub mask: Vec<String>,
}

/// Whom it is for: `CONSOLE_ACCESS`.
#[derive(Debug)]
pub enum Who {
    /// `iam`: programs and people whose requests AWS has checked.
    Signed(Signed),
    /// `people`: whoever signs in.
    People(Box<People>),
}

/// Requests that AWS has checked.
#[derive(Debug)]
pub struct Signed {
    /// Whom of those IAM lets through gets in: `CONSOLE_OPERATORS`, `CONSOLE_VIEWERS`.
    pub signers: Signers,
}

/// People who sign in, and systems that send events with a key.
#[derive(Debug)]
pub struct People {
    /// What sessions and links are sealed with: `CONSOLE_SESSION_KEY`.
    pub seal: Seal,
    /// Keys with which events may be sent: `CONSOLE_EVENT_KEYS`, with commas between.
    pub event_keys: EventKeys,
    /// Where the console is, if that is another address than the function's own: `CONSOLE_ORIGIN`.
    pub origin: Option<String>,
    /// The provider that knows people, if there is one.
    pub oidc: Option<Oidc>,
}

/// A sign-in provider.
#[derive(Clone)]
pub struct Oidc {
    /// How it is called where people choose it: `CONSOLE_OIDC_NAME`.
    pub name: String,
    /// Its address: `CONSOLE_OIDC_ISSUER`.
    pub issuer: String,
    /// What it calls the console: `CONSOLE_OIDC_CLIENT_ID`.
    pub client_id: String,
    /// What the console shows as proof: `CONSOLE_OIDC_CLIENT_SECRET`.
    pub client_secret: String,
    /// Whom of those it knows gets in: `CONSOLE_OPERATORS`, `CONSOLE_VIEWERS`.
    pub members: Members,
}

impl fmt::Debug for Oidc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oidc")
            .field("issuer", &self.issuer)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Reads variables from wherever they are.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let variable =
            |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let own = |name: &str| variable(name).unwrap_or_default();
        let (operators, viewers) = (own("CONSOLE_OPERATORS"), own("CONSOLE_VIEWERS"));
        let who = match own("CONSOLE_ACCESS").as_str() {
            "iam" => Who::Signed(Signed { signers: Signers::from_settings(&operators, &viewers)? }),
            "people" => Who::People(Box::new(People {
                seal: Seal::new(own("CONSOLE_SESSION_KEY").as_bytes())
                    .map_err(|error| error.context("CONSOLE_SESSION_KEY"))?,
                event_keys: EventKeys::new(list(&own("CONSOLE_EVENT_KEYS")))
                    .map_err(|error| error.context("CONSOLE_EVENT_KEYS"))?,
                origin: variable("CONSOLE_ORIGIN"),
                oidc: oidc(&own, &operators, &viewers)?,
            })),
            _ => return Err(Error::fatal("CONSOLE_ACCESS: expected iam or people")),
        };
        let place = variable("CONSOLE_PLACE").unwrap_or_else(|| "AWS".to_owned());
        let mask = list(&own("CONSOLE_MASK")).map(str::to_owned).collect();
        Ok(Self { who, place, mask })
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

fn oidc(own: &dyn Fn(&str) -> String, operators: &str, viewers: &str) -> Result<Option<Oidc>> {
    let issuer = own("CONSOLE_OIDC_ISSUER");
    if issuer.is_empty() {
        return Ok(None);
    }
    let required = |name: &str| match own(name) {
        text if text.is_empty() => {
            Err(Error::fatal(format!("{name} is missing: CONSOLE_OIDC_ISSUER wants it")))
        }
        text => Ok(text),
    };
    let members = Members::from_settings(operators, viewers)
        .map_err(|error| error.context("CONSOLE_OPERATORS, CONSOLE_VIEWERS"))?;
    let name = match own("CONSOLE_OIDC_NAME") {
        name if name.is_empty() => "your account".to_owned(),
        name => name,
    };
    Ok(Some(Oidc {
        name,
        client_id: required("CONSOLE_OIDC_CLIENT_ID")?,
        client_secret: required("CONSOLE_OIDC_CLIENT_SECRET")?,
        issuer,
        members,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings> {
        Settings::read(|name| {
            variables.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned())
        })
    }

    const KEY: (&str, &str) = ("CONSOLE_SESSION_KEY", "0123456789abcdef0123456789abcdef");
    const PEOPLE: (&str, &str) = ("CONSOLE_ACCESS", "people");

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (variables, begins) in [
            (vec![], "CONSOLE_ACCESS: expected"),
            (vec![("CONSOLE_ACCESS", "all")], "CONSOLE_ACCESS: expected"),
            (vec![PEOPLE], "CONSOLE_SESSION_KEY: session key: expected 32"),
            (vec![PEOPLE, KEY, ("CONSOLE_EVENT_KEYS", "short")], "CONSOLE_EVENT_KEYS: event key: expected"),
            (vec![PEOPLE, KEY, ("CONSOLE_OIDC_ISSUER", "https://x")], "CONSOLE_OIDC_CLIENT_ID is missing"),
            (
                vec![("CONSOLE_ACCESS", "iam"), ("CONSOLE_VIEWERS", "*")],
                "CONSOLE_VIEWERS: expected role/NAME",
            ),
        ] {
            let error = read(&variables).unwrap_err();
            assert!(error.message().starts_with(begins), "{variables:?}: {error}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let settings = read(&[
            PEOPLE,
            KEY,
            ("CONSOLE_EVENT_KEYS", "an-event-key-of-some-length, another-event-key-of-some-length"),
            ("CONSOLE_OIDC_ISSUER", "https://accounts.example"),
            ("CONSOLE_OIDC_CLIENT_ID", "id"),
            ("CONSOLE_OIDC_CLIENT_SECRET", "a-client-secret"),
            ("CONSOLE_OPERATORS", "ana@fibreflow.example"),
        ])
        .unwrap();
        let shown = format!("{settings:?}");
        assert!(shown.contains("EventKeys(2)") && shown.contains("ana@fibreflow.example"), "{shown}");
        for secret in ["0123456789abcdef", "an-event-key", "a-client-secret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn the_workflows_are_those_of_the_stack() {
        let names: Vec<_> =
            crate::definitions(None).unwrap().into_iter().map(|workflow| workflow.name).collect();
        assert_eq!(
            names,
            ["build-agent", "sync-databases", "send-whatsapp", "watch-whatsapp", "evaluate-foto"]
        );
    }
}
