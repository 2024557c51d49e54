//! What a console shows: runs, events, workflows and keys with all that belongs to them, each in a bounded number of
//! requests. What it does is in `actions`.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    Checkpoint, DeadLetters, Definition, Envelope, EventFilter, History, Keys, Line, Page, PageRequest,
    Pause, Payload, Ports, Result, Run, RunDetail, RunFilter, RunId, RunSummary, StepId, StepKind, StepState,
    Vitals, WaitingFor, WorkflowStatistics, line::Place,
};

/// Of how many events that a run sent, the runs are looked up.
const SENT: usize = 50;

/// All that is there to see and to steer, of one backend.
///
/// Made by the backend: `Store::desk`, `Aws::desk`, `World::desk`.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is named after its port")]
pub struct Desk {
    pub ports: Ports,
    pub history: Arc<dyn History>,
    pub keys: Arc<dyn Keys>,
    pub dead_letters: Arc<dyn DeadLetters>,
    pub vitals: Arc<dyn Vitals>,
    /// The workflows there are.
    pub definitions: Arc<[Definition]>,
}

/// A run with all that is known of it and of what it is tied to.
#[derive(Debug, Serialize)]
pub struct RunView {
    /// The run and its steps. Large values are left out; see [`Desk::output`] and [`Desk::step_output`].
    #[serde(flatten)]
    pub detail: RunDetail,
    /// Its flow-control key.
    pub key: Option<String>,
    /// The run that was run again with this one.
    pub rerun_of: Option<RunId>,
    /// The step that sent the event which started it, if one did.
    pub caused_by: Option<Cause>,
    /// The events it sent, in order, and the runs these started; those of the first 50 only.
    pub sent: Vec<SentEvent>,
    /// While it waits for a slot: who holds the key and who waits.
    pub line: Option<LineView>,
}

/// A step that sent an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Its run.
    pub run_id: RunId,
    /// The step, as it is shown: `name` or `name#n`.
    pub step: String,
}

/// An event that a run sent.
#[derive(Debug, Clone, Serialize)]
pub struct SentEvent {
    /// By which step.
    pub step: StepId,
    /// Its id.
    pub event_id: String,
    /// What it started.
    pub runs: Vec<RunSummary>,
}

/// A concurrency key as a run in its line sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineView {
    /// The key.
    pub key: String,
    /// How many runs may hold it at once.
    pub slots: u32,
    /// Who holds it.
    pub holders: Vec<RunId>,
    /// The run's place among those who wait, from 1; `None` when it waits no more.
    pub position: Option<u32>,
    /// How many wait.
    pub waiting: u32,
}

/// An event and what it started.
#[derive(Debug, Clone, Serialize)]
pub struct EventView {
    /// The event.
    #[serde(flatten)]
    pub event: Envelope,
    /// The step that sent it, if one did.
    pub caused_by: Option<Cause>,
    /// What it started.
    pub runs: Vec<RunSummary>,
    /// Which workflows start with an event of its name.
    pub listeners: Vec<String>,
    /// Why it started nothing, if it did not.
    pub why_none: Option<String>,
}

/// A workflow as it is defined, and whether it is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkflowView {
    /// Its name.
    pub workflow: String,
    /// The names of the events that start it.
    pub events: Vec<String>,
    /// Its schedule: a cron expression of five fields, in UTC.
    pub schedule: Option<String>,
    /// When the schedule starts it next.
    pub next_at: Option<Timestamp>,
    /// How often a step is attempted that does not say so itself, the first time included.
    pub attempts: u32,
    /// How many runs at once.
    pub concurrency: Option<ConcurrencyView>,
    /// How many starts in which time.
    pub throttles: Vec<ThrottleView>,
    /// Its pause, while it is paused.
    pub pause: Option<Pause>,
}

/// How many runs at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConcurrencyView {
    /// So many.
    pub limit: u32,
    /// For each value of a key, rather than in all.
    pub by_key: bool,
}

/// How many starts in which time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThrottleView {
    /// All of these hold.
    pub windows: Vec<WindowView>,
    /// For each value of a key, rather than in all.
    pub by_key: bool,
}

/// So many starts in any time of this length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct WindowView {
    pub limit: u32,
    pub period_ms: u64,
}

impl Desk {
    /// Runs, the newest first.
    pub async fn runs(&self, filter: &RunFilter, page: &PageRequest) -> Result<Page<RunSummary>> {
        Ok(self.history.runs(filter, page).await?.map(|run| RunSummary::of(&run)))
    }

