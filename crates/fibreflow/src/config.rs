//! Where the services are, from the environment: read once, at start, and all that is missing is said at once.

mod whatsapp;

use std::{str::FromStr, sync::Arc, time::Duration};

use durable::{Error, Result, hours};
use secrecy::SecretString;
use url::Url;

use crate::{
    convex::Convex,
    harness::{Closed, Harness},
    http::{Endpoint, Http},
    mirror::Tables,
    neon::{Neon, Postgres},
    photos::Photos,
    slack::Slack,
    vlm::{Criteria, Vlm},
    whatsapp::Switch,
};

/// The model that is asked when no other is configured.
const MODEL: &str = "Qwen/Qwen3-VL-8B-Instruct";

/// Reads settings and remembers what is missing or wrong.
pub struct Settings<'a> {
    lookup: Lookup<'a>,
    http: Http,
    neon: Option<Arc<dyn Neon>>,
    switch: Option<Arc<dyn Switch>>,
    problems: Vec<String>,
}

type Lookup<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;

impl<'a> Settings<'a> {
    /// Settings by name, and the client all services share.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + 'a, http: Http) -> Self {
        Self { lookup: Box::new(lookup), http, neon: None, switch: None, problems: Vec::new() }
    }

    /// The same settings with some set otherwise.
    #[must_use]
    pub fn with_overrides(mut self, set: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let (set, lookup): (Vec<_>, _) = (set.into_iter().collect(), self.lookup);
        self.lookup = Box::new(move |name| match set.iter().find(|(set, _)| *set == name) {
            Some((_, value)) => Some((*value).to_owned()),
            None => lookup(name),
        });
        self
    }

    /// Settings from the environment, for services reached over the network.
    #[expect(clippy::disallowed_methods, reason = "this is the one place, read once at start")]
    pub fn from_env() -> Result<Self> {
        Ok(Self::new(|name| std::env::var(name).ok(), Http::network()?))
    }

    /// The same settings with another database than `NEON_DATABASE_URL` names.
    #[must_use]
    pub fn with_neon(mut self, neon: Arc<dyn Neon>) -> Self {
        self.neon = Some(neon);
        self
    }

    /// Makes services; when settings are missing or wrong, one error names all of them.
    pub fn make<T>(mut self, services: impl FnOnce(&mut Self) -> Option<T>) -> Result<T> {
        let made = services(&mut self);
        match made {
            Some(made) if self.problems.is_empty() => Ok(made),
            _ => Err(Error::fatal(format!("settings: {}", self.problems.join("; ")))),
        }
    }

    /// `HARNESS_URL`, and `HARNESS_TOKEN` if it wants one; `worker://NAME` is a command of the worker's.
    pub fn harness(&mut self) -> Option<Harness> {
        let mut endpoint = self.endpoint("HARNESS_URL")?;
        if let Some(command) = endpoint.service() {
            return Some(Harness::by_worker(command));
        }
        if let Some(token) = self.optional("HARNESS_TOKEN") {
            endpoint = self.secret(endpoint, "authorization", &format!("Bearer {token}"))?;
        }
        Some(Harness::new(endpoint))
    }

    /// `DEPLOY_APPROVAL_HOURS`: so long a deployment waits for a person's approval; without it, it needs none.
    pub fn deploy_approval(&mut self) -> Option<Duration> {
        self.number("DEPLOY_APPROVAL_HOURS").map(hours)
    }

    /// `DEPLOY_CLOSED`: when nothing is deployed, as `Mon-Fri 08:00-17:00 +02:00`; without it, always something may be.
    pub fn deploy_closed(&mut self) -> Option<Closed> {
        let closed = self.optional("DEPLOY_CLOSED")?.parse();
        self.good(closed.map_err(|error: Error| error.context("DEPLOY_CLOSED")))
    }

    /// `SLACK_WEBHOOK_URL`, if it is set.
    pub fn optional_slack(&mut self) -> Option<Slack> {
        self.optional("SLACK_WEBHOOK_URL").and_then(|_| self.slack())
    }

    /// `NEON_DATABASE_URL`.
    pub fn neon(&mut self) -> Option<Arc<dyn Neon>> {
        if let Some(neon) = &self.neon {
            return Some(neon.clone());
        }
        let url = self.required("NEON_DATABASE_URL")?;
        let postgres = Postgres::new(SecretString::from(url));
        self.good(postgres).map(|postgres| Arc::new(postgres) as _)
    }

    /// `CONVEX_URL` and `CONVEX_DEPLOY_KEY`.
    pub fn convex(&mut self) -> Option<Convex> {
        let endpoint = self.endpoint("CONVEX_URL");
        let key = self.secret_of(endpoint.as_ref(), "CONVEX_DEPLOY_KEY");
        self.secret(endpoint?, "authorization", &format!("Convex {}", key?)).map(Convex::new)
    }

    /// `SYNC_TABLES`: a file that lists what is mirrored, or the list itself, in JSON; without it, FibreFlow's own tables.
    pub fn tables(&mut self) -> Option<Tables> {
        let tables = Tables::from_setting(self.optional("SYNC_TABLES").as_deref());
        self.good(tables)
    }

    /// `SLACK_WEBHOOK_URL`.
    pub fn slack(&mut self) -> Option<Slack> {
        self.endpoint("SLACK_WEBHOOK_URL").map(Slack::new)
    }

    /// `VLM_URL`; and, if they are others than the usual, `VLM_MODEL`, `VLM_PHOTOS_PER_CALL` and the criteria:
    /// `FOTO_STEPS` as JSON, `[{"name":…,"label":…}]`, `FOTO_PASS_SCORE` of 10 and `FOTO_PASS_FRACTION` of 1.
    pub fn vlm(&mut self) -> Option<Vlm> {
        let model = self.optional("VLM_MODEL").unwrap_or_else(|| MODEL.to_owned());
        let (endpoint, criteria) = (self.endpoint("VLM_URL"), self.criteria());
        let photos_per_call = self.number("VLM_PHOTOS_PER_CALL");
        let vlm = Vlm::new(endpoint?, model).criteria(criteria?);
        Some(photos_per_call.into_iter().fold(vlm, Vlm::photos_per_call))
    }

    fn criteria(&mut self) -> Option<Criteria> {
        let usual = Criteria::default();
        let steps = match self.optional("FOTO_STEPS") {
            None => Some(usual.steps().to_vec()),
            Some(json) => {
                let steps = serde_json::from_str(&json).map_err(|error| {
                    Error::fatal(format!("FOTO_STEPS: expected [{{\"name\":…,\"label\":…}}]: {error}"))
                });
                self.good(steps)
            }
        };
        let score = self.number("FOTO_PASS_SCORE").unwrap_or(7.0);
        let fraction = self.number("FOTO_PASS_FRACTION").unwrap_or(0.7);
        let criteria = Criteria::new(steps?, score, fraction).map_err(|error| error.context("FOTO_…"));
        self.good(criteria)
    }

    /// `VLM_OUTAGE_HOURS`: how long an evaluation waits for a model that is away; 48 if nothing is said.
    pub fn vlm_outage(&mut self) -> Duration {
        hours(self.number("VLM_OUTAGE_HOURS").unwrap_or(48))
    }

    /// `FOTO_REVIEW_HOURS`: so long an evaluation waits for a person's decision before its contractor is told; without it, it
    /// needs none.
    pub fn foto_review(&mut self) -> Option<Duration> {
        self.number("FOTO_REVIEW_HOURS").map(hours)
    }

    /// `PHOTO_ENDPOINT` with the buckets `PHOTO_BUCKETS`, and the hosts `PHOTO_HOSTS`; lists are separated by commas.
    pub fn photos(&mut self) -> Option<Photos> {
        let list = |text: Option<String>| -> Vec<String> {
            text.iter()
                .flat_map(|text| text.split(','))
                .map(|part| part.trim().to_owned())
                .filter(|part| !part.is_empty())
                .collect()
        };
        let endpoint = self.parsed::<Url>("PHOTO_ENDPOINT")?;
        let (buckets, hosts) = (list(self.required("PHOTO_BUCKETS")), list(self.optional("PHOTO_HOSTS")));
        Some(Photos::new(self.http.clone(), endpoint, buckets, hosts))
    }

    fn endpoint(&mut self, name: &str) -> Option<Endpoint> {
        let url = self.parsed::<Url>(name)?;
        Some(Endpoint::new(self.http.clone(), url))
    }

    /// The secret that a service wants, unless the worker has it.
    fn secret_of(&mut self, endpoint: Option<&Endpoint>, name: &str) -> Option<String> {
        if endpoint.is_some_and(Endpoint::is_by_worker) { Some(String::new()) } else { self.required(name) }
    }

    fn secret(&mut self, endpoint: Endpoint, header: &'static str, secret: &str) -> Option<Endpoint> {
        let endpoint = endpoint.secret(header, &SecretString::from(secret));
        self.good(endpoint)
    }

    fn parsed<T: FromStr>(&mut self, name: &str) -> Option<T> {
        let text = self.required(name)?;
        let parsed = text
            .parse()
            .map_err(|_| Error::fatal(format!("{name} is not an address such as https://host/path")));
        self.good(parsed)
    }

    /// A number, if one is set.
    fn number<T: FromStr>(&mut self, name: &str) -> Option<T> {
        let text = self.optional(name)?;
        let parsed = text.trim().parse().map_err(|_| Error::fatal(format!("{name} is not a number")));
        self.good(parsed)
    }

    fn required(&mut self, name: &str) -> Option<String> {
        let value = self.optional(name);
        if value.is_none() {
            self.problems.push(format!("{name} is missing"));
        }
        value
    }

    fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn good<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.problems.push(error.message().to_owned())).ok()
    }
}

