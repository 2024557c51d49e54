//! Runs and steps as they go: a line each on a terminal that changes in place, else a line for each thing that happens.

use std::{
    collections::HashMap,
    fmt::Display,
    io::{IsTerminal, stderr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use durable::{
    Checkpoint, Clock, Happening, Observer, Outcome, Run, RunId, StepKind, StepState, Suspension, until,
};
use durable_local::SystemClock;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;

use crate::{
    runs::short_id,
    terminal::{alarming, faint, paint, say},
    text,
};

/// Shows what happens as it happens.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Timestamp,
    display: Option<MultiProgress>,
    /// The runs that were seen and have not ended.
    shown: Mutex<HashMap<RunId, Shown>>,
}

#[derive(Debug, Default)]
struct Shown {
    /// Steps that have ended while it was watched.
    steps: usize,
    line: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        let display = stderr().is_terminal().then(MultiProgress::new);
        Arc::new(Self { began: SystemClock.now(), display, shown: Mutex::default() })
    }

    /// What draws on the terminal, if anything does.
    pub(crate) fn display(&self) -> Option<MultiProgress> {
        self.display.clone()
    }

    /// Prints a line above the display.
    pub(crate) fn say(&self, line: impl Display) {
        match &self.display {
            Some(display) => display.suspend(|| say(line)),
            None => say(line),
        }
    }

    /// Takes the display away; what is printed later stands by itself.
    pub(crate) fn clear(&self) {
        if let Some(display) = &self.display {
            // What cannot be drawn need not be cleared.
            let _ = display.clear();
        }
    }

    fn shown(&self) -> MutexGuard<'_, HashMap<RunId, Shown>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run is seen for the first time, or again.
    fn started(&self, run: &Run) {
        let mut shown = self.shown();
        if shown.contains_key(&run.id) {
            return;
        }
        let line = self.display.as_ref().map(|display| {
            let line = display.add(ProgressBar::new_spinner().with_style(style()));
            line.set_prefix(label(run));
            line.enable_steady_tick(Duration::from_millis(100));
            line
        });
        shown.insert(run.id.clone(), Shown { steps: 0, line });
        drop(shown);
        // An invocation before this one either left a note of what it waited for, or died.
        let goes_on =
            run.started_at.is_some_and(|at| at < self.began) || run.epoch > 1 && run.waiting_for.is_empty();
        let what = if goes_on { "goes on" } else { "started" };
        self.event(run, format_args!("{what}, {}", run.event.name));
    }

    /// Prints what happened, where nothing changes in place.
    fn event(&self, run: &Run, what: impl Display) {
        if self.display.is_none() {
            self.line(run, what);
        }
    }

    fn line(&self, run: &Run, what: impl Display) {
        let since = until(self.began, SystemClock.now()).as_secs_f64();
        self.say(format_args!("{} {}  {what}", faint(format_args!("{since:>7.2} s")), label(run)));
    }

    /// Changes a run's line.
    fn change(&self, run: &Run, steps: usize, what: impl Display) {
        let mut shown = self.shown();
        let Some(entry) = shown.get_mut(&run.id) else { return };
        entry.steps += steps;
        if let Some(line) = &entry.line {
            line.set_message(format!("{} done  {what}", entry.steps));
        }
    }

    fn recorded(&self, run: &Run, record: &Checkpoint) {
        let (step, now) = (&record.step, SystemClock.now());
        let took = text::duration(until(record.started_at, record.at));
        match &record.state {
            StepState::Completed { .. } => {
                let what = if record.kind == StepKind::SendEvent { "event sent" } else { "done" };
                let again = if record.attempts > 1 {
                    format!(", attempt {}", record.attempts)
                } else {
                    String::new()
                };
                self.event(run, format_args!("{step} {what} in {took}{again}"));
                self.change(run, 1, format_args!("{step} {what}"));
            }
            StepState::Failed { error } => {
                let error = alarming(text::short(&text::masked(error.message()), 160));
                self.event(run, format_args!("{step} failed in {took}: {error}"));
                self.change(run, 1, format_args!("{step} failed: {error}"));
            }
            StepState::Retrying { until: due, error } => {
                let delay = text::duration(until(now, *due));
                let error = text::short(&text::masked(error.message()), 160);
                self.event(
                    run,
                    format_args!("{step} attempt {} failed, again in {delay}: {error}", record.attempts),
                );
                self.change(run, 0, format_args!("{step} again in {delay}: {error}"));
            }
            StepState::Listening { .. } => {
                self.event(run, format_args!("{step} handed over in {took}"));
                self.change(run, 0, format_args!("{step} handed over"));
            }
            StepState::Started | StepState::Sleeping { .. } | StepState::Refused { .. } => {}
        }
    }

    fn suspended(&self, run: &Run, suspension: &Suspension) {
        let Some(first) = suspension.waiting_for.first() else { return };
        let wait = text::short(&text::waiting(first, SystemClock.now()), 160);
        self.event(run, format_args!("waits for {wait}"));
        self.change(run, 0, format_args!("waits for {wait}"));
    }

    fn finished(&self, run: &Run, outcome: &Outcome) {
        let entry = self.shown().remove(&run.id).unwrap_or_default();
        if let Some(line) = entry.line {
            line.finish_and_clear();
        }
        let took = text::duration(until(run.started_at.unwrap_or(run.created_at), SystemClock.now()));
        match outcome {
            Outcome::Completed(_) => {
                self.line(run, format_args!("{} in {took}", paint(durable::Status::Completed)));
            }
            Outcome::Failed(error) => {
                let error = text::short(&text::masked(error.message()), 300);
                self.line(run, format_args!("{} in {took}: {error}", paint(durable::Status::Failed)));
            }
        }
    }
}

impl Observer for Progress {
    fn observe(&self, run: &Run, happened: &Happening<'_>) {
        match happened {
            Happening::Started => self.started(run),
            Happening::StepStarted(step, attempt) => {
                let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
                self.change(run, 0, format_args!("{step}{again}"));
            }
            Happening::StepRecorded(record) => self.recorded(run, record),
            Happening::Suspended(suspension) => self.suspended(run, suspension),
            Happening::Finished(outcome) => self.finished(run, outcome),
            Happening::Cancelled => {}
        }
    }
}

fn label(run: &Run) -> String {
    format!("{:<14} {}", run.workflow, short_id(&run.id))
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{spinner} {elapsed:>4} {prefix}  {wide_msg}");
    style.unwrap_or_else(|_| ProgressStyle::default_spinner())
}