    /// A run with all that is known of it.
    pub async fn run(&self, id: &RunId) -> Result<Option<RunView>> {
        let Some(run) = self.ports.journal.run(id).await? else { return Ok(None) };
        let records = self.ports.journal.checkpoints(id).await?;
        let detail = RunDetail::bare(&run, &records, self.ports.clock.now())?;
        Ok(Some(RunView {
            detail,
            caused_by: cause_of(&run.event.id),
            sent: self.sent(&records).await?,
            line: self.line_of(&run).await?,
            key: run.key,
            rerun_of: run.rerun_of,
        }))
    }

    /// What a run answered, as JSON, however large.
    pub async fn output(&self, id: &RunId) -> Result<Option<String>> {
        let output = self.ports.journal.run(id).await?.and_then(|run| run.output);
        self.json(output).await
    }

    /// What a step returned, as JSON, however large.
    pub async fn step_output(&self, id: &RunId, step: &StepId) -> Result<Option<String>> {
        let records = self.ports.journal.checkpoints(id).await?;
        let record = records.into_iter().find(|record| record.step == *step);
        let output = record.and_then(|record| match record.state {
            StepState::Completed { output } => Some(output),
            _ => None,
        });
        self.json(output).await
    }

    async fn json(&self, payload: Option<Payload>) -> Result<Option<String>> {
        match payload {
            Some(payload) => payload.json(&*self.ports.blobs).await.map(Some),
            None => Ok(None),
        }
    }

    async fn sent(&self, records: &[Checkpoint]) -> Result<Vec<SentEvent>> {
        let sent: Vec<_> = records.iter().filter_map(sent_by).collect();
        let known: Vec<_> = sent.iter().take(SENT).map(|(_, event_id)| event_id.clone()).collect();
        let mut runs = self.history.runs_of_events(&known).await?.into_iter();
        let sent = sent.into_iter().map(|(step, event_id)| {
            let runs = runs.next().unwrap_or_default();
            SentEvent { step, event_id, runs: runs.iter().map(RunSummary::of).collect() }
        });
        Ok(sent.collect())
    }

    async fn line_of(&self, run: &Run) -> Result<Option<LineView>> {
        let waits = run.waiting_for.iter().find_map(|wait| match wait {
            WaitingFor::Slot { key, .. } => Some(key),
            _ => None,
        });
        let Some(key) = waits.filter(|_| !run.status.is_final()) else { return Ok(None) };
        Ok(Some(LineView::of(key, &self.keys.line(key).await?, &run.id)))
    }

    /// Events, the newest first, each with what it started.
    pub async fn events(&self, filter: &EventFilter, page: &PageRequest) -> Result<Page<EventView>> {
        let Page { items, next } = self.history.events(filter, page).await?;
        let ids: Vec<_> = items.iter().map(|event| event.id.clone()).collect();
        let runs = self.history.runs_of_events(&ids).await?;
        let items = items.into_iter().zip(runs).map(|(event, runs)| self.view(event, &runs)).collect();
        Ok(Page { items, next })
    }

    /// An event with what it started.
    pub async fn event(&self, id: &str) -> Result<Option<EventView>> {
        let ids = [id.to_owned()];
        let (event, runs) = futures::try_join!(self.history.event(id), self.history.runs_of_events(&ids))?;
        let runs: Vec<_> = runs.into_iter().flatten().collect();
        // An event that no history holds, a schedule's on AWS say, is kept by what it started.
        let event = event.or_else(|| runs.first().map(|run| run.event.clone()));
        Ok(event.map(|event| self.view(event, &runs)))
    }

    fn view(&self, event: Envelope, runs: &[Run]) -> EventView {
        let listening = self.definitions.iter().filter(|definition| definition.starts_with(&event.name));
        let listeners: Vec<_> = listening.map(|definition| definition.name.clone()).collect();
        EventView {
            caused_by: cause_of(&event.id),
            runs: runs.iter().map(RunSummary::of).collect(),
            why_none: runs.is_empty().then(|| why_none(&event.name, &listeners)),
            listeners,
            event,
        }
    }

    /// The workflows there are, and which are paused.
    pub async fn workflows(&self) -> Result<Vec<WorkflowView>> {
        let (pauses, now) = (self.ports.pauses.pauses().await?, self.ports.clock.now());
        let views = self.definitions.iter().map(|definition| {
            let pause = pauses.iter().find(|pause| pause.workflow == definition.name).cloned();
            WorkflowView { pause, ..WorkflowView::of(definition, now) }
        });
        Ok(views.collect())
    }

