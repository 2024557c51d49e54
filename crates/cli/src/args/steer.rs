//! Commands that steer. Each leaves a line in the audit trail, under the name of $FIBREFLOW_USER or $USER.

use clap::Args;
use clap_complete::Shell;

use super::Matching;

/// End a run that has not ended, or all that match.
///
/// A step that is at work is cut off, or its result is not recorded; no further step starts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow cancel 3f2a
  fibreflow cancel --workflow send-whatsapp --status queued --dry-run     first see which,
  fibreflow cancel --workflow send-whatsapp --status queued               then do it")]
pub(crate) struct Cancel {
    #[command(flatten)]
    pub(crate) which: Which,
}

/// Start a run that has ended again, as a new run of the same event; or all that match.
///
/// With --from, the results of the steps before that one are taken over, and it is the first to be made again. With
/// --output as well, that step is taken to have returned this, and the first to be made is the one after it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow rerun 3f2a
  fibreflow rerun 3f2a --from store-result
  fibreflow rerun 3f2a --from vlm-evaluate --output '{\"verdict\": \"PASS\"}'
  fibreflow rerun 3f2a --from check-service#2 --output @service.json
  fibreflow rerun --workflow evaluate-foto --status failed --since 1d --dry-run")]
pub(crate) struct Rerun {
    #[command(flatten)]
    pub(crate) which: Which,

    /// The first step that is made again: its name, and #N for the n-th use of the name.
    #[arg(long, value_name = "STEP", requires = "run")]
    pub(crate) from: Option<String>,

    /// What that step is to have returned: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON", requires = "from")]
    pub(crate) output: Option<String>,

    /// Tells two wishes from one that is repeated: a rerun asked for again under one request id is one rerun.
    #[arg(long, value_name = "ID")]
    pub(crate) request: Option<String>,
}

/// One run, or all that match.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The run's id, or as much of its start as no other has.
    #[arg(conflicts_with_all = ["workflow", "status", "since", "until", "event", "event_name", "key", "text"])]
    pub(crate) run: Option<String>,

    #[command(flatten)]
    pub(crate) matching: Matching,

    /// Only say which runs it would be done to.
    #[arg(long, conflicts_with = "run")]
    pub(crate) dry_run: bool,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Which {
    /// Whether anything says which.
    pub(crate) fn is_said(&self) -> bool {
        let matching = &self.matching;
        let texts = [&matching.event, &matching.event_name, &matching.key, &matching.text, &self.run];
        !matching.workflow.is_empty()
            || !matching.status.is_empty()
            || matching.since.is_some()
            || matching.until.is_some()
            || texts.into_iter().any(Option::is_some)
    }
}

/// Send an event of the past again, under an id of its own, so that what it starts is started again.
#[derive(Debug, Args)]
pub(crate) struct Resend {
    /// The event's id.
    pub(crate) event: String,

    /// Tells two wishes from one that is repeated: an event sent again under one request id is sent once.
    #[arg(long, value_name = "ID")]
    pub(crate) request: Option<String>,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Keep a workflow from starting runs.
///
/// Its events and schedules are accepted and their runs queue up; runs that had started go on to their end. On AWS it takes
/// effect within 15 seconds.
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// The workflow.
    pub(crate) workflow: String,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Let a paused workflow start runs again, beginning with those that waited for it.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// The workflow.
    pub(crate) workflow: String,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Give a dead letter another chance, or all of a workflow.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fibreflow dead-letters
  fibreflow redrive 17
  fibreflow redrive --workflow send-whatsapp")]
pub(crate) struct Redrive {
    /// The dead letter's id.
    #[arg(required_unless_present = "workflow", conflicts_with = "workflow")]
    pub(crate) letter: Option<String>,

    /// All of this workflow.
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Option<String>,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Drop a dead letter for good.
#[derive(Debug, Args)]
pub(crate) struct Discard {
    /// The dead letter's id.
    pub(crate) letter: String,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Print what a shell needs to complete this command's words with the tab key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(fibreflow completions bash)
  fibreflow completions zsh > ~/.zfunc/_fibreflow
  fibreflow completions fish > ~/.config/fish/completions/fibreflow.fish")]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: Shell,
}
