//! Watches every change of the simulated world for what must always be true.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use super::memory::State;
use crate::{Checkpoint, Envelope, RunId, StepId, Window, line, throttle};

/// What was seen, and what was wrong with it.
#[derive(Debug, Default)]
pub(super) struct Audit {
    finals: HashMap<(RunId, StepId), Checkpoint>,
    starts: HashMap<String, (Vec<Window>, BTreeMap<String, Timestamp>)>,
    violations: Vec<String>,
}

impl Audit {
    /// I2: a step has one recorded result for ever.
    pub(super) fn recorded(&mut self, run: &RunId, record: &Checkpoint) {
        let key = (run.clone(), record.step.clone());
        if let Some(first) = self.finals.get(&key) {
            self.violations
                .push(format!("I2: {run} {} was {first:?}, and {record:?} replaced it", record.step));
        }
        if record.state.is_final() {
            self.finals.insert(key, record.clone());
        }
    }

    /// I4: never more than `limit` holders.
    pub(super) fn line(&mut self, key: &str, line: &[line::Member], limit: u32) {
        let held = line.iter().filter(|member| member.place != line::Place::Waiting).count();
        if held > limit as usize {
            self.violations.push(format!("I4: {key} has {held} holders of {limit} slots"));
        }
    }

    /// Remembers every start, since the ledger forgets.
    pub(super) fn started(&mut self, key: &str, windows: &[Window], ledger: &[throttle::Start]) {
        let (_, starts) =
            self.starts.entry(key.to_owned()).or_insert_with(|| (windows.to_vec(), BTreeMap::new()));
        for start in ledger.iter().filter(|start| start.started) {
            starts.entry(start.id.clone()).or_insert(start.at);
        }
    }

    /// I5: no window is crowded.
    fn crowded(&self) -> Vec<String> {
        let mut crowded = Vec::new();
        for (key, (windows, starts)) in &self.starts {
            let mut times: Vec<_> = starts.values().copied().collect();
            times.sort_unstable();
            for window in windows {
                for group in times.windows(window.limit as usize + 1) {
                    let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
                    if crate::until(*first, *last) <= window.period {
                        crowded
                            .push(format!("I5: {key} starts {} times from {first} to {last}", group.len()));
                    }
                }
            }
        }
        crowded
    }
}

/// What is wrong with a world in which nothing moves any more. Empty when all invariants hold.
pub(super) fn violations(state: &State) -> Vec<String> {
    let mut found = state.audit.violations.clone();
    found.extend(state.audit.crowded());

    let mut caused = HashSet::new();
    for entry in state.runs.values() {
        let run = &entry.run;
        // A rerun is a run of the same event because a person wished for one.
        if run.rerun_of.is_none() && !caused.insert((&run.workflow, &run.event.id)) {
            found.push(format!("I1: event {} has two runs of {}", run.event.id, run.workflow));
        }
        if !run.status.is_final() {
            found.push(format!(
                "I3: {} of {} is {} for ever, waiting for {:?}",
                run.id, run.workflow, run.status, run.waiting_for
            ));
        }
    }
    for (key, line) in &state.lines {
        for member in line {
            found
                .push(format!("I4: {} is {:?} in the line of {key} after its end", member.run, member.place));
        }
    }
    let mut sent: HashMap<&str, &Envelope> = HashMap::new();
    for event in &state.history {
        if let Some(first) = sent.insert(&event.id, event)
            && (&first.name, &first.data) != (&event.name, &event.data)
        {
            found.push(format!("I7: event {} was sent with two contents", event.id));
        }
    }
    found
}
