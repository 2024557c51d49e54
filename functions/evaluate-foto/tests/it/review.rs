//! A person's look at an evaluation before its contractor hears of it.

use durable::{
    RunId, Status, WaitingFor, hours, minutes,
    testing::{Simulation, crash_everywhere},
};
use fibreflow::{
    events::{ReviewDecided, ReviewRequested},
    sandbox::Sandbox,
};
use serde_json::json;

use crate::{messages, request, simulation_with, steps};

fn simulation() -> (Simulation, Sandbox) {
    simulation_with(|services| services.review = Some(hours(24)))
}

fn decide(simulation: &mut Simulation, drop: u32, approved: bool) {
    let by = Some("Thandi".to_owned());
    simulation.send_event(&ReviewDecided { dr_number: format!("DR{drop}"), approved, by });
}

fn status(simulation: &Simulation, run: &RunId) -> Status {
    simulation.run(run).status
}

#[test]
fn the_contractor_is_told_once_a_person_has_approved() {
    let (mut simulation, sandbox) = simulation();
    let (good, bad) = (request(&mut simulation, 1), request(&mut simulation, 2));
    simulation.run_for(hours(1));
    assert_eq!((sandbox.neon().stores(), messages(&simulation).len()), (2, 0), "stored, and nobody told");
    let asked: Vec<_> =
        simulation.events().into_iter().filter(|event| event.name == "foto/review.requested").collect();
    let asked: ReviewRequested = serde_json::from_value(asked[0].data.clone()).unwrap();
    assert_eq!(asked.dr_number, "DR1");
    decide(&mut simulation, 1, true);
    decide(&mut simulation, 2, false);
    simulation.run_until_idle();
    assert_eq!([&good, &bad].map(|run| status(&simulation, run)), [Status::Completed; 2]);
    let told = messages(&simulation);
    assert_eq!(told.len(), 1);
    assert!(told[0]["message"].as_str().unwrap().starts_with("DR1: "));
    assert!(steps(&simulation, &bad).contains(&"await-review".to_owned()));
    assert_eq!(simulation.violations(), [""; 0]);
}

#[test]
fn an_evaluation_that_waits_for_its_review_holds_nobody_up() {
    let (mut simulation, sandbox) = simulation();
    let runs: Vec<_> = (1..=12).map(|drop| request(&mut simulation, drop)).collect();
    simulation.run_for(hours(2));
    assert_eq!((sandbox.neon().stores(), sandbox.vlm().most_at_once()), (12, 5));
    let waits =
        |run: &RunId| matches!(simulation.run(run).waiting_for[..], [WaitingFor::Event { aside: true, .. }]);
    assert!(runs.iter().all(waits));
}

#[test]
fn without_a_decision_in_time_the_run_fails_and_says_so() {
    let (mut simulation, sandbox) = simulation();
    let run = request(&mut simulation, 1);
    simulation.run_until_idle();
    let error = simulation.run(&run).error.unwrap();
    assert!(error.message().starts_with("nobody reviewed the evaluation within 24 h"), "{error}");
    assert_eq!((sandbox.neon().stores(), messages(&simulation).len()), (1, 0));
}

#[test]
fn a_resubmission_supersedes_an_evaluation_that_waits_for_its_review() {
    let (mut simulation, _sandbox) = simulation();
    let first = request(&mut simulation, 1);
    simulation.run_for(hours(1));
    let second = request(&mut simulation, 1);
    simulation.run_for(minutes(30));
    decide(&mut simulation, 1, true);
    simulation.run_until_idle();
    assert_eq!([&first, &second].map(|run| status(&simulation, run)), [Status::Cancelled, Status::Completed]);
    assert_eq!(messages(&simulation).len(), 1);
}

#[test]
fn whatever_dies_a_reviewed_evaluation_is_told_once() {
    let scenario = || {
        let (mut simulation, _sandbox) = simulation();
        request(&mut simulation, 1);
        simulation.at(hours(1), |simulation| decide(simulation, 1, true));
        simulation
    };
    let runs = crash_everywhere(scenario, |disturbed, undisturbed| {
        assert_eq!(disturbed.outcomes(), undisturbed.outcomes(), "{}", disturbed.label());
        let mut ids: Vec<_> = disturbed
            .events()
            .into_iter()
            .filter(|event| event.data["phone"] == json!("0821234567"))
            .map(|event| event.id)
            .collect();
        ids.dedup();
        assert_eq!(ids.len(), 1, "{}", disturbed.label());
    });
    assert!(runs > 40, "only {runs} places to die");
}
