//! Runs as they are shown.

use durable::{Cause, LineView, Run, RunSummary, RunView, SentEvent, Status};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{ErrorItem, StepItem, Wait, milliseconds};
use crate::mask::{self, Mask};

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RunItem {
    /// Its id.
    pub(crate) run_id: String,
    /// The workflow it is a run of.
    pub(crate) workflow: String,
    /// Where it stands.
    pub(crate) status: RunStatus,
    /// The event that caused it.
    pub(crate) event_id: String,
    /// That event's name.
    pub(crate) event_name: String,
    /// When it was accepted.
    pub(crate) created_at: Timestamp,
    /// When it had its slot and its turn.
    pub(crate) started_at: Option<Timestamp>,
    /// When it ended.
    pub(crate) ended_at: Option<Timestamp>,
    /// From its start to its end, in milliseconds.
    pub(crate) took_ms: Option<u64>,
    /// What it waits for; the earliest first.
    pub(crate) waits_for: Vec<Wait>,
    /// Why it failed. Null as well among the runs of an event, where it is not looked up.
    pub(crate) error: Option<ErrorItem>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunStatus {
    /// Accepted, and no step started.
    Queued,
    /// An invocation is at work on it.
    Running,
    /// Between two invocations.
    Waiting,
    /// Ended with an output.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended by a person.
    Cancelled,
}

impl RunStatus {
    /// All there are, in the order of a run's life.
    pub(crate) const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Waiting, Self::Completed, Self::Failed, Self::Cancelled];

    pub(crate) fn engine(self) -> Status {
        match self {
            Self::Queued => Status::Queued,
            Self::Running => Status::Running,
            Self::Waiting => Status::Waiting,
            Self::Completed => Status::Completed,
            Self::Failed => Status::Failed,
            Self::Cancelled => Status::Cancelled,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        self.engine().as_str()
    }

    pub(crate) fn is_final(self) -> bool {
        self.engine().is_final()
    }
}

impl From<Status> for RunStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Queued => Self::Queued,
            Status::Running => Self::Running,
            Status::Waiting => Self::Waiting,
            Status::Completed => Self::Completed,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

impl RunItem {
    pub(crate) fn of(run: RunSummary, now: Timestamp) -> Self {
        // What a run that is at work waited for before is over.
        let waits = !run.status.is_final() && run.status != Status::Running;
        Self {
            run_id: run.run_id.as_str().to_owned(),
            workflow: run.workflow,
            status: run.status.into(),
            event_id: run.event_id,
            event_name: run.event_name,
            created_at: run.created_at,
            started_at: run.started_at,
            ended_at: run.ended_at,
            took_ms: run.started_at.zip(run.ended_at).map(|(from, to)| milliseconds(from, to)),
            waits_for: run.waiting_for.iter().filter(|_| waits).map(|wait| Wait::of(wait, now)).collect(),
            error: None,
        }
    }

    /// As a run by itself is shown in a list.
    pub(crate) fn of_run(run: &Run, now: Timestamp) -> Self {
        Self { error: run.error.as_ref().map(ErrorItem::of), ..Self::of(RunSummary::of(run), now) }
    }

    /// As much of its id as is shown in a list.
    pub(crate) fn short_id(&self) -> &str {
        short_id(&self.run_id)
    }
}

/// As much of a run's id as is shown where a whole one is too long.
pub(crate) fn short_id(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// A run with all that is known of it and of what it is tied to.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RunDetail {
    /// The run.
    #[serde(flatten)]
    pub(crate) run: RunItem,
    /// Its event's data, sensitive fields masked.
    pub(crate) data: Value,
    /// What it answered, sensitive fields masked. Null as well when it is large: see `output_bytes`.
    pub(crate) output: Option<Value>,
    /// The length of its output's JSON, when that is too large to stand here.
    pub(crate) output_bytes: Option<usize>,
    /// Its flow-control key.
    pub(crate) key: Option<String>,
    /// The run that a person started again with this one.
    pub(crate) rerun_of: Option<String>,
    /// The step that sent its event, if one did.
    pub(crate) caused_by: Option<CauseItem>,
    /// Its steps, in the order in which they were first recorded.
    pub(crate) steps: Vec<StepItem>,
    /// The events it sent, and the runs these started (of the first 50).
    pub(crate) sent: Vec<SentItem>,
    /// While it waits for a slot: who holds the key and who waits.
    pub(crate) line: Option<LineItem>,
}

/// A step that sent an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CauseItem {
    /// Its run.
    pub(crate) run_id: String,
    /// The step.
    pub(crate) step: String,
}

/// An event that a run sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct SentItem {
    /// By which step.
    pub(crate) step: String,
    /// The event's id.
    pub(crate) event_id: String,
    /// What it started.
    pub(crate) runs: Vec<RunItem>,
}

/// A concurrency key as a run in its line sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct LineItem {
    /// The key.
    pub(crate) key: String,
    /// How many runs may hold it at once.
    pub(crate) slots: u32,
    /// The runs that hold it.
    pub(crate) holders: Vec<String>,
    /// The run's place among those who wait, from 1.
    pub(crate) position: Option<u32>,
    /// How many wait.
    pub(crate) waiting: u32,
}

impl CauseItem {
    pub(crate) fn of(cause: Cause) -> Self {
        Self { run_id: cause.run_id.as_str().to_owned(), step: cause.step }
    }

    pub(crate) fn short_id(&self) -> &str {
        short_id(&self.run_id)
    }
}

impl LineItem {
    fn of(line: LineView) -> Self {
        Self {
            key: mask::text(&line.key),
            slots: line.slots,
            holders: line.holders.iter().map(|run| run.as_str().to_owned()).collect(),
            position: line.position,
            waiting: line.waiting,
        }
    }
}

impl RunDetail {
    pub(crate) fn of(view: RunView, mask: &Mask, now: Timestamp) -> Self {
        let detail = view.detail;
        let sent = |sent: SentEvent| SentItem {
            step: sent.step.to_string(),
            event_id: sent.event_id,
            runs: sent.runs.into_iter().map(|run| RunItem::of(run, now)).collect(),
        };
        let (id, waiting_for) = (detail.summary.run_id.clone(), detail.summary.waiting_for.clone());
        let item = RunItem::of(detail.summary, now);
        let waits = item.waits_for.into_iter().zip(&waiting_for);
        let waits = waits.map(|(wait, of)| wait.answerable(of, &id, &detail.steps, mask));
        Self {
            run: RunItem {
                error: detail.error.as_ref().map(ErrorItem::of),
                waits_for: waits.collect(),
                ..item
            },
            data: mask.value(&detail.event.data),
            output: detail.output.map(|output| mask.value(&output)),
            output_bytes: detail.output_bytes,
            key: view.key.as_deref().map(mask::text),
            rerun_of: view.rerun_of.map(|run| run.as_str().to_owned()),
            caused_by: view.caused_by.map(CauseItem::of),
            steps: detail.steps.iter().map(|step| StepItem::of(step, mask)).collect(),
            sent: view.sent.into_iter().map(sent).collect(),
            line: view.line.map(LineItem::of),
        }
    }
}
