//! What a person does from a console or a command line. Each deed leaves a line in the audit trail, before and after.

use std::{fmt, future::Future};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Action, ActionResult, AuditEntry, Blobs, CannotRerun, Checkpoint, Cursor, Desk, Envelope, Error,
    LARGEST_PAGE, Page, PageRequest, Pause, Payload, Redriven, Rerun, Run, RunFilter, RunId, Status,
    StepState, event_again, records_taken_over, run_again,
};

/// Why a deed was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionError {
    /// There is no such thing.
    NotFound {
        /// What kind of thing: a run, an event, a workflow, a dead letter.
        what: &'static str,
        /// Its id or name.
        id: String,
    },
    /// It is in a state in which this cannot be done to it; says which.
    Conflict(String),
    /// Something that was said is wrong.
    Invalid {
        /// What.
        field: &'static str,
        /// What was expected.
        expected: String,
    },
    /// The backend did not do it. Nobody knows how much of it was done; doing it again is safe.
    Failed(Error),
}

impl fmt::Display for ActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { what, id } => write!(f, "there is no {what} {id}"),
            Self::Conflict(reason) => f.write_str(reason),
            Self::Invalid { field, expected } => write!(f, "{field}: expected {expected}"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ActionError {}

impl From<Error> for ActionError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

type Acted<T> = Result<T, ActionError>;

/// The same deed for many runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bulk {
    /// What to do.
    pub action: BulkAction,
    /// To which runs. Without statuses: those that have not ended are cancelled, those that failed or were cancelled are
    /// run again.
    pub filter: RunFilter,
    /// Only say which runs it would be done to.
    pub dry_run: bool,
    /// To how many at once, and from which on.
    #[serde(skip)]
    pub page: PageRequest,
    /// Tells two wishes from one that is repeated; see [`Rerun::request`].
    pub request: String,
}

/// What is done to many runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// End them.
    Cancel,
    /// Run them again from their beginning.
    Rerun,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BulkResult {
    /// The runs it was, or would be, done to.
    pub runs: Vec<RunId>,
    /// Those to which it could not be done.
    pub failed: Vec<BulkFailure>,
    /// Where to go on, when there may be more.
    pub next: Option<Cursor>,
}

/// A run to which it could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BulkFailure {
    /// Which.
    pub run_id: RunId,
    /// Why.
    pub reason: String,
}

/// How many runs of a bulk are acted on at once.
const AT_ONCE: usize = 16;

impl Desk {
    /// Ends a run that has not ended; the run as it is now.
    pub async fn cancel(&self, who: &str, run: &RunId) -> Acted<Run> {
        self.audited(who, Action::Cancel, run.as_str(), Value::Null, async |_| self.cancel_run(run).await)
            .await
    }

    async fn cancel_run(&self, id: &RunId) -> Acted<Run> {
        let before = self.found(id).await?;
        if before.status.is_final() {
            return Err(ended(&before));
        }
        let now = self.ports.clock.now();
        let run = self.ports.journal.cancel(id, now).await?.ok_or_else(|| no_run(id))?;
        // What flow control holds for it is given back by whoever hears of it: here its services are not known.
        self.ports.wakeups.wake(&run.workflow, id, now).await?;
        // It may have ended by itself in between.
        if run.status == Status::Cancelled { Ok(run) } else { Err(ended(&run)) }
    }

    /// Starts a run that has ended again, as a new run of the same event; the new run's id. A request that is repeated
    /// finds the run it made before.
    pub async fn rerun(&self, who: &str, run: &RunId, rerun: &Rerun) -> Acted<RunId> {
        let from = rerun.from.as_ref().map(ToString::to_string);
        let id = RunId::rerun(run, &rerun.request);
        let detail = json!({"run": id, "from": from, "output_given": rerun.output.is_some()});
        self.audited(who, Action::Rerun, run.as_str(), detail, async |now| {
            self.rerun_run(run, rerun, now).await
        })
        .await
    }

