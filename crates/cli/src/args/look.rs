//! Commands that look.

use clap::Args;

use super::{Matching, When, filter::when};

/// List runs, newest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow runs --workflow build-agent --status waiting
  fibreflow runs --since 2h --status failed --status cancelled
  fibreflow runs --key build-agent:sharepoint
  fibreflow runs --watch                            again and again, until stopped
  fibreflow runs --limit 0 --json | jq -r '.[] | select(.status == \"failed\") | .run_id'")]
pub(crate) struct Runs {
    #[command(flatten)]
    pub(crate) matching: Matching,

    /// At most so many; 0 for all.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) limit: usize,

    /// Stay, and show what changes. With --json, a line for each run that is new or has changed.
    #[arg(long)]
    pub(crate) watch: bool,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show a run and its steps: when each began and how long it took, each failed attempt, and what the run waits for.
///
/// With --follow, the command ends with the run: with exit code 0 if it completed, else 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow show 3f2a
  fibreflow show 3f2a --follow
  fibreflow show 3f2a --json | jq '.steps[] | select(.status == \"failed\")'")]
pub(crate) struct Show {
    /// The run's id, or as much of its start as no other has.
    pub(crate) run: String,

    /// Stay until the run has ended, and show what changes. With --json, a line for each change.
    #[arg(long)]
    pub(crate) follow: bool,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// List events, newest first, and the runs each started; or show one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow events --name foto/evaluation.requested --since 1d
  fibreflow events order-17                         its data, and what it started")]
pub(crate) struct Events {
    /// The event's id, to show that one.
    pub(crate) id: Option<String>,

    /// Only of this name.
    #[arg(long, conflicts_with = "id")]
    pub(crate) name: Option<String>,

    /// Only those sent since: so long ago (90m, 2h, 3d), or a time such as 2026-03-01T12:00:00Z.
    #[arg(long, value_name = "WHEN", value_parser = when, conflicts_with = "id")]
    pub(crate) since: Option<When>,

    /// Only those sent before.
    #[arg(long, value_name = "WHEN", value_parser = when, conflicts_with = "id")]
    pub(crate) until: Option<When>,

    /// At most so many, up to 1,000.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) limit: usize,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// List the workflows: what starts them, how their runs flow, and how these have fared.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow workflows
  fibreflow workflows --since 7d --json             with the numbers of every hour")]
pub(crate) struct Workflows {
    /// Numbers since: so long ago (90m, 2h, 3d), or a time such as 2026-03-01T12:00:00Z.
    #[arg(long, value_name = "WHEN", value_parser = when, default_value = "24h")]
    pub(crate) since: When,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// List the flow-control keys in use: who holds them, who waits, what is reserved; or show one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow keys
  fibreflow keys build-agent:                       those that begin so
  fibreflow keys build-agent:sharepoint             one: its holders and its line")]
pub(crate) struct Keys {
    /// A key, or what keys begin with.
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) key: String,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show all that happens, as it happens: events, runs, steps and failed attempts, of every workflow.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow tail
  fibreflow tail --workflow send-whatsapp
  fibreflow tail --json | jq -c 'select(.error)'")]
pub(crate) struct Tail {
    /// Only of this workflow; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Vec<String>,

    /// A JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show whether all is well: queues, the oldest run that has not started, what is overdue, when that was last looked for.
#[derive(Debug, Args)]
pub(crate) struct Health {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// List messages that were given up, and why.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow dead-letters
  fibreflow dead-letters --workflow send-whatsapp --json")]
pub(crate) struct DeadLetters {
    /// Only of this workflow.
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Option<String>,

    /// At most so many, up to 1,000.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) limit: usize,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// List what people did: who, when, what, to what, and how it ended.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow audit --since 7d
  fibreflow audit --target build-agent")]
pub(crate) struct Audit {
    /// Only what was done to this run, event, workflow or dead letter.
    #[arg(long, value_name = "ID")]
    pub(crate) target: Option<String>,

    /// Only since: so long ago (90m, 2h, 3d), or a time such as 2026-03-01T12:00:00Z.
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub(crate) since: Option<When>,

    /// At most so many, up to 1,000.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: usize,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