impl std::fmt::Debug for Settings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("problems", &self.problems).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_said_at_once() {
        let lookup = |name: &str| (name == "CONVEX_URL").then(|| "https://x.convex.cloud".to_owned());
        let settings = Settings::new(lookup, Http::network().unwrap());
        let error = settings.make(|settings| {
            let (convex, slack, neon) = (settings.convex(), settings.slack(), settings.neon());
            Some((convex?, slack?, neon?))
        });
        let expected = "settings: CONVEX_DEPLOY_KEY is missing; SLACK_WEBHOOK_URL is missing; NEON_DATABASE_URL is missing";
        assert_eq!(error.unwrap_err().message(), expected);
    }

    #[test]
    fn what_a_drop_is_judged_by_is_configuration() {
        let vlm = |steps: &'static str, fraction: &'static str| {
            let lookup = move |name: &str| {
                let value = match name {
                    "VLM_URL" => "http://127.0.0.1:1",
                    "FOTO_STEPS" => steps,
                    "FOTO_PASS_FRACTION" => fraction,
                    _ => return None,
                };
                Some(value.to_owned())
            };
            Settings::new(lookup, Http::network().unwrap()).make(Settings::vlm)
        };
        vlm("", "").unwrap();
        vlm(r#"[{"name":"router","label":"The router"}]"#, "0.5").unwrap();
        for (steps, fraction, says) in [
            ("router", "", "FOTO_STEPS: expected"),
            ("[]", "", "expected 1 to 50"),
            (r#"[{"name":"a"}]"#, "", "missing field `label`"),
            ("", "most", "FOTO_PASS_FRACTION is not a number"),
            ("", "70", "pass fraction: expected"),
        ] {
            let error = vlm(steps, fraction).unwrap_err();
            assert!(error.message().contains(says), "{error}");
        }
    }
}
