//! The command line.

mod filter;
mod look;
pub(crate) mod steer;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use durable::{Status, callback::Token};
use fibreflow::sandbox::Fault;

pub(crate) use filter::{Matching, When};
pub(crate) use look::{Audit, DeadLetters, Events, Health, Keys, Runs, Show, Tail, Workflows};
pub(crate) use steer::{Cancel, Completions, Discard, Pause, Redrive, Rerun, Resend, Resume};

const STATUSES: [Status; 6] =
    [Status::Queued, Status::Running, Status::Waiting, Status::Completed, Status::Failed, Status::Cancelled];

/// FibreFlow's durable workflows on one machine.
///
/// State is kept in one folder. Commands that read or write it work whether or not a server runs on it.
#[derive(Debug, Parser)]
#[command(
    name = "fibreflow",
    version,
    after_help = "\
Examples:
  fibreflow dev --sandbox --time-scale 60 --demo    watch every workflow at work, with no account anywhere
  fibreflow send agent/build.requested --data '{\"agent_name\": \"sharepoint\"}'
  fibreflow runs --status failed
  fibreflow --aws runs --status failed              the same, of a deployed stack
  fibreflow show 3f2a --follow                      the start of a run's id is enough
  fibreflow tail                                    all that happens, as it happens
  fibreflow rerun 3f2a --from store-result          once what made it fail is mended
  source <(fibreflow completions bash)              what the tab key knows"
)]
pub(crate) struct CommandLine {
    /// The folder that holds the state.
    #[arg(long, global = true, env = "FIBREFLOW_HOME", default_value = ".fibreflow", value_name = "FOLDER")]
    pub(crate) home: PathBuf,

    /// Work with the stack on AWS that the environment names (DURABLE_TABLE, DURABLE_BUS, …) instead of a folder.
    #[arg(long, global = true, env = "FIBREFLOW_AWS")]
    pub(crate) aws: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dev(Dev),
    Send(Send),
    Runs(Runs),
    Show(Show),
    Events(Events),
    Workflows(Workflows),
    Keys(Keys),
    Tail(Tail),
    Health(Health),
    Cancel(Cancel),
    Answer(Answer),
    Worker(Worker),
    Rerun(Rerun),
    Resend(Resend),
    Pause(Pause),
    Resume(Resume),
    DeadLetters(DeadLetters),
    Redrive(Redrive),
    Discard(Discard),
    Audit(Audit),
    Sandbox(Sandbox),
    ConsoleLink(ConsoleLink),
    Completions(Completions),
}

/// Run the workflows, their schedules and the HTTP interface, until stopped.
///
/// Whatever was under way when it stopped, or was killed, goes on when it is started again.
///
/// Services are found through the environment: HARNESS_URL, NEON_DATABASE_URL, CONVEX_URL, CONVEX_DEPLOY_KEY,
/// SLACK_WEBHOOK_URL, WHATSAPP_URL, WHATSAPP_SECRET, VLM_URL, PHOTO_ENDPOINT, PHOTO_BUCKETS. A workflow whose settings are
/// missing is left out; its runs wait until they are there. An address worker://NAME is reached by `fibreflow worker`. What
/// WhatsApp may be sent when: WHATSAPP_ACCOUNT_LIMITS (2/1m, 20/1h, 100/1d), WHATSAPP_PHONE_LIMITS (10/1m),
/// WHATSAPP_COOLDOWN (1h), WHATSAPP_QUIET_HOURS (20:00-06:00, South African time), WHATSAPP_TIME_TO_LIVE (24h), each of them
/// `off` if need be; WHATSAPP_SWITCH, a file or an address that says `on`, or why not. REGISTRY is a file that lists the
/// agents tasks are routed to, read again when it has changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow dev --sandbox --time-scale 60 --demo
  curl localhost:8288/events -d '{\"name\": \"databases/sync.requested\", \"data\": {}}'
  curl localhost:8288/runs")]
pub(crate) struct Dev {
    /// The port on 127.0.0.1; 0 takes one that is free.
    #[arg(long, default_value_t = 8288)]
    pub(crate) port: u16,

    /// Serve stand-ins for every service, and use these whatever the environment says.
    #[arg(long)]
    pub(crate) sandbox: bool,

    /// Make sleeps, retry delays, throttle windows, timeouts and sandbox services so many times quicker.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) time_scale: u32,

    /// Send an event for each workflow and two tasks to the orchestrator, and sum up how they ended.
    #[arg(long, requires = "sandbox")]
    pub(crate) demo: bool,

    /// Stop when the demo has ended; fail unless every run ended as it should.
    #[arg(long, requires = "demo")]
    pub(crate) once: bool,
}

