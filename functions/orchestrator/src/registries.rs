//! The registry as it is now: read again when it has changed, and kept when what it has changed to is broken.

use std::{fmt, fs, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use durable::{Error, Result, seconds, until};
use futures::lock::Mutex;
use jiff::Timestamp;

use crate::Registry;

/// A change is seen after this long.
const LOOK_AGAIN: Duration = seconds(10);

/// A registry's text, and what tells it from another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edition {
    /// Another one means another text.
    pub version: String,
    /// `registry.json`.
    pub text: String,
}

/// Where a registry is kept.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// What is there now; `None` when that is still the version `known`.
    async fn read(&self, known: Option<&str>) -> Result<Option<Edition>>;
}

/// A file.
#[derive(Debug, Clone)]
pub struct FileSource(pub PathBuf);

#[async_trait]
impl Source for FileSource {
    async fn read(&self, known: Option<&str>) -> Result<Option<Edition>> {
        let named = |error: std::io::Error| Error::new(format!("{}: {error}", self.0.display()));
        // Of a few kilobytes, and once in a while: no thread is needed for it.
        let file = fs::metadata(&self.0).map_err(named)?;
        let version = format!("{:?}, {} bytes", file.modified().map_err(named)?, file.len());
        if known == Some(&version) {
            return Ok(None);
        }
        Ok(Some(Edition { version, text: fs::read_to_string(&self.0).map_err(named)? }))
    }
}

/// The registry as it is now.
#[derive(Debug)]
pub struct Registries {
    source: Option<Box<dyn Source>>,
    kept: Mutex<Kept>,
    alert: fn(&Error),
}

#[derive(Debug, Default)]
struct Kept {
    registry: Option<Arc<Registry>>,
    version: Option<String>,
    looked_at: Option<Timestamp>,
}

impl Registries {
    /// The one that the project ships, for ever.
    pub fn shipped() -> Result<Self> {
        let registry = Some(Arc::new(Registry::shipped()?));
        Ok(Self { source: None, kept: Mutex::new(Kept { registry, ..Kept::default() }), alert: |_| () })
    }

    /// The one that is kept there.
    pub fn of(source: impl Source + 'static) -> Self {
        Self { source: Some(Box::new(source)), kept: Mutex::default(), alert: |_| () }
    }

    /// Tells somebody when the registry cannot be read, or is broken.
    #[must_use]
    pub fn alerting(mut self, alert: fn(&Error)) -> Self {
        self.alert = alert;
        self
    }

    /// The registry. It is looked for again after ten seconds. When it cannot be read, or what is there is broken, the last
    /// good one serves on and the log has an error, for each broken one once; when there was none, the error is answered:
    /// it may be mended.
    pub async fn current(&self, now: Timestamp) -> Result<Arc<Registry>> {
        let mut kept = self.kept.lock().await;
        let recent = kept.looked_at.is_some_and(|looked_at| until(looked_at, now) < LOOK_AGAIN);
        let looked = match &self.source {
            Some(source) if kept.registry.is_none() || !recent => kept.look(source.as_ref(), now).await,
            _ => Ok(()),
        };
        kept.answer(looked.inspect_err(self.alert))
    }
}

impl Kept {
    async fn look(&mut self, source: &dyn Source, now: Timestamp) -> Result<()> {
        self.looked_at = Some(now);
        // Without a good one, the reason why there is none is found out anew each time.
        let known = self.version.as_deref().filter(|_| self.registry.is_some());
        let Some(edition) = source.read(known).await? else { return Ok(()) };
        self.version = Some(edition.version);
        self.registry = Some(Arc::new(Registry::from_json(&edition.text)?));
        Ok(())
    }

