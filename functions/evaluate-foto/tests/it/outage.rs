//! The model is away: runs wait for it, use up no attempts, and go on when it is back.

use std::cell::RefCell;

use durable::{
    Event, Status, WaitingFor, hours, minutes, seconds,
    testing::{Simulation, crash_everywhere},
};
use fibreflow::{events::MessageQueued, sandbox::Fault};

use crate::{failure, messages, recorded, request, request_photos, simulation, simulation_with, steps};

#[test]
fn a_model_that_is_missing_is_waited_for() {
    for fault in [Fault::ModelMissing, Fault::Unreachable] {
        let (mut simulation, sandbox) = simulation();
        sandbox.vlm().break_down(fault, None);
        let run = request(&mut simulation, 1);
        simulation.run_for(hours(3));
        let waits = simulation.run(&run).waiting_for;
        assert!(
            matches!(&waits[..], [WaitingFor::Sleep { step, .. }] if step.name == "wait-for-model"),
            "{fault}: {waits:?}"
        );
        sandbox.vlm().mend();
        simulation.run_until_idle();
        assert_eq!(simulation.run(&run).status, Status::Completed, "{fault}");
        assert!(simulation.elapsed() < hours(3) + minutes(16), "{fault}: {:?}", simulation.elapsed());
        assert_eq!((sandbox.vlm().asked(), sandbox.neon().stores()), (1, 1), "{fault}");
        assert!(simulation.checkpoints(&run).iter().all(|step| step.attempts == 1), "{fault}");
    }
}

#[test]
fn each_wait_and_each_question_is_a_step_of_its_own() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::ModelMissing, None);
    let run = request(&mut simulation, 1);
    // The waits are 1, 1, 2, 4, 8 and then 15 minutes.
    simulation.run_for(minutes(3));
    sandbox.vlm().mend();
    simulation.run_until_idle();
    let expected = [
        "download-image",
        "vlm-evaluate",
        "wait-for-model",
        "check-model",
        "wait-for-model#2",
        "check-model#2",
        "wait-for-model#3",
        "check-model#3",
        "vlm-evaluate#2",
        "store-result",
        "queue-notification",
    ];
    assert_eq!(steps(&simulation, &run), expected);
    let says = recorded(&simulation, &run, "check-model#2");
    assert!(says.contains("and not Qwen/Qwen3-VL-8B-Instruct"), "{says}");
}

/// It is restarted at 03:00 every night, whoever is being judged then.
#[test]
fn a_server_that_is_restarted_over_a_call_costs_no_attempt() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::Dies, None);
    let run = request_photos(&mut simulation, 1, 9);
    let vlm = sandbox.clone();
    simulation.at(minutes(4), move |_| vlm.vlm().mend());
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed);
    assert_eq!(sandbox.vlm().asked(), 1 + 2, "the call that was lost, and one for each half");
    assert!(simulation.checkpoints(&run).iter().all(|step| step.attempts == 1));
    assert_eq!((sandbox.neon().stores(), messages(&simulation).len()), (1, 1));
}

/// It once did so for 23 hours: up for a moment, a call, and down.
#[test]
fn a_server_that_crashes_in_a_loop_for_a_day_loses_no_drop() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::Dies, None);
    let runs: Vec<_> = (1..=8).map(|drop| request(&mut simulation, drop)).collect();
    for restart in 1..=92 {
        let vlm = sandbox.clone();
        simulation.at(minutes(15 * restart), move |_| vlm.vlm().break_down(Fault::Dies, None));
    }
    let vlm = sandbox.clone();
    simulation.at(hours(23) + minutes(1), move |_| vlm.vlm().mend());
    simulation.run_until_idle();
    for run in &runs {
        assert_eq!(simulation.run(run).status, Status::Completed);
    }
    assert_eq!((sandbox.neon().reviews().len(), messages(&simulation).len()), (8, 8));
    assert!(simulation.elapsed() < hours(24), "{:?}", simulation.elapsed());
}

#[test]
fn after_two_days_a_person_is_needed() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::ModelMissing, None);
    let run = request(&mut simulation, 1);
    simulation.run_until_idle();
    let says = failure(&simulation, &sandbox, &run);
    assert!(says.starts_with("the model was away for 48 h: mend it, then send the event again; "), "{says}");
    assert_eq!((sandbox.vlm().asked(), simulation.elapsed()), (0, hours(48)));
    let records = simulation.checkpoints(&run).len();
    assert!(records < 500, "{records} records");
}

