//! A run's steps drawn to time: a bar a step, on a scale that spans the run.

use durable::{StepKind, StepView};
use jiff::Timestamp;

/// How wide a bar is, in characters.
const WIDTH: u32 = 24;

/// The time that a scale spans.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    from: i64,
    to: i64,
}

impl Scale {
    /// From when a run was accepted until it ended, or until now.
    pub(crate) fn new(from: Timestamp, to: Timestamp) -> Self {
        let from = from.as_millisecond();
        Self { from, to: to.as_millisecond().max(from + 1) }
    }

    /// The character of the scale that a time falls on.
    fn place(self, time: Timestamp) -> i64 {
        let passed = (time.as_millisecond() - self.from).clamp(0, self.to - self.from);
        (passed * i64::from(WIDTH) / (self.to - self.from)).min(i64::from(WIDTH) - 1)
    }

    /// A step's bar: `█` at work, `×` an attempt that failed, `·` waiting. Whatever happened, however short, is seen.
    pub(crate) fn bar(self, step: &StepView, now: Timestamp) -> String {
        let mut cells = [' '; WIDTH as usize];
        let mut draw = |from: Timestamp, to: Timestamp, mark: char| {
            for place in self.place(from)..=self.place(to.max(from)) {
                if let Some(cell) = usize::try_from(place).ok().and_then(|place| cells.get_mut(place)) {
                    *cell = mark;
                }
            }
        };
        let end = step.ended_at.unwrap_or(now).min(now);
        draw(step.started_at, end, '·');
        let waits = step.kind == StepKind::Sleep || (step.ended_at.is_none() && step.until.is_some());
        if !waits {
            draw(step.attempt_at.unwrap_or(step.started_at), end, '█');
        }
        for failed in &step.failures {
            draw(failed.started_at, failed.ended_at, '×');
        }
        cells.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use durable::{FailedAttempt, after, seconds};

    use super::*;

    fn at(second: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, seconds(second))
    }

    fn step(kind: StepKind, from: u64, to: Option<u64>) -> StepView {
        StepView {
            name: "s".into(),
            nth: 1,
            kind,
            status: "completed",
            attempts: 1,
            started_at: at(from),
            ended_at: to.map(at),
            attempt_at: None,
            output: None,
            output_bytes: None,
            error: None,
            until: None,
            failures: Vec::new(),
        }
    }

    #[test]
    fn bars_are_drawn_to_time() {
        let scale = Scale::new(at(0), at(24));
        let bar = |step: &StepView| scale.bar(step, at(24));
        assert_eq!(bar(&step(StepKind::Run, 0, Some(3))), "████                    ");
        assert_eq!(bar(&step(StepKind::Sleep, 20, Some(23))), "                    ····");
        assert_eq!(bar(&step(StepKind::Run, 12, None)), "            ████████████", "it is still at work");
        assert_eq!(bar(&step(StepKind::Run, 5, Some(5))), "     █                  ", "however short");
    }

    #[test]
    fn failed_attempts_and_the_waits_between_them_are_seen() {
        let failed = |n, from, to| FailedAttempt::new(n, at(from), at(to), &durable::Error::new("x"));
        let mut tried = step(StepKind::Run, 0, Some(20));
        tried.failures = vec![failed(1, 0, 2), failed(2, 8, 9)];
        tried.attempt_at = Some(at(17));
        assert_eq!(Scale::new(at(0), at(24)).bar(&tried, at(24)), "×××·····××·······████   ");
        tried.ended_at = None;
        tried.until = Some(at(30));
        assert_eq!(
            Scale::new(at(0), at(24)).bar(&tried, at(12)),
            "×××·····××···           ",
            "it waits to be tried again"
        );
    }
}
