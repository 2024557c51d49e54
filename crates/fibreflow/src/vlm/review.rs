//! A drop whose photos are judged in as many calls as it takes.

use durable::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Criteria, Evaluation, Judgement};
use crate::photos::PhotoRef;

/// How a call to the model ended, failures that another attempt may mend aside.
///
/// It says how many photos it is about: when the configured number changes while a run is under way, a recorded answer
/// still counts for exactly the photos it was given for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The model judged every step by these photos.
    Judged {
        /// How many photos it was shown.
        photos: usize,
        /// Each step's judgement.
        steps: Vec<Judgement>,
    },
    /// The photos, or what there is to say of them, are more than the model takes at once.
    TooMany {
        /// How many photos it was shown.
        photos: usize,
        /// What the server says.
        reason: String,
    },
    /// The model is not being served.
    Away {
        /// What shows it.
        reason: String,
    },
}

/// A drop whose photos are judged in as many calls as it takes.
#[derive(Debug)]
pub struct Review<'a> {
    criteria: &'a Criteria,
    drop: &'a str,
    /// Those that are not judged yet.
    photos: &'a [PhotoRef],
    photos_per_call: usize,
    best: Vec<Judgement>,
}

impl<'a> Review<'a> {
    pub(super) fn new(
        criteria: &'a Criteria,
        photos_per_call: usize,
        drop: &'a str,
        photos: &'a [PhotoRef],
    ) -> Self {
        Self { criteria, drop, photos, photos_per_call, best: Vec::new() }
    }