#[test]
fn how_long_is_waited_is_configuration() {
    let (mut simulation, sandbox) = simulation_with(|services| services.outage = hours(2));
    sandbox.vlm().break_down(Fault::Unreachable, None);
    let run = request(&mut simulation, 1);
    simulation.run_until_idle();
    assert!(failure(&simulation, &sandbox, &run).starts_with("the model was away for 2 h"));
    assert_eq!(simulation.elapsed(), hours(2));
}

/// Five runs wait for the model, and hold their slots: all others wait in line, ask nothing and lose nothing.
#[test]
fn in_an_outage_five_runs_ask_and_the_others_stay_in_line() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::Unreachable, None);
    for drop in 1..=40 {
        request(&mut simulation, drop);
    }
    simulation.run_for(hours(6));
    let started = simulation.runs().into_iter().filter(|run| run.started_at.is_some()).count();
    assert_eq!((started, sandbox.vlm().asked()), (5, 0));
    assert!(sandbox.vlm().requests() < 5 * 40, "{} questions in six hours", sandbox.vlm().requests());
    sandbox.vlm().mend();
    simulation.run_until_idle();
    assert_eq!(simulation.violations(), [""; 0]);
    assert_eq!((sandbox.neon().reviews().len(), messages(&simulation).len()), (40, 40));
    assert_eq!((sandbox.vlm().asked(), sandbox.vlm().most_at_once()), (40, 5));
}

/// Those in line are still there when the first five were given up.
#[test]
fn an_outage_longer_than_the_limit_fails_five_runs_and_no_more() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::Unreachable, None);
    for drop in 1..=20 {
        request(&mut simulation, drop);
    }
    simulation.run_for(hours(50));
    sandbox.vlm().mend();
    simulation.run_until_idle();
    let failed = simulation.runs().into_iter().filter(|run| run.status == Status::Failed).count();
    assert_eq!((failed, sandbox.neon().reviews().len(), messages(&simulation).len()), (5, 15, 15));
}

/// An attempt that failed before the model went away leaves the run no fewer attempts when it is back.
#[test]
fn attempts_are_counted_anew_after_an_outage() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::ServerError, None);
    let run = request(&mut simulation, 1);
    // Attempts at about 0, 10 and 30 s; the next would be the last, at 70 s.
    simulation.run_for(seconds(45));
    assert_eq!(sandbox.vlm().asked(), 3);
    sandbox.vlm().break_down(Fault::Unreachable, None);
    simulation.run_for(hours(1));
    sandbox.vlm().break_down(Fault::ServerError, Some(3));
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed);
    assert_eq!((sandbox.vlm().asked(), sandbox.neon().stores()), (3 + 4, 1));
}

#[test]
fn whatever_dies_during_an_outage_there_is_one_row_and_one_message() {
    let world = RefCell::new(None);
    let scenario = || -> Simulation {
        let (mut simulation, sandbox) =
            simulation_with(|services| services.vlm = services.vlm.clone().photos_per_call(1));
        sandbox.vlm().break_down(Fault::Dies, None);
        for drop in 1..=2 {
            request_photos(&mut simulation, drop, 2);
        }
        let vlm = sandbox.clone();
        simulation.at(seconds(150), move |_| vlm.vlm().mend());
        world.replace(Some(sandbox));
        simulation
    };
    let runs = crash_everywhere(scenario, |disturbed, undisturbed| {
        let (label, sandbox) = (disturbed.label(), world.borrow());
        assert_eq!(disturbed.outcomes(), undisturbed.outcomes(), "{label}");
        let sandbox = sandbox.as_ref().unwrap();
        assert_eq!(sandbox.neon().reviews().len(), 2, "{label}");
        // Two calls a drop, the ones the server died over, and one more for a process that died.
        assert!((4..=7).contains(&sandbox.vlm().asked()), "asked {} times, {label}", sandbox.vlm().asked());
        let told = disturbed.events().into_iter().filter(|event| event.name == MessageQueued::NAME);
        let mut ids: Vec<_> = told.map(|event| event.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 2, "a message more than drops, {label}");
    });
    assert!(runs > 60, "only {runs} places to die");
}
