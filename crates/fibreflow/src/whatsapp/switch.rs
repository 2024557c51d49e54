//! The kill switch: something outside that says whether messages may go out, read right before each send.

use std::{fmt, io::ErrorKind, path::PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::http::Endpoint;

/// How a switch is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// Messages may go out.
    On,
    /// They may not; why, as far as is known.
    Off(String),
}

impl Setting {
    /// What is written there: `on`, or anything else, which then is the reason.
    pub fn read(text: &str) -> Self {
        match text.trim() {
            "on" => Self::On,
            "off" | "" => Self::Off("it is off".to_owned()),
            why => Self::Off(crate::phone::without_numbers(why).chars().take(200).collect()),
        }
    }
}

/// A switch. Nothing is kept of what it said: it holds from the moment it is flipped, or as soon as whatever it is read from
/// shows the change. One that cannot be read is off: a message that waits can still go out, one that went out cannot wait.
#[async_trait]
pub trait Switch: fmt::Debug + Send + Sync {
    /// How it is set now.
    async fn setting(&self) -> Setting;
}

/// A file that says `on`, or why not. While there is none, the switch is on.
#[derive(Debug, Clone)]
pub struct FileSwitch(pub PathBuf);

#[async_trait]
impl Switch for FileSwitch {
    async fn setting(&self) -> Setting {
        // A few bytes that are in the page cache: no thread is needed for them.
        match std::fs::read_to_string(&self.0) {
            Ok(text) => Setting::read(&text),
            Err(error) if error.kind() == ErrorKind::NotFound => Setting::On,
            Err(error) => Setting::Off(format!("its file cannot be read: {error}")),
        }
    }
}

/// An address that answers `on`, or why not. What lies between must not keep an answer for longer than 15 s.
#[derive(Debug, Clone)]
pub struct HttpSwitch(pub Endpoint);

#[async_trait]
impl Switch for HttpSwitch {
    async fn setting(&self) -> Setting {
        match self.0.get("").await {
            Ok(reply) => Setting::read(&reply.text()),
            Err(error) => Setting::Off(format!("it cannot be read: {error}")),
        }
    }
}

/// Without a switch: on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoSwitch;

#[async_trait]
impl Switch for NoSwitch {
    async fn setting(&self) -> Setting {
        Setting::On
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use durable::testing::SimClock;
    use futures::executor::block_on;

    use super::*;
    use crate::http::Http;

    #[test]
    fn a_file_says_whether_and_why_not() {
        let folder = tempfile::tempdir().unwrap();
        let switch = FileSwitch(folder.path().join("switch"));
        let setting = |text: &str| {
            std::fs::write(&switch.0, text).unwrap();
            block_on(switch.setting())
        };
        assert_eq!(block_on(switch.setting()), Setting::On, "nobody has flipped it");
        assert_eq!(setting("on\n"), Setting::On);
        assert_eq!(setting("off"), Setting::Off("it is off".into()));
        assert_eq!(setting(""), Setting::Off("it is off".into()));
        assert_eq!(setting("banned again\n"), Setting::Off("banned again".into()));
        let unreadable = FileSwitch(folder.path().into());
        assert!(matches!(block_on(unreadable.setting()), Setting::Off(_)), "what cannot be read is off");
    }

    #[test]
    fn an_address_says_it() {
        let service = Router::new().route("/on", get(async || "on")).route("/off", get(async || "off"));
        let setting = |path: &str| {
            let http = Http::in_process(service.clone(), std::sync::Arc::<SimClock>::default());
            let endpoint = Endpoint::new(http, format!("http://switch.example{path}").parse().unwrap());
            block_on(HttpSwitch(endpoint).setting())
        };
        assert_eq!(setting("/on"), Setting::On);
        assert_eq!(setting("/off"), Setting::Off("it is off".into()));
        assert!(matches!(setting("/missing"), Setting::Off(why) if why.contains("404")));
    }
}
