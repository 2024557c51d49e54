//! When a run's steps and attempts were made, drawn to time.

use std::{fmt::Write, time::Duration};

use durable::{FailedAttempt, StepKind, until};
use jiff::Timestamp;

use crate::{
    markup::{Markup, escape},
    text,
};

/// How wide a drawing is, in units of its own.
const WIDTH: f64 = 1000.0;

/// What is shorter than this many units is drawn this long, or nobody would see it.
const THINNEST: f64 = 3.0;

/// About how many marks an axis has.
const MARKS: u32 = 5;

/// The time from left to right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    from: Timestamp,
    length: Duration,
}

/// A part of a step's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Waited for its turn.
    Queued,
    /// An attempt that succeeded.
    Ok,
    /// An attempt that failed.
    Failed,
    /// An attempt that has not ended.
    Active,
    /// Between two attempts.
    Backoff,
    /// A sleep, or waiting for an answer.
    Sleep,
}

impl Part {
    fn class(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Active => "active",
            Self::Backoff => "backoff",
            Self::Sleep => "sleep",
        }
    }
}

/// A part, from when to when, and what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) part: Part,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) title: String,
}

/// What is known of a step's life.
#[derive(Debug)]
pub(crate) struct Life<'a> {
    pub(crate) kind: StepKind,
    /// As it is shown: running, retrying, waiting, completed or failed.
    pub(crate) status: &'static str,
    pub(crate) attempts: u32,
    /// When the first attempt began.
    pub(crate) started_at: Timestamp,
    /// When the last attempt began, unless that was the first.
    pub(crate) attempt_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) failures: &'a [FailedAttempt],
}

/// The parts of a step's life, in order of time.
pub(crate) fn spans(life: &Life<'_>, now: Timestamp) -> Vec<Span> {
    let mut spans = Vec::with_capacity(2 * life.failures.len() + 1);
    let end = life.ended_at.unwrap_or(now).max(life.started_at);
    if matches!(life.kind, StepKind::Sleep) {
        return vec![Span { part: Part::Sleep, from: life.started_at, to: end, title: "slept".to_owned() }];
    }
    // Only the last failures are kept: what was before the first of them is one stretch.
    let mut at = life.started_at;
    for failure in life.failures {
        push(&mut spans, Part::Backoff, at, failure.started_at, "waited before another attempt");
        let title = format!("attempt {} failed: {}", failure.attempt, text::short(&failure.error, 120));
        let to = failure.ended_at.max(failure.started_at);
        spans.push(Span { part: Part::Failed, from: failure.started_at, to, title });
        at = to;
    }
    let all_failed = life.failures.last().is_some_and(|last| last.attempt == life.attempts);
    match life.status {
        "failed" if all_failed => {}
        "retrying" => push(&mut spans, Part::Backoff, at, now, "waits before another attempt"),
        status => {
            let began = life.attempt_at.unwrap_or(at).max(at);
            push(&mut spans, Part::Backoff, at, began, "waited before another attempt");
            let (part, what) = match status {
                "completed" => (Part::Ok, "succeeded"),
                "failed" => (Part::Failed, "failed"),
                "waiting" => (Part::Sleep, "waits for an answer"),
                _ => (Part::Active, "has not ended"),
            };
            let title = format!("attempt {} {what}", life.attempts);
            spans.push(Span { part, from: began, to: end.max(began), title });
        }
    }
    spans
}

fn push(spans: &mut Vec<Span>, part: Part, from: Timestamp, to: Timestamp, title: &str) {
    if to > from {
        spans.push(Span { part, from, to, title: title.to_owned() });
    }
}

impl Axis {
    /// From one time to another.
    pub(crate) fn new(from: Timestamp, to: Timestamp) -> Self {
        Self { from, length: until(from, to).max(Duration::from_millis(1)) }
    }

    fn x(self, time: Timestamp) -> f64 {
        let share = until(self.from, time).as_secs_f64() / self.length.as_secs_f64();
        share.clamp(0.0, 1.0) * WIDTH
    }

    /// Where the marks are, in units, and what they say.
    fn marks(self) -> Vec<(f64, String)> {
        let step = mark_step(self.length);
        let marks = (1..=2 * MARKS).map(|n| step * n).take_while(|at| *at < self.length);
        let x = |at: Duration| at.as_secs_f64() / self.length.as_secs_f64() * WIDTH;
        // Marks are round: `5 s` rather than `5.0 s`.
        marks.map(|at| (x(at), text::duration(at).replace(".0 s", " s"))).collect()
    }

