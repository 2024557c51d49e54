//! Running something again: which run that is, and which steps it need not make.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Checkpoint, Envelope, Payload, Run, RunId, StepId, StepKind, StepState, payload};
use jiff::Timestamp;

/// How a run is to be run again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rerun {
    /// The first step that is made again; the results of those before it are taken over. `None`: all of them are.
    pub from: Option<StepId>,
    /// What `from` is to have returned: then it is not made again either, and the first step made is the one after it.
    pub output: Option<Value>,
    /// Tells two wishes from one that is repeated: the same run run again with the same request is one rerun.
    pub request: String,
}

impl RunId {
    /// The run that runs another one again, at this request.
    pub fn rerun(of: &Self, request: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"rerun\0");
        hash.update(of.as_str());
        hash.update(b"\0");
        hash.update(request);
        let mut id = hex::encode(hash.finalize());
        id.truncate(32);
        Self::from_text(id)
    }
}

/// The run that runs `run` again, from its beginning or from a step.
pub fn run_again(run: &Run, request: &str, now: Timestamp) -> Run {
    Run {
        id: RunId::rerun(&run.id, request),
        key: run.key.clone(),
        rerun_of: Some(run.id.clone()),
        ..Run::queued(&run.workflow, run.event.clone(), now)
    }
}

/// Why a run cannot be run again as somebody wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CannotRerun {
    /// It has no such step.
    NoSuchStep,
    /// An output was given, and no step whose output it is.
    OutputWithoutStep,
    /// An output was given for a step that has none: a sleep, or an event that is sent.
    StepWithoutOutput(StepKind),
    /// The output cannot be written as JSON.
    Output(String),
}

/// The records that a rerun begins with: those final ones of steps that came before `rerun.from`, in their order, and
/// that of `rerun.from` when its output is given. `records` are in the order in which they were first written.
///
/// A step before it that had not ended is made again as well: it has no result that could be taken over.
pub fn records_taken_over(
    records: &[Checkpoint],
    rerun: &Rerun,
    now: Timestamp,
) -> Result<Vec<Checkpoint>, CannotRerun> {
    let Some(from) = &rerun.from else {
        return if rerun.output.is_some() { Err(CannotRerun::OutputWithoutStep) } else { Ok(Vec::new()) };
    };
    let place = records.iter().position(|record| record.step == *from).ok_or(CannotRerun::NoSuchStep)?;
    let mut taken: Vec<_> =
        records[..place].iter().filter(|record| record.state.is_final()).cloned().collect();
    if let Some(output) = &rerun.output {
        let record = &records[place];
        if !matches!(record.kind, StepKind::Run | StepKind::Callback) {
            return Err(CannotRerun::StepWithoutOutput(record.kind));
        }
        let output = payload::to_json(output).map_err(|error| CannotRerun::Output(error.to_string()))?;
        taken.push(Checkpoint {
            state: StepState::Completed { output: Payload::Json(output) },
            at: now,
            attempt_at: None,
            failures: Vec::new(),
            ..record.clone()
        });
    }
    Ok(taken)
}

/// Every record that has its result: what a run goes on from where it stood.
pub fn records_kept(records: &[Checkpoint]) -> Vec<Checkpoint> {
    records.iter().filter(|record| record.state.is_final()).cloned().collect()
}

/// An event of the past, to be sent again: another event with the same name and data, the same at the same request.
pub fn event_again(event: &Envelope, request: &str, now: Timestamp) -> Envelope {
    let id = format!("resent-{}", RunId::of(&event.id, request));
    Envelope { id, sent_at: now, ..event.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Error, after, seconds};

    fn at(second: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, seconds(second))
    }

    fn record(name: &str, state: StepState) -> Checkpoint {
        let step = StepId { name: name.into(), nth: 1 };
        let kind = if name == "nap" { StepKind::Sleep } else { StepKind::Run };
        Checkpoint { at: at(2), ..Checkpoint::new(step, kind, state, at(1)) }
    }

    fn done(name: &str) -> Checkpoint {
        record(name, StepState::Completed { output: Payload::Json("1".into()) })
    }

    fn records() -> Vec<Checkpoint> {
        let retrying = record("b", StepState::Retrying { until: at(9), error: Error::new("x") });
        vec![done("a"), retrying, record("nap", StepState::Sleeping { until: at(3) }), done("c"), done("d")]
    }

    fn from(name: &str, output: Option<Value>) -> Rerun {
        Rerun { from: Some(StepId { name: name.into(), nth: 1 }), output, request: "r".into() }
    }

    #[test]
    fn the_results_before_a_step_are_taken_over() {
        let names = |rerun: &Rerun| -> Vec<_> {
            let taken = records_taken_over(&records(), rerun, at(20)).unwrap();
            taken.into_iter().map(|record| record.step.name).collect()
        };
        assert_eq!(names(&from("c", None)), ["a", "nap"], "what had not ended is made again");
        assert_eq!(names(&from("a", None)), [""; 0]);
        assert_eq!(names(&Rerun::default()), [""; 0]);
        assert_eq!(names(&from("c", Some(json!({"ok": true})))), ["a", "nap", "c"]);
    }

    #[test]
    fn an_output_that_is_given_is_the_steps_result() {
        let taken = records_taken_over(&records(), &from("b", Some(json!([1]))), at(20)).unwrap();
        assert_eq!(taken[1].state, StepState::Completed { output: Payload::Json("[1]".into()) });
        assert_eq!((taken[1].started_at, taken[1].at), (at(1), at(20)));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |rerun: &Rerun| records_taken_over(&records(), rerun, at(20)).unwrap_err();
        assert_eq!(refused(&from("z", None)), CannotRerun::NoSuchStep);
        assert_eq!(refused(&from("nap", Some(json!(1)))), CannotRerun::StepWithoutOutput(StepKind::Sleep));
        let output = Rerun { output: Some(json!(1)), ..Rerun::default() };
        assert_eq!(refused(&output), CannotRerun::OutputWithoutStep);
    }

    #[test]
    fn a_request_that_is_repeated_is_one_rerun() {
        let event = Envelope { id: "e".into(), name: "go".into(), data: json!(1), sent_at: at(0) };
        let run = Run { key: Some("k".into()), ..Run::queued("w", event.clone(), at(0)) };
        let again = run_again(&run, "1", at(9));
        assert_eq!(again.id, run_again(&run, "1", at(10)).id);
        assert_ne!(again.id, run_again(&run, "2", at(9)).id);
        assert_eq!((again.rerun_of, again.event.id, again.key), (Some(run.id), "e".to_owned(), run.key));
        let sent = event_again(&event, "1", at(9));
        assert_eq!((sent.id.clone(), sent.data), (event_again(&event, "1", at(10)).id, json!(1)));
        assert_ne!(sent.id, event.id);
    }
}
