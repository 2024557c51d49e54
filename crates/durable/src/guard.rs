//! A run that is invoked again and again without coming any further is stopped, not paid for until somebody notices.

use std::time::Duration;

use crate::{Checkpoint, Error, Result, Run, StepState, minutes, until};

/// Invocations that a run may have beyond those its records account for: crashes, redeliveries, looks at a line or a
/// throttle before its turn.
const SPARE: u64 = 100;

/// Invocations that one attempt on record accounts for: the one that made it, and one that woke to make the next.
const PER_ATTEMPT: u64 = 2;

/// How often a run that waits to start may be looked at, by whoever mends lines and pauses.
const LOOK: Duration = minutes(1);

/// Fails when a run was invoked more often than what it has done can explain.
pub(crate) fn check(run: &Run, records: &[Checkpoint]) -> Result<()> {
    // A wait with signs of life looks again each time one was due, for hours: that is no loop.
    if records.iter().any(|record| matches!(record.state, StepState::Listening { silence: Some(_), .. })) {
        return Ok(());
    }
    let attempts = records.iter().map(|record| u64::from(record.attempts)).sum::<u64>();
    let waited = run.started_at.map(|started_at| until(run.created_at, started_at)).unwrap_or_default();
    let looks = waited.as_secs() / LOOK.as_secs();
    let explained = looks + SPARE + PER_ATTEMPT * (attempts + u64::from(run.failures) + run.signals);
    if run.epoch <= explained {
        return Ok(());
    }
    Err(Error::fatal(format!(
        "stopped by the loop guard: invoked {} times for {attempts} attempts of {} steps; its invocations die or suspend \
         without recording anything (memory, a time limit, or an error in what surrounds the steps)",
        run.epoch,
        records.len()
    )))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{Envelope, StepId, StepKind};

    fn run(epoch: u64) -> Run {
        let now = Timestamp::UNIX_EPOCH;
        let event =
            Envelope { id: "1".into(), name: "go".into(), data: serde_json::Value::Null, sent_at: now };
        Run { epoch, ..Run::queued("loops", event, now) }
    }

    fn nap(nth: u32) -> Checkpoint {
        let at = Timestamp::UNIX_EPOCH;
        let step = StepId { name: "nap".into(), nth };
        let state = StepState::Sleeping { until: at };
        Checkpoint::new(step, StepKind::Sleep, state, at)
    }

    #[test]
    fn a_run_that_records_nothing_is_stopped() {
        assert!(check(&run(100), &[]).is_ok());
        let error = check(&run(101), &[]).unwrap_err();
        assert!(error.message().contains("invoked 101 times"), "{error}");
        assert!(!error.is_retryable());
    }

    #[test]
    fn a_run_that_waited_long_to_start_may_have_been_looked_at_often() {
        let started_at = Some(crate::after(Timestamp::UNIX_EPOCH, crate::hours(10)));
        assert!(check(&Run { started_at, ..run(700) }, &[]).is_ok());
        assert!(check(&Run { started_at, ..run(701) }, &[]).is_err());
    }

    #[test]
    fn a_run_that_comes_further_each_time_goes_on() {
        let records: Vec<_> = (1..=1000).map(nap).collect();
        assert!(check(&run(1001), &records).is_ok());
    }
}
