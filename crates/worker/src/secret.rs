//! Secrets: read when they are needed, shown to nobody.

use std::{collections::BTreeMap, fmt, fs, path::PathBuf};

use durable::{Error, Result};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

/// Where a secret is.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// In a file, as systemd's `LoadCredential` leaves it. The line break at its end is not part of it.
    File(PathBuf),
    /// In a variable of the worker's environment.
    Env(String),
}

/// Shorter texts are no secrets: hiding them would hide what is not one.
const SHORTEST: usize = 6;

/// What stands where a secret was.
const HIDDEN: &str = "[secret]";

impl Source {
    /// The secret. One that is missing can be put there, and nothing was done without it.
    #[expect(clippy::disallowed_methods, reason = "the configuration names the variable")]
    pub fn read(&self) -> Result<SecretString> {
        let text = match self {
            Self::File(path) => fs::read_to_string(path).map_err(|error| {
                Error::no_effect(format!("cannot read the secret in {}: {error}", path.display()))
            })?,
            Self::Env(name) => std::env::var(name)
                .map_err(|_| Error::no_effect(format!("the secret in the variable {name} is missing")))?,
        };
        Ok(text.trim_end_matches(['\r', '\n']).into())
    }
}

/// The secrets that some work is given, and must not give away.
#[derive(Clone, Default)]
pub struct Secrets(Vec<(String, SecretString)>);

impl Secrets {
    /// Reads all of them.
    pub fn read(sources: &BTreeMap<String, Source>) -> Result<Self> {
        let read = |(name, source): (&String, &Source)| Ok((name.clone(), source.read()?));
        sources.iter().map(read).collect::<Result<_>>().map(Self)
    }

    /// Each secret's name, and the secret.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, secret)| (name.as_str(), secret.expose_secret()))
    }

    /// A text without the secrets. `Bearer abc` is hidden where only `abc` stands, too.
    pub fn hide(&self, text: &str) -> String {
        let secrets =
            self.iter().flat_map(|(_, secret)| [Some(secret), secret.rsplit_once(' ').map(|(_, last)| last)]);
        secrets
            .flatten()
            .filter(|secret| secret.len() >= SHORTEST)
            .fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }

    /// An error without them.
    pub fn hide_in_error(&self, error: &Error) -> Error {
        let hidden = self.hide(error.message());
        if hidden == error.message() { error.clone() } else { error.with_message(hidden) }
    }

    /// A value without them, its texts and its keys.
    pub fn hide_in_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.hide(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.hide_in_value(item)).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .map(|(name, value)| (self.hide(&name), self.hide_in_value(value)))
                .collect(),
            plain => plain,
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secrets() -> Secrets {
        Secrets(vec![("authorization".into(), "Bearer hunter2hunter2".into()), ("pin".into(), "1".into())])
    }

    #[test]
    fn a_secret_is_hidden_wherever_it_stands() {
        assert_eq!(secrets().hide("got Bearer hunter2hunter2, 1"), "got [secret], 1");
        assert_eq!(secrets().hide("hunter2hunter2!"), "[secret]!");
        let value = json!({"hunter2hunter2": ["x hunter2hunter2", 1]});
        assert_eq!(secrets().hide_in_value(value), json!({"[secret]": ["x [secret]", 1]}));
        let error = secrets().hide_in_error(&Error::no_effect("401: hunter2hunter2"));
        assert_eq!((error.message(), error.had_no_effect()), ("401: [secret]", true));
        assert!(!format!("{:?}", secrets()).contains("hunter2"));
    }

    #[test]
    fn a_file_is_read_without_its_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "two words\n").unwrap();
        assert_eq!(Source::File(path).read().unwrap().expose_secret(), "two words");
        let missing = Source::File(folder.path().join("none")).read().unwrap_err();
        assert!(missing.message().starts_with("cannot read the secret in "), "{missing}");
    }
}
