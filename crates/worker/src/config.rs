//! `worker.toml`: what the worker may do, and where its jobs come from. All that is wrong with it is said at start.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use durable::{Error, Result, hours, minutes, seconds};
use serde::Deserialize;
use url::Url;

use crate::secret::{Secrets, Source};

/// What the worker may do, and where its jobs come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What people call it. What tells it from others is kept in `state`: so it knows its own jobs after a restart.
    pub name: String,
    /// A folder of its own, for what must outlast a restart.
    pub state: PathBuf,
    /// How many jobs at once.
    #[serde(default = "four")]
    pub parallelism: usize,
    /// How long commands may go on once the worker was told to stop; then their jobs go back.
    #[serde(default = "half_a_minute", with = "span")]
    pub grace: Duration,
    /// How long a job is safe from other workers without being prolonged.
    #[serde(default = "two_minutes", with = "span")]
    pub lease: Duration,
    /// Where its jobs come from.
    pub queue: Queue,
    /// Programs it may run, by name.
    #[serde(default)]
    pub commands: BTreeMap<String, Command>,
    /// Services it may reach, by name.
    #[serde(default)]
    pub services: BTreeMap<String, Service>,
}

/// Where jobs come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected home = FOLDER, or jobs, replies and bucket of AWS")]
pub enum Queue {
    /// From the `fibreflow dev` whose folder this is.
    Home(Home),
    /// From SQS.
    Aws(AwsQueue),
}

/// A folder of `fibreflow dev`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Home {
    /// The folder.
    pub home: PathBuf,
}

/// Queues and a bucket on AWS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsQueue {
    /// The URL of the queue that has the jobs.
    pub jobs: String,
    /// The URL of the queue that answers go to, by workflow. Work of others is not done.
    pub replies: BTreeMap<String, String>,
    /// The bucket that has what is too large for a message, and the claims.
    pub bucket: String,
}

/// A program that may be run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program and its arguments. No shell reads it, and nothing from a job becomes part of it.
    pub program: Vec<String>,
    /// Where it runs; else in a folder of the job's own.
    pub folder: Option<PathBuf>,
    /// The longest it may run, whatever the job says.
    #[serde(default = "an_hour", with = "span")]
    pub limit: Duration,
    /// How long it has to end after SIGTERM, before SIGKILL.
    #[serde(default = "ten_seconds", with = "span")]
    pub grace: Duration,
    /// Variables of the worker's environment that it is given, besides PATH, HOME, LANG and TZ.
    #[serde(default)]
    pub pass: Vec<String>,
    /// Variables with secrets.
    #[serde(default)]
    pub secrets: BTreeMap<String, Source>,
    /// A field of the input: of jobs that agree in it, one runs at a time.
    pub one_at_a_time_by: Option<String>,
}

/// A service that may be reached.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Where it is.
    pub base: Url,
    /// Which paths below that may be asked for; all when there are none.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Headers with secrets. A job's own headers never replace them.
    #[serde(default)]
    pub headers: BTreeMap<String, Source>,
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .map_err(|error| Error::fatal(format!("cannot read {}: {error}", path.display())))?;
        Self::parse(&text).map_err(|error| error.context(path.display()))
    }

    /// Reads the text of one.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text).map_err(|error| Error::fatal(error.to_string()))?;
        let problems = config.problems();
        if problems.is_empty() { Ok(config) } else { Err(Error::fatal(problems.join("; "))) }
    }

    /// Whether every secret can be read: better known at start than with the first job.
    pub fn check_secrets(&self) -> Result<()> {
        let of = |kind: &'static str, name: &str, sources| {
            Secrets::read(sources).map(drop).map_err(|error| error.context(format!("{kind}.{name}")))
        };
        self.commands.iter().try_for_each(|(name, command)| of("commands", name, &command.secrets))?;
        self.services.iter().try_for_each(|(name, service)| of("services", name, &service.headers))
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.name.is_empty() || !self.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            problems.push("name: expected letters, digits, -, _ and .".to_owned());
        }
        if self.parallelism == 0 {
            problems.push("parallelism: expected at least 1".to_owned());
        }
        if self.lease < seconds(1) {
            problems.push("lease: expected at least 1s".to_owned());
        }
        if self.commands.is_empty() && self.services.is_empty() {
            problems.push("commands, services: expected at least one of either".to_owned());
        }
        for (name, command) in &self.commands {
            // Found by PATH, it would be whatever stands first there.
            if !command.program.first().is_some_and(|program| Path::new(program).is_absolute()) {
                problems.push(format!("commands.{name}.program: expected an absolute path and arguments"));
            }
        }
        for (name, Service { base, .. }) in &self.services {
            let is_plain = base.username().is_empty() && base.password().is_none() && base.query().is_none();
            if !matches!(base.scheme(), "http" | "https") || base.host().is_none() || !is_plain {
                problems.push(format!(
                    "services.{name}.base: expected http(s)://host/path without user, password and query"
                ));
            }
        }
        problems
    }
}

