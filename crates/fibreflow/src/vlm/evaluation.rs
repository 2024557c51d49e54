//! What the judgements of the steps make of a drop.

use std::fmt::Write;

use durable::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Criteria, Judgement};

/// Whether a drop is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// It is.
    Pass,
    /// It is not.
    Fail,
}

impl Status {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
        }
    }
}

/// The evaluation of a drop: a row of `foto_ai_reviews`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The drop.
    pub dr_number: String,
    /// The verdict.
    pub overall_status: Status,
    /// The mean of all scores, 0 to 10.
    pub average_score: f64,
    /// How many steps were judged.
    pub total_steps: i32,
    /// How many passed.
    pub passed_steps: i32,
    /// Each step.
    pub step_results: Vec<StepResult>,
    /// The same for people to read.
    pub markdown_report: String,
}

/// The judgement of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is the database's field of that name")]
pub struct StepResult {
    pub step_number: i32,
    pub step_name: String,
    pub step_label: String,
    pub passed: bool,
    pub score: f64,
    pub comment: String,
}

impl Evaluation {
    /// What these judgements make of a drop. A step without one is an error and not a score of 0.
    pub(super) fn of(drop: &str, criteria: &Criteria, judgements: &[Judgement]) -> Result<Self> {
        let mut results = Vec::new();
        for (number, step) in (1..).zip(criteria.steps()) {
            let judged = judgements
                .iter()
                .find(|judged| judged.name == step.name)
                .ok_or_else(|| Error::fatal(format!("step {} was not judged", step.name)))?;
            results.push(StepResult {
                step_number: number,
                step_name: step.name.clone(),
                step_label: step.label.clone(),
                passed: criteria.passes(judged.score),
                score: judged.score,
                comment: judged.comment.clone(),
            });
        }
        let passed = results.iter().filter(|step| step.passed).count();
        #[expect(clippy::cast_precision_loss, reason = "at most fifty steps")]
        let average = results.iter().map(|step| step.score).sum::<f64>() / results.len().max(1) as f64;
        let mut evaluation = Self {
            dr_number: drop.to_owned(),
            overall_status: if criteria.is_enough(passed) { Status::Pass } else { Status::Fail },
            // The column holds two decimals.
            average_score: (average * 100.0).round() / 100.0,
            total_steps: count(results.len()),
            passed_steps: count(passed),
            step_results: results,
            markdown_report: String::new(),
        };
        evaluation.markdown_report = evaluation.report();
        Ok(evaluation)
    }

    /// What the contractor is told.
    pub fn message(&self) -> String {
        let Self { dr_number, passed_steps, total_steps, average_score, .. } = self;
        let mut text = format!(
            "{dr_number}: {} ({passed_steps} of {total_steps} steps, {average_score:.1} of 10)",
            self.overall_status.as_str()
        );
        for step in self.step_results.iter().filter(|step| !step.passed) {
            let _ = write!(
                text,
                "\n• {}: {}",
                step.step_label,
                if step.comment.is_empty() { "please redo" } else { &step.comment }
            );
        }
        text
    }

    fn report(&self) -> String {
        let mut report = format!(
            "# {}: {}\n\n{} of {} steps passed, average score {:.2} of 10.\n\n| Step | Score | | Comment |\n| --- | --: | --- | --- |\n",
            self.dr_number,
            self.overall_status.as_str(),
            self.passed_steps,
            self.total_steps,
            self.average_score
        );
        for step in &self.step_results {
            let mark = if step.passed { "pass" } else { "fail" };
            let (label, comment) = (cell(&step.step_label), cell(&step.comment));
            let _ = writeln!(report, "| {label} | {:.1} | {mark} | {comment} |", step.score);
        }
        report
    }
}

/// Text as it stands in a cell of a markdown table, with nothing in it that marks up.
fn cell(text: &str) -> String {
    let mut cell = String::new();
    for c in text.chars() {
        match c {
            '\n' | '\r' => cell.push(' '),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '!' | '#' => cell.extend(['\\', c]),
            c => cell.push(c),
        }
    }
    cell
}

fn count(steps: usize) -> i32 {
    i32::try_from(steps).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(scores: &[f64], criteria: &Criteria) -> Result<Evaluation> {
        let judged = |(step, score): (&super::super::Step, &f64)| Judgement {
            name: step.name.clone(),
            score: *score,
            comment: "blurred".into(),
        };
        let judgements: Vec<_> = criteria.steps().iter().zip(scores).map(judged).collect();
        Evaluation::of("DR1", criteria, &judgements)
    }

    fn evaluation(scores: [f64; 10]) -> Evaluation {
        judged(&scores, &Criteria::default()).unwrap()
    }

    #[test]
    fn seven_of_ten_steps_pass_a_drop() {
        let pass = evaluation([7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 6.9, 0.0, 0.0]);
        assert_eq!((pass.overall_status, pass.passed_steps, pass.total_steps), (Status::Pass, 7, 10));
        assert!((pass.average_score - 5.59).abs() < 1e-9);
        let fail = evaluation([10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 6.9, 6.9, 6.9, 6.9]);
        assert_eq!(fail.overall_status, Status::Fail);
    }

    #[test]
    fn the_contractor_is_told_what_to_redo() {
        let message = evaluation([8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 2.0]).message();
        assert_eq!(
            message,
            "DR1: PASS (9 of 10 steps, 7.4 of 10)\n• Green lights of the ONT and the DR label: blurred"
        );
    }
    #[test]
    fn a_step_that_was_not_judged_is_no_zero() {
        let error = judged(&[9.0; 9], &Criteria::default()).unwrap_err();
        assert_eq!(error.message(), "step ont_lights_and_dr_label was not judged");
        assert!(judged(&[], &Criteria::default()).is_err());
    }

    #[test]
    fn other_steps_and_thresholds_judge_otherwise() {
        let steps = Criteria::default().steps()[..4].to_vec();
        let strict = Criteria::new(steps.clone(), 9.0, 1.0).unwrap();
        let lenient = Criteria::new(steps, 5.0, 0.5).unwrap();
        let scores = [9.0, 9.0, 5.0, 0.0];
        let (strict, lenient) = (judged(&scores, &strict).unwrap(), judged(&scores, &lenient).unwrap());
        assert_eq!((strict.overall_status, strict.passed_steps, strict.total_steps), (Status::Fail, 2, 4));
        assert_eq!((lenient.overall_status, lenient.passed_steps), (Status::Pass, 3));
    }

    #[test]
    fn the_report_is_a_table_whatever_the_model_wrote() {
        let criteria = Criteria::new(Criteria::default().steps()[..1].to_vec(), 7.0, 0.7).unwrap();
        let comment = "a | b [click](http://x) `c`".to_owned();
        let judgement = Judgement { name: "house_photo".into(), score: 6.5, comment };
        let report = Evaluation::of("DR1", &criteria, &[judgement]).unwrap().markdown_report;
        let expected = "# DR1: FAIL\n\n0 of 1 steps passed, average score 6.50 of 10.\n\n\
                        | Step | Score | | Comment |\n| --- | --: | --- | --- |\n\
                        | House | 6.5 | fail | a \\| b \\[click\\](http://x) \\`c\\` |\n";
        assert_eq!(report, expected);
    }
}