    async fn rerun_run(&self, id: &RunId, rerun: &Rerun, now: Timestamp) -> Acted<RunId> {
        let run = self.found(id).await?;
        if !run.status.is_final() {
            let status = run.status;
            return Err(ActionError::Conflict(format!(
                "run {id} is {status}: only one that has ended can be run again"
            )));
        }
        let records =
            if rerun.from.is_some() { self.ports.journal.checkpoints(id).await? } else { Vec::new() };
        let taken = records_taken_over(&records, rerun, now).map_err(|reason| cannot_rerun(reason, rerun))?;
        let again = run_again(&run, &rerun.request, now);
        let taken = own(taken, &again.id, &*self.ports.blobs).await?;
        self.history.create(&again, &taken).await?;
        self.ports.wakeups.wake(&again.workflow, &again.id, now).await?;
        Ok(again.id)
    }

    /// Sends an event.
    pub async fn send(&self, who: &str, event: &Envelope) -> Acted<()> {
        let detail = json!({"name": event.name});
        self.audited(who, Action::Send, &event.id, detail, async |_| {
            Ok(self.ports.bus.publish(std::slice::from_ref(event)).await?)
        })
        .await
    }

    /// Sends an event of the past again: as an event of its own, so that what it starts is started again. A request that
    /// is repeated sends the same event.
    pub async fn resend(&self, who: &str, event_id: &str, request: &str) -> Acted<Envelope> {
        let detail = json!({"request": request});
        self.audited(who, Action::Resend, event_id, detail, async |now| {
            let event = self.event(event_id).await?;
            let event = event.ok_or_else(|| not_found("event", event_id))?.event;
            let again = event_again(&event, request, now);
            self.ports.bus.publish(std::slice::from_ref(&again)).await?;
            Ok(again)
        })
        .await
    }

    /// Gives a dead letter another chance.
    pub async fn redrive(&self, who: &str, id: &str) -> Acted<Redriven> {
        self.audited(who, Action::Redrive, id, Value::Null, async |now| {
            self.dead_letters.redrive(id, now).await?.ok_or_else(|| not_found("dead letter", id))
        })
        .await
    }

    /// Gives all dead letters of a workflow another chance; how many.
    pub async fn redrive_all(&self, who: &str, workflow: &str) -> Acted<u64> {
        self.audited(who, Action::Redrive, workflow, json!({"all": true}), async |now| {
            self.known(workflow)?;
            let mut all = 0;
            loop {
                let some = self.dead_letters.redrive_all(workflow, now).await?;
                all += some;
                // Fewer than a backend takes at once: there are no more.
                if some < LARGEST_PAGE as u64 {
                    return Ok(all);
                }
            }
        })
        .await
    }

    /// Drops a dead letter for good.
    pub async fn discard(&self, who: &str, id: &str) -> Acted<()> {
        self.audited(who, Action::Discard, id, Value::Null, async |_| {
            let gone = self.dead_letters.discard(id).await?;
            if gone { Ok(()) } else { Err(not_found("dead letter", id)) }
        })
        .await
    }

    /// Keeps a workflow from starting runs; see [`Pauses`](crate::Pauses).
    pub async fn pause(&self, who: &str, workflow: &str) -> Acted<Pause> {
        self.audited(who, Action::Pause, workflow, Value::Null, async |now| {
            self.known(workflow)?;
            let pause = Pause { workflow: workflow.to_owned(), since: now, by: who.to_owned() };
            let is_new = self.ports.pauses.pause(&pause).await?;
            if is_new {
                Ok(pause)
            } else {
                Err(ActionError::Conflict(format!("{workflow} is paused already")))
            }
        })
        .await
    }

    /// Lets a paused workflow start runs again, beginning with those that waited for it.
    pub async fn resume(&self, who: &str, workflow: &str) -> Acted<()> {
        self.audited(who, Action::Resume, workflow, Value::Null, async |now| {
            self.known(workflow)?;
            let was_paused = self.ports.pauses.unpause(workflow, now).await?;
            if was_paused { Ok(()) } else { Err(ActionError::Conflict(format!("{workflow} is not paused"))) }
        })
        .await
    }

