//! Flow control as an author declares it.

use std::{fmt, sync::Arc, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Result, Window, payload::from_value};

/// At most so many runs of a workflow at once, in all or for each value of a key.
///
/// A run holds its slot from its first step to its end, sleeps and retries included. Further runs wait in line and are
/// woken in order of arrival.
///
/// ```
/// # #[derive(serde::Deserialize)] struct BuildRequested { agent_name: String }
/// use durable::Concurrency;
///
/// let five_in_all = Concurrency::limit(5);
/// let one_an_agent = Concurrency::limit(1).key(|build: &BuildRequested| build.agent_name.clone());
/// # let _ = (five_in_all, one_an_agent);
/// ```
#[derive(Debug, Clone)]
pub struct Concurrency {
    limit: u32,
    key: Key,
}

impl Concurrency {
    /// At most `limit` runs at once; 0 means 1.
    pub fn limit(limit: u32) -> Self {
        Self { limit: limit.max(1), key: Key::default() }
    }

    /// Counts the runs of each value of the key apart.
    #[must_use]
    pub fn key<E: DeserializeOwned>(mut self, key: impl Fn(&E) -> String + Send + Sync + 'static) -> Self {
        self.key = Key::new(key);
        self
    }

    /// How many runs at once.
    pub fn slots(&self) -> u32 {
        self.limit
    }

    /// Whether the runs of each value of a key are counted apart.
    pub fn is_by_key(&self) -> bool {
        self.key.0.is_some()
    }

    /// The key of an event's run, unique among workflows.
    pub fn key_of(&self, workflow: &str, data: &Value) -> Result<String> {
        self.key.of(workflow, data)
    }
}

/// At most so many starts in any time span of a length: a strict sliding window, or several on one key.
///
/// ```
/// # #[derive(serde::Deserialize)] struct MessageQueued { phone: String }
/// use durable::{Throttle, hours, minutes};
///
/// let throttle = Throttle::limit(10).per(minutes(1)).and(100, hours(1)).key(|queued: &MessageQueued| queued.phone.clone());
/// # let _ = throttle;
/// ```
#[derive(Debug, Clone)]
pub struct Throttle {
    windows: Vec<Window>,
    key: Key,
}

/// A [`Throttle`] that lacks its period.
#[derive(Debug, Clone, Copy)]
pub struct ThrottleLimit(u32);

impl Throttle {
    /// At most `limit` starts; say in how long with [`per`](ThrottleLimit::per). 0 means 1.
    pub fn limit(limit: u32) -> ThrottleLimit {
        ThrottleLimit(limit.max(1))
    }

    /// A further window that must hold as well.
    #[must_use]
    pub fn and(mut self, limit: u32, period: Duration) -> Self {
        self.windows.push(Window { limit: limit.max(1), period });
        self
    }

    /// Counts the starts of each value of the key apart.
    #[must_use]
    pub fn key<E: DeserializeOwned>(mut self, key: impl Fn(&E) -> String + Send + Sync + 'static) -> Self {
        self.key = Key::new(key);
        self
    }

    /// Its windows.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Whether the starts of each value of a key are counted apart.
    pub fn is_by_key(&self) -> bool {
        self.key.0.is_some()
    }

    /// The key of an event's run, unique among workflows.
    pub fn key_of(&self, workflow: &str, data: &Value) -> Result<String> {
        self.key.of(workflow, data)
    }
}

impl ThrottleLimit {
    /// In any time span of this length.
    pub fn per(self, period: Duration) -> Throttle {
        Throttle { windows: vec![Window { limit: self.0, period }], key: Key::default() }
    }
}

type KeyFn = dyn Fn(&Value) -> Result<String> + Send + Sync;

/// How a key is read from an event; without a function, one key for all.
#[derive(Clone, Default)]
struct Key(Option<Arc<KeyFn>>);

impl Key {
    fn new<E: DeserializeOwned>(key: impl Fn(&E) -> String + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(move |data| Ok(key(&from_value(data)?)))))
    }

    fn of(&self, workflow: &str, data: &Value) -> Result<String> {
        match &self.0 {
            None => Ok(workflow.to_owned()),
            Some(key) => Ok(format!("{workflow}:{}", key(data)?)),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "by key" } else { "for all" })
    }
}