    /// The photos of the next call; `None` when all are judged.
    pub fn next_call(&self) -> Option<&'a [PhotoRef]> {
        // Seven photos are four and three rather than six and one: no call is fuller than it must be.
        let calls = self.photos.len().div_ceil(self.photos_per_call.max(1));
        (calls > 0).then(|| &self.photos[..self.photos.len().div_ceil(calls)])
    }

    /// Takes an answer in. When the model is away, answers what shows it: the same photos are then asked about again.
    pub fn take(&mut self, answer: Answer) -> Option<String> {
        match answer {
            Answer::Judged { photos, steps } => {
                self.photos = self.photos.get(photos..).unwrap_or_default();
                for judged in steps {
                    self.keep_best(judged);
                }
                None
            }
            Answer::TooMany { photos, .. } => {
                self.photos_per_call = (photos / 2).max(1);
                None
            }
            Answer::Away { reason } => Some(reason),
        }
    }

    /// A step is as good as the photo that shows it best. Of equals, the first.
    fn keep_best(&mut self, judged: Judgement) {
        match self.best.iter_mut().find(|best| best.name == judged.name) {
            Some(best) if best.score >= judged.score => {}
            Some(best) => *best = judged,
            None => self.best.push(judged),
        }
    }

    /// What the judgements make of the drop. An error unless every photo and every step was judged.
    pub fn evaluation(&self) -> Result<Evaluation> {
        if !self.photos.is_empty() {
            return Err(Error::fatal(format!("{} photos were not judged", self.photos.len())));
        }
        Evaluation::of(self.drop, self.criteria, &self.best)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::photos::PhotoAddress;

    fn photos(count: usize) -> Vec<PhotoRef> {
        let photo = |n| PhotoRef {
            address: PhotoAddress { field: format!("photos[{n}]"), url: format!("s3://photos/{n}.jpg") },
            sha256: String::new(),
            bytes: 1,
            width: 1,
            height: 1,
        };
        (0..count).map(photo).collect()
    }

    fn judged(photos: usize, scores: &[f64]) -> Answer {
        let criteria = Criteria::default();
        let judgement = |(step, score): (&super::super::Step, &f64)| Judgement {
            name: step.name.clone(),
            score: *score,
            comment: format!("{score}"),
        };
        Answer::Judged { photos, steps: criteria.steps().iter().zip(scores).map(judgement).collect() }
    }

    fn sizes(count: usize, per_call: usize) -> Vec<usize> {
        let (criteria, photos) = (Criteria::default(), photos(count));
        let mut review = Review::new(&criteria, per_call, "DR1", &photos);
        let mut sizes = Vec::new();
        while let Some(call) = review.next_call() {
            sizes.push(call.len());
            review.take(judged(call.len(), &[8.0; 10]));
        }
        sizes
    }

    #[test]
    fn photos_are_spread_evenly_over_as_few_calls_as_it_takes() {
        assert_eq!(sizes(1, 6), [1]);
        assert_eq!(sizes(6, 6), [6]);
        assert_eq!(sizes(7, 6), [4, 3]);
        assert_eq!(sizes(16, 6), [6, 5, 5]);
        assert_eq!(sizes(3, 0), [1, 1, 1]);
        assert_eq!(sizes(0, 6), [0; 0]);
    }

    #[test]
    fn too_many_photos_at_once_are_halved_down_to_one_and_none_is_left_out() {
        let (criteria, photos) = (Criteria::default(), photos(6));
        let mut review = Review::new(&criteria, 6, "DR1", &photos);
        let mut asked = Vec::new();
        while let Some(call) = review.next_call() {
            asked.push(call.len());
            let answer = if call.len() > 1 {
                Answer::TooMany { photos: call.len(), reason: "too long".into() }
            } else {
                judged(1, &[8.0; 10])
            };
            assert_eq!(review.take(answer), None);
        }
        assert_eq!(asked, [6, 3, 1, 1, 1, 1, 1, 1]);
        assert_eq!(review.evaluation().unwrap().passed_steps, 10);
    }

    #[test]
    fn while_the_model_is_away_the_same_photos_stay_to_be_judged() {
        let (criteria, photos) = (Criteria::default(), photos(3));
        let mut review = Review::new(&criteria, 2, "DR1", &photos);
        let first = review.next_call().unwrap();
        assert_eq!(review.take(Answer::Away { reason: "404".into() }).as_deref(), Some("404"));
        assert_eq!(review.next_call().unwrap(), first);
        assert!(review.evaluation().unwrap_err().message().contains("3 photos were not judged"));
    }

    /// The number of photos a call, or the steps, may be configured anew between two resumptions of a run.
    #[test]
    fn recorded_answers_count_for_what_they_were_given_for() {
        let (criteria, photos) = (Criteria::default(), photos(10));
        let mut review = Review::new(&criteria, 6, "DR1", &photos);
        assert_eq!(review.next_call().unwrap().len(), 5);
        review.take(judged(4, &[8.0; 9]));
        assert_eq!(review.next_call().unwrap()[0].address.field, "photos[4]");
        review.take(judged(6, &[8.0; 9]));
        assert_eq!(review.next_call(), None);
        let error = review.evaluation().unwrap_err();
        assert_eq!(error.message(), "step ont_lights_and_dr_label was not judged");
    }

    proptest! {
        #[test]
        fn a_step_has_its_best_score_whatever_the_order(
            calls in prop::collection::vec(prop::collection::vec(0_u8..=10, 10), 1..5),
            rotation in 0_usize..5,
        ) {
            let (criteria, photos) = (Criteria::default(), photos(calls.len()));
            let evaluate = |calls: &[Vec<u8>]| {
                let mut review = Review::new(&criteria, 1, "DR1", &photos);
                for scores in calls {
                    review.take(judged(1, &scores.iter().map(|score| f64::from(*score)).collect::<Vec<_>>()));
                }
                review.evaluation().unwrap()
            };
            let evaluation = evaluate(&calls);
            for (index, step) in evaluation.step_results.iter().enumerate() {
                let best = calls.iter().map(|scores| scores[index]).max().unwrap();
                prop_assert!((step.score - f64::from(best)).abs() < f64::EPSILON);
                prop_assert_eq!(&step.comment, &format!("{best}"));
            }
            let mut turned = calls.clone();
            turned.rotate_left(rotation % calls.len());
            prop_assert_eq!(evaluate(&turned), evaluation);
        }

        #[test]
        fn every_photo_is_shown_once_and_no_call_is_too_full(count in 0_usize..60, per_call in 1_usize..9) {
            let sizes = sizes(count, per_call);
            prop_assert_eq!(sizes.iter().sum::<usize>(), count);
            prop_assert_eq!(sizes.len(), count.div_ceil(per_call));
            let spread = sizes.iter().max().unwrap_or(&0) - sizes.iter().min().unwrap_or(&0);
            prop_assert!(sizes.iter().all(|size| *size <= per_call) && spread <= 1);
        }
    }
}