    /// The scale above the bars.
    pub(crate) fn scale(self) -> Markup {
        let mut svg = String::from(r#"<svg aria-hidden="true">"#);
        // Percentages, so that the letters keep their shape however wide the drawing is.
        let _ = write!(svg, r#"<text x="0" y="11">0</text>"#);
        for (x, label) in self.marks().into_iter().filter(|(x, _)| *x < 0.93 * WIDTH) {
            let _ = write!(svg, r#"<text x="{:.2}%" y="11" text-anchor="middle">{label}</text>"#, x / 10.0);
        }
        svg.push_str("</svg>");
        Markup::trusted(svg)
    }

    /// The bars of one line.
    pub(crate) fn bars(self, spans: &[Span]) -> Markup {
        let mut svg = format!(
            r#"<svg class="bars" viewBox="0 0 {WIDTH} 20" preserveAspectRatio="none" aria-hidden="true">"#
        );
        for (x, _) in self.marks() {
            let _ = write!(svg, r#"<line class="tick" x1="{x:.1}" x2="{x:.1}" y1="0" y2="20"/>"#);
        }
        for span in spans {
            let (from, to) = (self.x(span.from), self.x(span.to));
            let width = (to - from).max(THINNEST);
            let from = from.min(WIDTH - width);
            let (y, height) =
                if matches!(span.part, Part::Queued | Part::Backoff) { (8, 4) } else { (4, 12) };
            let class = span.part.class();
            let _ = write!(
                svg,
                r#"<rect class="{class}" x="{from:.1}" y="{y}" width="{width:.1}" height="{height}"><title>"#
            );
            escape(&mut svg, &span.title);
            let _ = write!(svg, ", {}</title></rect>", text::duration(until(span.from, span.to)));
        }
        svg.push_str("</svg>");
        Markup::trusted(svg)
    }
}

/// The distance of marks: a round length of time of which about [`MARKS`] fit.
fn mark_step(length: Duration) -> Duration {
    const ROUND_MS: [u64; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];
    const ROUND_SECONDS: [u64; 16] = [
        15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
    ];
    let wanted = length / MARKS;
    let round = ROUND_MS.map(Duration::from_millis).into_iter().chain(ROUND_SECONDS.map(Duration::from_secs));
    round.into_iter().find(|step| *step >= wanted).unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use durable::{Error, after, seconds};

    use super::*;

    fn at(second: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, seconds(second))
    }

    fn parts(life: &Life<'_>, now: u64) -> Vec<(Part, i64, i64)> {
        let second = |time: Timestamp| time.as_second();
        spans(life, at(now)).iter().map(|span| (span.part, second(span.from), second(span.to))).collect()
    }

    fn failure(attempt: u32, from: u64, to: u64) -> FailedAttempt {
        FailedAttempt::new(attempt, at(from), at(to), &Error::new("refused"))
    }

    #[test]
    fn attempts_and_the_time_between_them_are_told_apart() {
        let failures = [failure(1, 0, 2), failure(2, 12, 13)];
        let life = Life {
            kind: StepKind::Run,
            status: "completed",
            attempts: 3,
            started_at: at(0),
            attempt_at: Some(at(23)),
            ended_at: Some(at(25)),
            failures: &failures,
        };
        let expected = [
            (Part::Failed, 0, 2),
            (Part::Backoff, 2, 12),
            (Part::Failed, 12, 13),
            (Part::Backoff, 13, 23),
            (Part::Ok, 23, 25),
        ];
        assert_eq!(parts(&life, 99), expected);
        let retrying = Life { status: "retrying", attempts: 2, attempt_at: None, ended_at: None, ..life };
        assert_eq!(parts(&retrying, 20)[3..], [(Part::Backoff, 13, 20)]);
        let failed = Life { status: "failed", ended_at: Some(at(13)), ..retrying };
        assert_eq!(parts(&failed, 99), expected[..3]);
    }

    #[test]
    fn what_goes_on_lasts_until_now() {
        let life = Life {
            kind: StepKind::Run,
            status: "running",
            attempts: 1,
            started_at: at(5),
            attempt_at: None,
            ended_at: None,
            failures: &[],
        };
        assert_eq!(parts(&life, 9), [(Part::Active, 5, 9)]);
        let sleep = Life { kind: StepKind::Sleep, status: "waiting", ..life };
        assert_eq!(parts(&sleep, 9), [(Part::Sleep, 5, 9)]);
        let callback = Life { kind: StepKind::Callback, ..sleep };
        assert_eq!(parts(&callback, 9), [(Part::Sleep, 5, 9)]);
    }

    #[test]
    fn marks_are_round_and_few() {
        for (length, labels) in [
            (Duration::from_millis(42), vec!["10 ms", "20 ms", "30 ms", "40 ms"]),
            (seconds(19), vec!["5 s", "10 s", "15 s"]),
            (seconds(29), vec!["10 s", "20 s"]),
            (seconds(7_300), vec!["30 min", "1 h", "1 h 30 min", "2 h"]),
            (seconds(400 * 86_400), vec!["80 d", "160 d", "240 d", "320 d"]),
        ] {
            let axis = Axis { from: at(0), length };
            let marks: Vec<_> = axis.marks().into_iter().map(|(_, label)| label).collect();
            assert_eq!(marks, labels);
        }
    }

    #[test]
    fn everything_is_within_the_drawing_and_wide_enough_to_be_seen() {
        let axis = Axis::new(at(0), at(100));
        let spans = [
            Span { part: Part::Ok, from: at(100), to: at(100), title: "<x>".into() },
            Span { part: Part::Sleep, from: at(50), to: at(75), title: String::new() },
        ];
        let svg = axis.bars(&spans).to_string();
        assert!(svg.contains(r#"class="ok" x="997.0" y="4" width="3.0""#), "{svg}");
        assert!(svg.contains(r#"class="sleep" x="500.0" y="4" width="250.0""#), "{svg}");
        assert!(svg.contains("&lt;x&gt;, 0 ms") && !svg.contains("<x>"), "{svg}");
    }
}