fn four() -> usize {
    4
}

fn ten_seconds() -> Duration {
    seconds(10)
}

fn half_a_minute() -> Duration {
    seconds(30)
}

fn two_minutes() -> Duration {
    minutes(2)
}

fn an_hour() -> Duration {
    hours(1)
}

/// Spans such as `90s`, `45m`, `1h 30m`.
mod span {
    use std::time::Duration;

    use jiff::SignedDuration;
    use serde::{Deserialize, Deserializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        let span: SignedDuration =
            text.parse().map_err(|_| D::Error::custom(format!("{text:?}: expected a time such as 45m")))?;
        Duration::try_from(span).map_err(|_| D::Error::custom(format!("{text:?}: expected no negative time")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str =
        "name = \"vps-1\"\nstate = \"/var/lib/worker\"\nqueue = { home = \"/srv/fibreflow\" }\n";

    fn problem(rest: &str) -> String {
        Config::parse(&format!("{START}{rest}")).unwrap_err().message().to_owned()
    }

    #[test]
    fn the_example_is_one() {
        let config = Config::parse(include_str!("../../../infra/worker/worker.toml")).unwrap();
        assert_eq!(config.commands["harness"].one_at_a_time_by.as_deref(), Some("agent_name"));
        assert!(matches!(config.queue, Queue::Aws(_)));
    }

    #[test]
    fn the_unit_gives_the_example_what_it_names_and_the_time_it_takes_to_stop() {
        let config = Config::parse(include_str!("../../../infra/worker/worker.toml")).unwrap();
        let unit = include_str!("../../../infra/worker/fibreflow-worker.service");
        let secrets = config.commands.values().flat_map(|command| command.secrets.values());
        for source in secrets.chain(config.services.values().flat_map(|service| service.headers.values())) {
            let Source::File(path) = source else { panic!("{source:?}") };
            let name = path.strip_prefix("/run/credentials/fibreflow-worker.service").unwrap().display();
            assert!(unit.contains(&format!("\nLoadCredential={name}:")), "{name}");
        }
        assert!(unit.contains("\nStateDirectory=fibreflow-worker\n"));
        assert_eq!(config.state, Path::new("/var/lib/fibreflow-worker"));
        for command in config.commands.values() {
            let folder = command.folder.as_ref().unwrap().display();
            assert!(unit.contains(&format!("ReadWritePaths={folder}\n")), "{folder}");
            assert!(config.grace + command.grace < seconds(90) && unit.contains("\nTimeoutStopSec=90s\n"));
        }
    }

    #[test]
    fn what_is_not_said_has_a_sensible_value() {
        let config =
            Config::parse(&format!("{START}[commands.x]\nprogram = [\"/bin/x\"]\nlimit = \"45m\"")).unwrap();
        assert_eq!((config.parallelism, config.grace, config.lease), (4, seconds(30), minutes(2)));
        let command = &config.commands["x"];
        assert_eq!((command.limit, command.grace), (minutes(45), seconds(10)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (rest, says) in [
            ("", "commands, services: expected at least one"),
            ("parallelism = 0\n[services.x]\nbase = \"http://h\"", "parallelism: expected at least 1"),
            ("[commands.x]\nprogram = [\"sh\"]", "commands.x.program: expected an absolute path"),
            ("[commands.x]\nprogram = []", "commands.x.program: expected an absolute path"),
            ("[commands.x]\nprogram = \"/bin/sh -c x\"", "program"),
            ("[commands.x]\nprogram = [\"/x\"]\nlimit = \"soon\"", "expected a time such as 45m"),
            ("[commands.x]\nprogram = [\"/x\"]\nshell = true", "unknown field `shell`"),
            ("[services.x]\nbase = \"ftp://h\"", "services.x.base: expected http(s)"),
            ("[services.x]\nbase = \"http://me:secret@h\"", "services.x.base: expected http(s)"),
        ] {
            assert!(problem(rest).contains(says), "{rest}: {}", problem(rest));
        }
        let queue = START.replace("home", "house");
        let error = Config::parse(&format!("{queue}[services.x]\nbase = \"http://h\"")).unwrap_err();
        assert!(error.message().contains("expected home = FOLDER"), "{error}");
    }
}
