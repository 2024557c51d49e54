//! What a drop is judged by: its steps, and when they pass.

use durable::{Error, Result};
use serde::{Deserialize, Serialize};

/// A step of an installation that a photo can show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name, for machines: letters, digits and `_`.
    pub name: String,
    /// Its name, for people.
    pub label: String,
}

/// What a drop is judged by.
#[derive(Debug, Clone, PartialEq)]
pub struct Criteria {
    steps: Vec<Step>,
    pass_score: f64,
    pass_fraction: f64,
}

/// The highest score of a step.
pub(super) const HIGHEST: f64 = 10.0;

/// FibreFlow's ten steps of an installation.
const STEPS: [(&str, &str); 10] = [
    ("house_photo", "House"),
    ("cable_span", "Cable span from the pole"),
    ("cable_entry_outside", "Cable entry, outside"),
    ("cable_entry_inside", "Cable entry, inside"),
    ("wall_installation", "Wall before installation"),
    ("ont_back_and_barcode", "Back of the ONT with its barcode"),
    ("power_meter", "Power meter reading"),
    ("ups_serial", "Serial number of the UPS"),
    ("final_installation", "Finished installation"),
    ("ont_lights_and_dr_label", "Green lights of the ONT and the DR label"),
];

impl Default for Criteria {
    /// FibreFlow's: ten steps; a step passes from a score of 7 on, a drop when 70 % of its steps do.
    fn default() -> Self {
        let steps = STEPS.map(|(name, label)| Step { name: name.to_owned(), label: label.to_owned() });
        Self { steps: steps.into(), pass_score: 7.0, pass_fraction: 0.7 }
    }
}

impl Criteria {
    /// Steps in the order of the report; the score from 0 to 10 from which a step passes; and the fraction of the steps,
    /// above 0 and up to 1, that must pass.
    pub fn new(steps: Vec<Step>, pass_score: f64, pass_fraction: f64) -> Result<Self> {
        let is_plain =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if steps.is_empty() || steps.len() > 50 {
            return Err(Error::fatal(format!("steps: expected 1 to 50 of them, not {}", steps.len())));
        }
        if let Some(step) = steps.iter().find(|step| !is_plain(&step.name) || step.label.is_empty()) {
            return Err(Error::fatal(format!(
                "steps: expected a name of letters, digits and _, and a label, not {:?} and {:?}",
                step.name, step.label
            )));
        }
        let is_repeated = |step: &&Step| steps.iter().filter(|other| other.name == step.name).count() > 1;
        if let Some(step) = steps.iter().find(is_repeated) {
            return Err(Error::fatal(format!("steps: {} is there twice", step.name)));
        }
        if !(0.0..=HIGHEST).contains(&pass_score) {
            return Err(Error::fatal(format!("pass score: expected 0 to {HIGHEST}, not {pass_score}")));
        }
        if !(pass_fraction > 0.0 && pass_fraction <= 1.0) {
            return Err(Error::fatal(format!(
                "pass fraction: expected more than 0 and at most 1, not {pass_fraction}"
            )));
        }
        Ok(Self { steps, pass_score, pass_fraction })
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether a step with this score passes.
    pub fn passes(&self, score: f64) -> bool {
        score >= self.pass_score
    }

    /// Whether a drop passes of which so many steps do.
    pub fn is_enough(&self, passed: usize) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "at most fifty steps")]
        let (passed, total) = (passed as f64, self.steps.len() as f64);
        // 0.55 × 20 is a little more than 11 as computers count.
        passed >= self.pass_fraction * total - 1e-9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(count: usize) -> Vec<Step> {
        (0..count).map(|n| Step { name: format!("step_{n}"), label: format!("Step {n}") }).collect()
    }

    #[test]
    fn a_fraction_of_any_number_of_steps_is_exact() {
        for (total, fraction, least) in
            [(10, 0.7, 7), (20, 0.55, 11), (3, 1.0, 3), (3, 0.5, 2), (9, 0.7, 7), (10, 0.01, 1)]
        {
            let criteria = Criteria::new(steps(total), 7.0, fraction).unwrap();
            assert!(criteria.is_enough(least) && !criteria.is_enough(least - 1), "{fraction} of {total}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let named = |name: &str, label: &str| vec![Step { name: name.into(), label: label.into() }];
        for (criteria, says) in [
            (Criteria::new(Vec::new(), 7.0, 0.7), "expected 1 to 50"),
            (Criteria::new([steps(2), steps(1)].concat(), 7.0, 0.7), "step_0 is there twice"),
            (Criteria::new(named("a b", "A"), 7.0, 0.7), "letters, digits and _"),
            (Criteria::new(named("a", ""), 7.0, 0.7), "and a label"),
            (Criteria::new(steps(3), 11.0, 0.7), "pass score"),
            (Criteria::new(steps(3), f64::NAN, 0.7), "pass score"),
            (Criteria::new(steps(3), 7.0, 0.0), "pass fraction"),
            (Criteria::new(steps(3), 7.0, 70.0), "pass fraction"),
        ] {
            let error = criteria.unwrap_err();
            assert!(error.message().contains(says), "{error}");
        }
        let usual = Criteria::default();
        assert_eq!(Criteria::new(usual.steps.clone(), 7.0, 0.7).unwrap(), usual);
    }
}