    fn answer(&self, looked: Result<()>) -> Result<Arc<Registry>> {
        match (&self.registry, looked) {
            (Some(registry), Ok(())) => Ok(registry.clone()),
            (Some(registry), Err(error)) => {
                tracing::error!(%error, "the registry cannot be taken up; the last good one serves on");
                Ok(registry.clone())
            }
            (None, looked) => {
                let reason = looked.err().map_or_else(String::new, |error| format!(": {}", error.message()));
                Err(Error::new(format!("there is no registry{reason}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;

    use durable::after;
    use futures::executor::block_on;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Shelf(Arc<StdMutex<Shelved>>);

    #[derive(Debug, Default)]
    struct Shelved {
        edition: Option<Edition>,
        looks: u32,
        handed_out: u32,
    }

    impl Shelf {
        fn put(&self, version: &str, text: String) {
            self.0.lock().unwrap().edition = Some(Edition { version: version.into(), text });
        }

        fn clear(&self) {
            self.0.lock().unwrap().edition = None;
        }

        fn counts(&self) -> (u32, u32) {
            let held = self.0.lock().unwrap();
            (held.looks, held.handed_out)
        }
    }

    #[async_trait]
    impl Source for Shelf {
        async fn read(&self, known: Option<&str>) -> Result<Option<Edition>> {
            let mut held = self.0.lock().unwrap();
            held.looks += 1;
            let edition = held.edition.clone().ok_or_else(|| Error::new("S3 is away"))?;
            if known == Some(&edition.version) {
                return Ok(None);
            }
            held.handed_out += 1;
            Ok(Some(edition))
        }
    }

    fn of_one(id: &str) -> String {
        json!({"agents": [{"id": id, "name": id, "status": "active", "triggers": [id]}]}).to_string()
    }

    fn at(second: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, seconds(second))
    }

    fn serves(registries: &Registries, second: u64) -> String {
        block_on(registries.current(at(second))).unwrap().agents[0].id.clone()
    }

    #[test]
    fn a_changed_registry_is_taken_up_within_ten_seconds_and_an_unchanged_one_not_read_again() {
        let shelf = Shelf::default();
        shelf.put("1", of_one("a"));
        let registries = Registries::of(shelf.clone());
        assert_eq!((serves(&registries, 0), serves(&registries, 9)), ("a".into(), "a".into()));
        assert_eq!(shelf.counts(), (1, 1));
        assert_eq!((serves(&registries, 10), shelf.counts()), ("a".into(), (2, 1)));
        shelf.put("2", of_one("b"));
        assert_eq!((serves(&registries, 19), serves(&registries, 20)), ("a".into(), "b".into()));
    }

    #[test]
    fn a_broken_registry_or_one_that_cannot_be_read_leaves_the_last_good_one() {
        let shelf = Shelf::default();
        shelf.put("1", of_one("a"));
        let registries = Registries::of(shelf.clone());
        assert_eq!(serves(&registries, 0), "a");
        shelf.put("2", "{".into());
        assert_eq!((serves(&registries, 10), serves(&registries, 20)), ("a".into(), "a".into()));
        assert_eq!(shelf.counts(), (3, 2), "a broken one is read, and said, once");
        shelf.clear();
        assert_eq!(serves(&registries, 30), "a");
        shelf.put("3", of_one("c"));
        assert_eq!(serves(&registries, 40), "c", "mended");
    }

    #[test]
    fn where_there_never_was_a_good_one_the_reason_is_answered_until_it_is_mended() {
        let shelf = Shelf::default();
        let registries = Registries::of(shelf.clone());
        let error = || block_on(registries.current(at(0))).unwrap_err();
        assert_eq!(error().message(), "there is no registry: S3 is away");
        shelf.put("1", "[]".into());
        assert!(
            error().is_retryable() && error().message().starts_with("there is no registry: registry.json")
        );
        shelf.put("2", of_one("a"));
        assert_eq!(serves(&registries, 0), "a");
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = FileSource(folder.path().join("registry.json"));
        let read = |known: Option<&str>| block_on(file.read(known));
        assert!(read(None).unwrap_err().message().contains("registry.json: No such file"));
        fs::write(&file.0, "one").unwrap();
        let first = read(None).unwrap().unwrap();
        assert_eq!((first.text.as_str(), read(Some(&first.version)).unwrap()), ("one", None));
        fs::write(&file.0, "another").unwrap();
        assert_eq!(read(Some(&first.version)).unwrap().unwrap().text, "another");
    }
}
