//! What the judgements of the steps make of a drop.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::answer::Judgement;

/// A step of an installation that a photo can show.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Its name, for machines.
    pub name: &'static str,
    /// Its name, for people.
    pub label: &'static str,
}

const fn step(name: &'static str, label: &'static str) -> Step {
    Step { name, label }
}

/// The ten steps of an installation.
pub const STEPS: [Step; 10] = [
    step("house_photo", "House"),
    step("cable_span", "Cable span from the pole"),
    step("cable_entry_outside", "Cable entry, outside"),
    step("cable_entry_inside", "Cable entry, inside"),
    step("wall_installation", "Wall before installation"),
    step("ont_back_and_barcode", "Back of the ONT with its barcode"),
    step("power_meter", "Power meter reading"),
    step("ups_serial", "Serial number of the UPS"),
    step("final_installation", "Finished installation"),
    step("ont_lights_and_dr_label", "Green lights of the ONT and the DR label"),
];

/// A step passes from this score on.
const PASSING_SCORE: f64 = 7.0;

/// A drop passes when at least so many of ten steps do.
const PASSING_TENTHS: usize = 7;

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
    /// What these judgements, one for each of [`STEPS`], make of a drop.
    pub(super) fn of(drop: &str, judgements: Vec<Judgement>) -> Self {
        let results: Vec<_> = (1..)
            .zip(STEPS)
            .filter_map(|(number, step)| {
                let judged = judgements.iter().find(|judged| judged.name == step.name)?;
                Some(StepResult {
                    step_number: number,
                    step_name: step.name.to_owned(),
                    step_label: step.label.to_owned(),
                    passed: judged.score >= PASSING_SCORE,
                    score: judged.score,
                    comment: judged.comment.clone(),
                })
            })
            .collect();
        let passed = results.iter().filter(|step| step.passed).count();
        #[expect(clippy::cast_precision_loss, reason = "ten steps")]
        let average = results.iter().map(|step| step.score).sum::<f64>() / results.len().max(1) as f64;
        let is_pass = !results.is_empty() && passed * 10 >= results.len() * PASSING_TENTHS;
        let mut evaluation = Self {
            dr_number: drop.to_owned(),
            overall_status: if is_pass { Status::Pass } else { Status::Fail },
            // The column holds two decimals.
            average_score: (average * 100.0).round() / 100.0,
            total_steps: count(results.len()),
            passed_steps: count(passed),
            step_results: results,
            markdown_report: String::new(),
        };
        evaluation.markdown_report = evaluation.report();
        evaluation
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
            let comment = step.comment.replace(['|', '\n'], " ");
            let _ = writeln!(report, "| {} | {:.1} | {mark} | {comment} |", step.step_label, step.score);
        }
        report
    }
}

fn count(steps: usize) -> i32 {
    i32::try_from(steps).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(scores: [f64; 10]) -> Evaluation {
        let judged = |(step, score): (Step, f64)| Judgement {
            name: step.name.into(),
            score,
            comment: "blurred".into(),
        };
        Evaluation::of("DR1", STEPS.into_iter().zip(scores).map(judged).collect())
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
}