    /// Does the same to the runs of a page of a filter, or with `dry_run` only says which these are. Each run has its line
    /// in the audit trail.
    pub async fn bulk(&self, who: &str, bulk: &Bulk) -> Acted<BulkResult> {
        let filter = bulk.filter();
        let Page { items, next } = self.history.runs(&filter, &bulk.page).await?;
        let runs: Vec<_> = items.into_iter().map(|run| run.id).collect();
        if bulk.dry_run {
            return Ok(BulkResult { runs, failed: Vec::new(), next });
        }
        let acted = stream::iter(runs.clone()).map(|run| async move {
            let acted = match bulk.action {
                BulkAction::Cancel => self.cancel(who, &run).await.map(drop),
                BulkAction::Rerun => {
                    let rerun = Rerun { request: bulk.request.clone(), ..Rerun::default() };
                    self.rerun(who, &run, &rerun).await.map(drop)
                }
            };
            acted.err().map(|error| BulkFailure { run_id: run, reason: error.to_string() })
        });
        let failed: Vec<_> = acted.buffered(AT_ONCE).collect().await;
        let failed: Vec<_> = failed.into_iter().flatten().collect();
        let runs =
            runs.into_iter().filter(|run| failed.iter().all(|failure| failure.run_id != *run)).collect();
        Ok(BulkResult { runs, failed, next })
    }

    async fn found(&self, id: &RunId) -> Acted<Run> {
        self.ports.journal.run(id).await?.ok_or_else(|| no_run(id))
    }

    fn known(&self, workflow: &str) -> Acted<()> {
        self.definition(workflow).map(drop).ok_or_else(|| not_found("workflow", workflow))
    }

    /// Does it, with a line in the audit trail before and after.
    pub(crate) async fn audited<T, Fut: Future<Output = Acted<T>>>(
        &self,
        who: &str,
        action: Action,
        target: &str,
        detail: Value,
        act: impl FnOnce(Timestamp) -> Fut,
    ) -> Acted<T> {
        let now = self.ports.clock.now();
        let random = &self.ports.random;
        let mut entry = AuditEntry {
            id: format!("{:016x}{:016x}", random.bits(), random.bits()),
            at: now,
            who: who.to_owned(),
            action,
            target: target.to_owned(),
            detail,
            result: ActionResult::Asked,
        };
        self.history.note(&entry).await?;
        let acted = act(now).await;
        entry.result = match &acted {
            Ok(_) => ActionResult::Done,
            Err(error) => ActionResult::Failed(error.to_string()),
        };
        if let Err(error) = self.history.note(&entry).await {
            // It was done, and who asked for it is on record.
            tracing::error!(action = action.as_str(), target, %error, "cannot complete the audit trail");
        }
        acted
    }
}

impl Bulk {
    /// The filter, with the statuses that the deed is for.
    fn filter(&self) -> RunFilter {
        let mut filter = self.filter.clone();
        if filter.statuses.is_empty() {
            filter.statuses = match self.action {
                BulkAction::Cancel => vec![Status::Queued, Status::Running, Status::Waiting],
                BulkAction::Rerun => vec![Status::Failed, Status::Cancelled],
            };
        }
        filter
    }
}

/// Large values belong to the run that made them and go with it: what another run takes over is kept anew.
pub(crate) async fn own(
    records: Vec<Checkpoint>,
    run: &RunId,
    blobs: &dyn Blobs,
) -> crate::Result<Vec<Checkpoint>> {
    let mut owned = Vec::with_capacity(records.len());
    for mut record in records {
        if let StepState::Completed { output: output @ Payload::Blob { .. } } = &mut record.state {
            let key = format!("runs/{run}/steps/{}", record.step);
            *output = Payload::keep(output.json(blobs).await?, &key, blobs).await?;
        }
        owned.push(record);
    }
    Ok(owned)
}

fn not_found(what: &'static str, id: &str) -> ActionError {
    ActionError::NotFound { what, id: id.to_owned() }
}

fn no_run(id: &RunId) -> ActionError {
    not_found("run", id.as_str())
}

fn ended(run: &Run) -> ActionError {
    ActionError::Conflict(format!("run {} had ended already: it is {}", run.id, run.status))
}

fn cannot_rerun(reason: CannotRerun, rerun: &Rerun) -> ActionError {
    let step = rerun.from.as_ref().map(ToString::to_string).unwrap_or_default();
    let (field, expected) = match reason {
        CannotRerun::NoSuchStep => ("from", format!("a step the run has reached, and it has no {step}")),
        CannotRerun::OutputWithoutStep => ("from", "the step whose output is given".to_owned()),
        CannotRerun::StepWithoutOutput(kind) => {
            ("output", format!("none: {step} is a {}, which has no output", kind.as_str()))
        }
        CannotRerun::Output(reason) => ("output", format!("JSON: {reason}")),
    };
    ActionError::Invalid { field, expected }
}
