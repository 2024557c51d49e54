//! Metrics as CloudWatch reads them from a function's log: its embedded metric format, a JSON object a line.

use std::io::Write;

use durable::{Clock, Happening, Observer, Outcome, Run, StepState, seconds, until};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{SystemClock, Traces};

pub(crate) const NAMESPACE: &str = "Durable";

/// Counts runs and times steps, by workflow, on standard output.
#[derive(Debug, Clone, Copy, Default)]
pub struct Metrics;

impl Metrics {
    /// Counts one thing that belongs to no run, but to a function of this name.
    pub fn count(whose: &str, name: &'static str) {
        // A metric that cannot be written must not end what it is about.
        let line = line(whose, &[(name, "Count", 1)], SystemClock.now());
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

impl Observer for Metrics {
    fn observe(&self, run: &Run, happened: &Happening<'_>) {
        let now = SystemClock.now();
        let measured = measured(run, happened, now);
        if !measured.is_empty() {
            // A metric that cannot be written must not end a run.
            let _ = writeln!(std::io::stdout().lock(), "{}", embedded(run, &measured, now));
        }
    }
}

/// Tells CloudWatch and X-Ray.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    traces: Option<Traces>,
}

impl Telemetry {
    pub(crate) fn from_env() -> Self {
        Self { traces: Traces::from_env() }
    }
}

impl Observer for Telemetry {
    fn observe(&self, run: &Run, happened: &Happening<'_>) {
        Metrics.observe(run, happened);
        if let Some(traces) = &self.traces {
            traces.observe(run, happened);
        }
    }
}

/// Tells how many slots of a workflow's keys were held, and how many runs stood in their lines, when the caretaker looked.
pub(crate) fn lines(workflow: &str, held: u64, waiting: u64, now: Timestamp) {
    let measured = [("SlotsHeld", "Count", held), ("LineLength", "Count", waiting)];
    // A metric that cannot be written must not end a sweep.
    let _ = writeln!(std::io::stdout().lock(), "{}", line(workflow, &measured, now));
}

/// A metric's name, unit and value.
type Measure = (&'static str, &'static str, u64);

/// What is worth a metric.
fn measured(run: &Run, happened: &Happening<'_>, now: Timestamp) -> Vec<Measure> {
    let one = |name| (name, "Count", 1);
    match happened {
        Happening::Started => {
            // An invocation that follows a wait has its time; the first one started the run only now.
            let resumed =
                run.wake_at.filter(|wake_at| run.started_at.is_some_and(|started| started < *wake_at));
            let lateness =
                run.wake_at.map(|wake_at| ("WakeUpLateness", "Milliseconds", millis(wake_at, now)));
            let started = resumed.is_none().then(|| one("RunsStarted"));
            started.into_iter().chain(lateness).collect()
        }
        Happening::StepRecorded(record) => match &record.state {
            StepState::Completed { .. } => {
                vec![("StepDuration", "Milliseconds", millis(record.started_at, record.at))]
            }
            StepState::Retrying { .. } => vec![one("StepsRetried")],
            StepState::Failed { .. } => vec![one("StepsFailed")],
            StepState::Started
            | StepState::Sleeping { .. }
            | StepState::Listening { .. }
            | StepState::Refused { .. } => Vec::new(),
        },
        Happening::Suspended(suspension) if suspension.failures > run.failures => vec![one("RunsRetried")],
        Happening::Finished(outcome) => {
            let name = match outcome {
                Outcome::Completed(_) => "RunsCompleted",
                Outcome::Failed(_) => "RunsFailed",
            };
            vec![one(name), ("RunDuration", "Milliseconds", millis(run.created_at, now))]
        }
        // Its cancellation wakes it at once. What else would have woken it comes later, and counts nothing.
        Happening::Cancelled if run.ended_at.is_some_and(|ended_at| until(ended_at, now) < seconds(60)) => {
            vec![one("RunsCancelled")]
        }
        Happening::StepStarted(..) | Happening::Suspended(_) | Happening::Cancelled => Vec::new(),
    }
}

fn millis(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(until(from, to).as_millis()).unwrap_or(u64::MAX)
}

/// The line of a run.
fn embedded(run: &Run, measured: &[Measure], now: Timestamp) -> Value {
    let mut line = line(&run.workflow, measured, now);
    line["run"] = json!(run.id);
    line
}

/// The line: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
fn line(workflow: &str, measured: &[Measure], now: Timestamp) -> Value {
    let names: Vec<_> = measured.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
    let mut line = json!({
        "_aws": {
            "Timestamp": now.as_millisecond(),
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [["workflow"]], "Metrics": names}],
        },
        "workflow": workflow,
    });
    for (name, _, value) in measured {
        line[*name] = (*value).into();
    }
    line
}

#[cfg(test)]
mod tests {
    use durable::{Checkpoint, Envelope, Error, Payload, StepId, StepKind, after};

    use super::*;

    fn at(second: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, seconds(second))
    }

    fn run() -> Run {
        let event = Envelope { id: "1".into(), name: "go".into(), data: Value::Null, sent_at: at(0) };
        Run { started_at: Some(at(10)), ..Run::queued("sync", event, at(2)) }
    }

    fn recorded(state: StepState) -> Vec<Measure> {
        let step = StepId { name: "fetch".into(), nth: 1 };
        let record = Checkpoint { at: at(4), ..Checkpoint::new(step, StepKind::Run, state, at(1)) };
        measured(&run(), &Happening::StepRecorded(&record), at(4))
    }

    #[test]
    fn a_line_is_in_the_embedded_metric_format() {
        let line = embedded(&run(), &[("RunsStarted", "Count", 1)], at(3));
        assert_eq!(
            line,
            json!({
                "_aws": {"Timestamp": 3000, "CloudWatchMetrics": [{
                    "Namespace": "Durable", "Dimensions": [["workflow"]],
                    "Metrics": [{"Name": "RunsStarted", "Unit": "Count"}],
                }]},
                "workflow": "sync", "run": run().id, "RunsStarted": 1,
            })
        );
    }

    #[test]
    fn a_run_is_started_once_and_woken_late() {
        assert_eq!(measured(&run(), &Happening::Started, at(10)), [("RunsStarted", "Count", 1)]);
        let resumed = Run { wake_at: Some(at(60)), ..run() };
        let late = ("WakeUpLateness", "Milliseconds", 1000);
        assert_eq!(measured(&resumed, &Happening::Started, at(61)), [late]);
        let throttled = Run { wake_at: Some(at(9)), ..run() };
        assert_eq!(measured(&throttled, &Happening::Started, at(10)), [("RunsStarted", "Count", 1), late]);
    }

    #[test]
    fn steps_and_ends_are_counted() {
        let output = Payload::Json("1".into());
        let done = recorded(StepState::Completed { output: output.clone() });
        assert_eq!(done, [("StepDuration", "Milliseconds", 3000)]);
        let retrying = StepState::Retrying { until: at(9), error: Error::new("x") };
        assert_eq!(recorded(retrying), [("StepsRetried", "Count", 1)]);
        let ended = measured(&run(), &Happening::Finished(&Outcome::Completed(output)), at(22));
        assert_eq!(ended, [("RunsCompleted", "Count", 1), ("RunDuration", "Milliseconds", 20_000)]);
        let cancelled = Run { ended_at: Some(at(20)), ..run() };
        assert_eq!(measured(&cancelled, &Happening::Cancelled, at(22)), [("RunsCancelled", "Count", 1)]);
        assert_eq!(measured(&cancelled, &Happening::Cancelled, at(90)), [], "a wake-up that was on its way");
    }
}
