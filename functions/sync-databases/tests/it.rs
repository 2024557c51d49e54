//! sync-databases on the simulated clock, with its real clients and the sandbox's services.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::cell::RefCell;

use durable::{
    Status, seconds,
    testing::{Simulation, crash_everywhere},
};
use fibreflow::{
    events::SyncRequested,
    sandbox::{Fault, Sandbox, Scene},
};
use serde_json::json;
use sync_databases::{Services, workflow};

fn simulation() -> (Simulation, Sandbox) {
    let simulation = Simulation::default();
    let sandbox = Sandbox::open(Scene::new(simulation.clock())).unwrap();
    let services = Services::from_settings(sandbox.settings()).unwrap();
    (simulation.with(workflow().with(services)), sandbox)
}

#[test]
fn all_rows_arrive_in_batches_of_a_hundred_and_slack_is_told() {
    let (mut simulation, sandbox) = simulation();
    let run = simulation.fire_schedule("sync-databases").remove(0);
    simulation.run_until_idle();
    let expected = json!({"rows": 290, "batches": 4, "inserted": 290, "updated": 0});
    assert_eq!(simulation.output(&run), expected);
    let sizes: Vec<_> = sandbox.convex().batches("contractors").iter().map(Vec::len).collect();
    assert_eq!((sizes, sandbox.convex().rows("projects").len()), (vec![100, 100, 50], 40));
    assert_eq!(
        sandbox.slack().texts(),
        ["Database sync complete: 290 rows in 4 batches, 290 new and 0 updated"]
    );
}

#[test]
fn a_second_sync_doubles_nothing() {
    let (mut simulation, sandbox) = simulation();
    simulation.fire_schedule("sync-databases");
    simulation.run_until_idle();
    let run = simulation.send_event(&SyncRequested {}).remove(0);
    simulation.run_until_idle();
    assert_eq!(simulation.output(&run)["updated"], 290);
    assert_eq!(sandbox.convex().rows("contractors").len(), 250);
}

#[test]
fn never_two_syncs_at_once() {
    let (mut simulation, sandbox) = simulation();
    // Refused for a while, so that the first sync still waits when the others are asked for.
    sandbox.convex().break_down(Fault::TooManyRequests, Some(3));
    let runs: Vec<_> = (0..3).flat_map(|_| simulation.send_event(&SyncRequested {})).collect();
    simulation.run_until_idle();
    assert_eq!(simulation.violations(), [""; 0]);
    let mut spans: Vec<_> = runs
        .iter()
        .map(|run| simulation.run(run))
        .map(|run| (run.started_at.unwrap(), run.ended_at.unwrap()))
        .collect();
    spans.sort();
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?}");
}

#[test]
fn a_database_that_sleeps_is_asked_three_times() {
    let (mut simulation, sandbox) = simulation();
    sandbox.neon().refuse(2);
    let run = simulation.fire_schedule("sync-databases").remove(0);
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed);

    sandbox.neon().refuse(9);
    let run = simulation.send_event(&SyncRequested {}).remove(0);
    simulation.run_until_idle();
    assert_eq!(simulation.checkpoints(&run)[0].attempts, 3);
    assert!(simulation.run(&run).error.unwrap().message().contains("connection refused"));
    assert_eq!(sandbox.slack().texts().len(), 1, "what did not happen is not reported");
}

/// Convex says what went wrong with status 200.
#[test]
fn a_batch_that_convex_refuses_is_pushed_five_times_with_growing_pauses() {
    let (mut simulation, sandbox) = simulation();
    sandbox.convex().break_down(Fault::Refuse, None);
    let run = simulation.fire_schedule("sync-databases").remove(0);
    simulation.run_until_idle();
    let failed = simulation.run(&run);
    assert!(failed.error.unwrap().message().contains("Server Error"));
    assert_eq!(sandbox.convex().requests(), 5);
    // 1, 2, 4 and 8 seconds, a fifth more or less, and a second for each call.
    let waited = simulation.elapsed().as_secs_f64() - 5.0;
    assert!((12.0..=18.0).contains(&waited), "{waited}");
}

#[test]
fn retry_after_is_honoured() {
    let (mut simulation, sandbox) = simulation();
    sandbox.slack().break_down(Fault::TooManyRequests, Some(1));
    simulation.fire_schedule("sync-databases");
    simulation.run_until_idle();
    assert_eq!(sandbox.slack().texts().len(), 1);
    assert!(simulation.elapsed() >= seconds(4 + 7), "{:?}", simulation.elapsed());
}

#[test]
fn whatever_dies_the_mirror_is_whole_and_read_once() {
    let world = RefCell::new(None);
    let scenario = || {
        let (mut simulation, sandbox) = simulation();
        simulation.fire_schedule("sync-databases");
        world.replace(Some(sandbox));
        simulation
    };
    let runs = crash_everywhere(scenario, |disturbed, undisturbed| {
        let (label, sandbox) = (disturbed.label(), world.borrow());
        let sandbox = sandbox.as_ref().unwrap();
        assert_eq!(disturbed.outcomes()[0].status, undisturbed.outcomes()[0].status, "{label}");
        assert_eq!(sandbox.convex().rows("contractors").len(), 250, "{label}");
        // A step may run again when its record was cut off, and only then.
        let batches =
            sandbox.convex().batches("contractors").len() + sandbox.convex().batches("projects").len();
        assert!((4..=5).contains(&batches), "{batches} batches, {label}");
        assert!((1..=2).contains(&sandbox.neon().fetches()), "{label}");
        assert!((1..=2).contains(&sandbox.slack().texts().len()), "{label}");
    });
    assert!(runs > 20, "only {runs} places to die");
}