/// Send an event.
///
/// It is written to the store. A server that runs on the store takes it up at once; if none runs, the next one does.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow send databases/sync.requested
  fibreflow send whatsapp/message.queued --data '{\"phone\": \"+27821234567\", \"message\": \"Drop DR1733758: PASS\"}'
  fibreflow send foto/evaluation.requested --data @events/foto.json
  jq -n '{agent_name: \"sharepoint\"}' | fibreflow send agent/build.requested --data - --id build-17")]
pub(crate) struct Send {
    /// The event's name.
    pub(crate) name: String,

    /// The event's data: JSON, @FILE, or - for standard input.
    #[arg(long, default_value = "{}", value_name = "JSON")]
    pub(crate) data: String,

    /// The event's id: an event sent again under one id starts nothing new.
    #[arg(long)]
    pub(crate) id: Option<String>,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Answer a step that waits for somebody outside, such as the approval of a deployment.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow answer 6a27….1.1.approve-deployment --data '{\"approved\": true, \"by\": \"Jan\"}'
  fibreflow answer 6a27….1.1.measure --fail 'the line is dead'")]
pub(crate) struct Answer {
    /// The token that the work was handed over with; `fibreflow show` has it.
    #[arg(value_parser = token)]
    pub(crate) token: Token,

    /// The result: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON", required_unless_present = "fail", conflicts_with = "fail")]
    pub(crate) data: Option<String>,

    /// It failed, and why. Whether it is tried again is for the workflow to say.
    #[arg(long, value_name = "TEXT")]
    pub(crate) fail: Option<String>,
}

/// Do what workflows leave to a worker: run commands and make requests, inside a private network.
///
/// It listens on no port. What it may do, and where its jobs come from, is in its configuration; docs/worker.md describes it.
/// SIGTERM stops it: it takes no more jobs, and what takes longer than the configured grace goes back.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow worker --config /etc/fibreflow/worker.toml
  fibreflow worker --config worker.toml --check     only see whether the configuration is sound")]
pub(crate) struct Worker {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,

    /// See whether the configuration is sound, and its secrets can be read; do nothing else.
    #[arg(long)]
    pub(crate) check: bool,
}

/// List the services of a running `dev --sandbox` and what can be wrong with them, or make something wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow sandbox                                 services and faults
  fibreflow sandbox whatsapp logged-out             until told otherwise
  fibreflow sandbox vlm model-missing --times 2     for two requests
  fibreflow sandbox whatsapp ok")]
pub(crate) struct Sandbox {
    /// The service.
    #[arg(requires = "fault")]
    pub(crate) service: Option<String>,

    /// What is wrong with it from now on; ok for nothing.
    #[arg(value_parser = fault)]
    pub(crate) fault: Option<Condition>,

    /// For so many requests only.
    #[arg(long, value_name = "N", requires = "fault", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) times: Option<u32>,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Make a link that signs somebody in to the console on AWS.
///
/// Whoever has the link can use it while it is good.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow console-link https://console.example.com --name ana@example.com
  fibreflow console-link https://console.example.com --name ana@example.com --role operator --minutes 5")]
pub(crate) struct ConsoleLink {
    /// Where people reach the console: https://NAME.
    pub(crate) url: String,

    /// Whom it signs in, as the audit trail names them.
    #[arg(long)]
    pub(crate) name: String,

    /// What they may do.
    #[arg(long, default_value = "viewer", value_parser = ["viewer", "operator"])]
    pub(crate) role: String,

    /// For how many minutes it is good.
    #[arg(long, default_value_t = 15, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub(crate) minutes: u32,

    /// The key that the console seals sessions with.
    #[arg(long, env = "CONSOLE_SESSION_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) session_key: String,
}

/// How a sandbox service is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Condition {
    Ok,
    Broken(Fault),
}

/// The status of this name.
pub(crate) fn status(name: &str) -> Option<Status> {
    STATUSES.into_iter().find(|status| status.as_str() == name)
}

fn token(text: &str) -> Result<Token, String> {
    text.parse().map_err(|error: durable::Error| error.message().to_owned())
}

fn fault(text: &str) -> Result<Condition, String> {
    if text == "ok" {
        return Ok(Condition::Ok);
    }
    let names = || Fault::ALL.map(|(fault, ..)| fault.to_string()).join(", ");
    text.parse().map(Condition::Broken).map_err(|error| format!("{error}: expected ok, {}", names()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn what_needs_another_option_says_so() {
        for line in [&["dev", "--demo"][..], &["dev", "--sandbox", "--once"], &["sandbox", "vlm"]] {
            let error = CommandLine::try_parse_from([&["fibreflow"], line].concat()).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line:?}");
        }
    }

    #[test]
    fn a_fault_that_is_none_lists_those_there_are() {
        assert!(matches!(fault("hang"), Ok(Condition::Broken(Fault::Hang))));
        assert!(fault("fire").unwrap_err().contains("logged-out"));
    }
}
