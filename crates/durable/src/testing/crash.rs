//! Cutting invocations off, at every operation in turn.

use super::Simulation;
use crate::{Payload, Run, Status};

/// Where an invocation is cut off: the process dies, and what it had in memory is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutOff {
    /// The number of the port operation, from 0, counted over the whole simulation.
    pub operation: usize,
    /// On which side of it.
    pub when: When,
}

/// On which side of an operation the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing was written.
    Before,
    /// It was written, and nobody heard.
    After,
}

/// Runs a scenario once for every port operation, cut off before it, and once more, cut off after it, with every message
/// delivered twice. After each, all invariants must hold, and `check` is given the disturbed simulation and an undisturbed
/// one to compare. Answers how many times the scenario was run.
///
/// The scenario makes a simulation, with its events sent and nothing run yet.
///
/// # Panics
///
/// When an invariant does not hold; the message says where the process died.
pub fn crash_everywhere(
    scenario: impl Fn() -> Simulation,
    check: impl Fn(&Simulation, &Simulation),
) -> usize {
    let mut undisturbed = scenario();
    undisturbed.duplicate_deliveries();
    undisturbed.run_until_idle();
    assert_eq!(undisturbed.violations(), [""; 0], "undisturbed");

    let operations = undisturbed.operations().len();
    for operation in 0..operations {
        for when in [When::Before, When::After] {
            let mut disturbed = scenario();
            disturbed.duplicate_deliveries();
            disturbed.cut_off(CutOff { operation, when });
            disturbed.run_until_idle();
            let place =
                format!("cut off {when:?} operation {operation} ({})", undisturbed.operations()[operation]);
            assert_eq!(disturbed.violations(), [""; 0], "{place}");
            disturbed.set_label(place);
            check(&disturbed, &undisturbed);
        }
    }
    1 + 2 * operations
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the run's field of that name")]
pub struct Ending {
    pub workflow: String,
    pub event: String,
    pub status: Status,
    pub output: Option<Payload>,
    pub error: Option<String>,
}

impl Simulation {
    /// How every run ended, in the order of workflows and events.
    pub fn outcomes(&self) -> Vec<Ending> {
        let ending = |run: Run| Ending {
            workflow: run.workflow,
            event: run.event.id,
            status: run.status,
            output: run.output,
            error: run.error.map(|error| error.to_string()),
        };
        let mut endings: Vec<_> = self.runs().into_iter().map(ending).collect();
        endings.sort_by(|a, b| (&a.workflow, &a.event).cmp(&(&b.workflow, &b.event)));
        endings
    }
}