    /// Numbers about all workflows, in the order of their definitions.
    pub async fn statistics(&self, from: Timestamp, to: Timestamp) -> Result<Vec<WorkflowStatistics>> {
        let names: Vec<_> = self.definitions.iter().map(|definition| definition.name.clone()).collect();
        self.history.statistics(&names, from, to).await
    }

    /// The definition of a workflow.
    pub fn definition(&self, workflow: &str) -> Option<&Definition> {
        self.definitions.iter().find(|definition| definition.name == workflow)
    }
}

/// The step that sent an event, read from the event's id.
pub fn cause_of(event_id: &str) -> Option<Cause> {
    let (run, step) = event_id.split_once('/')?;
    let is_id = run.len() == 32 && run.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id && !step.is_empty()).then(|| Cause { run_id: RunId::from_text(run), step: step.to_owned() })
}

/// The event that a record says was sent.
fn sent_by(record: &Checkpoint) -> Option<(StepId, String)> {
    let (StepKind::SendEvent, StepState::Completed { output: Payload::Json(id) }) =
        (record.kind, &record.state)
    else {
        return None;
    };
    Some((record.step.clone(), serde_json::from_str(id).ok()?))
}

fn why_none(event: &str, listeners: &[String]) -> String {
    if listeners.is_empty() {
        return format!("no workflow starts with {event}");
    }
    format!("the runs of {} are not there yet, or were deleted when their time was up", listeners.join(", "))
}

impl LineView {
    /// A line as this run sees it.
    pub fn of(key: &str, line: &Line, run: &RunId) -> Self {
        let (waiting, holding): (Vec<_>, Vec<_>) =
            line.members.iter().partition(|member| member.place == Place::Waiting);
        let place = waiting.iter().position(|member| member.run == *run);
        Self {
            key: key.to_owned(),
            slots: line.slots,
            holders: holding.iter().map(|member| member.run.clone()).collect(),
            position: place.and_then(|place| u32::try_from(place + 1).ok()),
            waiting: u32::try_from(waiting.len()).unwrap_or(u32::MAX),
        }
    }
}

impl WorkflowView {
    /// A workflow that is not paused.
    pub fn of(definition: &Definition, now: Timestamp) -> Self {
        let windows = |throttle: &crate::Throttle| {
            let windows = throttle.windows().iter();
            windows
                .map(|window| WindowView {
                    limit: window.limit,
                    period_ms: u64::try_from(window.period.as_millis()).unwrap_or(u64::MAX),
                })
                .collect()
        };
        Self {
            workflow: definition.name.clone(),
            events: definition.events.clone(),
            schedule: definition.schedule.clone(),
            next_at: definition.next_scheduled(now),
            attempts: definition.retry.attempts(),
            concurrency: definition
                .concurrency
                .as_ref()
                .map(|limit| ConcurrencyView { limit: limit.slots(), by_key: limit.is_by_key() }),
            throttles: definition
                .throttles
                .iter()
                .map(|throttle| ThrottleView { windows: windows(throttle), by_key: throttle.is_by_key() })
                .collect(),
            pause: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Member;

    #[test]
    fn the_cause_is_read_from_an_events_id() {
        let run = RunId::of("w", "e");
        let cause = cause_of(&format!("{run}/tell/all#2")).unwrap();
        assert_eq!((cause.run_id, cause.step.as_str()), (run, "tell/all#2"));
        for id in ["e-1", "orders/17", &format!("{}/", "a".repeat(32)), &format!("{}/x", "g".repeat(32))] {
            assert_eq!(cause_of(id), None, "{id}");
        }
    }

    #[test]
    fn a_line_says_who_holds_it_and_where_one_stands() {
        let member = |name: &str, place| Member { run: RunId::from_text(name), place };
        let members = vec![
            member("a", Place::Holding),
            member("b", Place::Handed),
            member("c", Place::Waiting),
            member("d", Place::Waiting),
        ];
        let line = Line { slots: 2, members };
        let view = LineView::of("k", &line, &RunId::from_text("d"));
        assert_eq!(view.holders, ["a", "b"].map(RunId::from_text));
        assert_eq!((view.slots, view.position, view.waiting), (2, Some(2), 2));
        assert_eq!(LineView::of("k", &line, &RunId::from_text("a")).position, None);
    }
}
