//! With the real clients and the sandbox's services, on the simulated clock.

use std::cell::RefCell;

use durable::{
    Status, seconds,
    testing::{Simulation, crash_everywhere},
};
use fibreflow::{
    events::SyncRequested,
    sandbox::{Fault, Sandbox, Scene},
};
use serde_json::{Value, json};
use sync_databases::{Services, workflow};

pub(crate) fn simulation() -> (Simulation, Sandbox) {
    let simulation = Simulation::default();
    let sandbox = Sandbox::open(Scene::new(simulation.clock())).unwrap();
    let services = Services::from_settings(sandbox.settings()).unwrap();
    (simulation.with(workflow(&services.tables).with(services)), sandbox)
}

/// The output for the nth table: read, changed, unchanged, removed, refused.
pub(crate) fn counts(output: &Value, table: usize) -> [u64; 5] {
    ["read", "changed", "unchanged", "removed", "refused"]
        .map(|count| output["tables"][table][count].as_u64().unwrap())
}

/// Runs a sync and answers its output.
pub(crate) fn sync(simulation: &mut Simulation) -> Value {
    let run = simulation.send_event(&SyncRequested {}).remove(0);
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed, "{:?}", simulation.run(&run).error);
    simulation.output(&run)
}

#[test]
fn all_rows_arrive_in_batches_of_a_hundred_and_slack_is_told() {
    let (mut simulation, sandbox) = simulation();
    let run = simulation.fire_schedule("sync-databases").remove(0);
    simulation.run_until_idle();
    let output = simulation.output(&run);
    assert_eq!(counts(&output, 0), [250, 250, 0, 0, 0]);
    assert_eq!(counts(&output, 1), [40, 40, 0, 0, 0]);
    assert_eq!(output["tables_absent"].as_array().unwrap().len(), 6);
    assert_eq!(
        (&output["read"], &output["changed"], &output["refused"]),
        (&json!(290), &json!(290), &json!(0))
    );
    let sizes: Vec<_> = sandbox.convex().batches("contractors").iter().map(Vec::len).collect();
    assert_eq!((sizes, sandbox.convex().rows("projects").len()), (vec![100, 100, 50], 40));
    assert_eq!(
        sandbox.slack().texts(),
        ["Database sync complete\n\
          contractors: 250 read, 250 changed, 0 unchanged, 0 removed, 0 refused\n\
          projects: 40 read, 40 changed, 0 unchanged, 0 removed, 0 refused"]
    );
    let recorded = &sandbox.convex().records("contractors")[""];
    assert_eq!(recorded.sync_status, "success");
    assert_eq!(recorded.counts.as_ref().unwrap()["read"], 250);
}

#[test]
fn a_second_sync_pushes_nothing() {
    let (mut simulation, sandbox) = simulation();
    sync(&mut simulation);
    let before = sandbox.convex().rows("contractors");
    let output = sync(&mut simulation);
    assert_eq!((counts(&output, 0), counts(&output, 1)), ([250, 0, 250, 0, 0], [40, 0, 40, 0, 0]));
    assert_eq!(sandbox.convex().batches("contractors").len(), 3);
    assert_eq!(sandbox.convex().rows("contractors"), before);
}

#[test]
fn only_what_changed_is_pushed_and_what_became_null_is_cleared() {
    let (mut simulation, sandbox) = simulation();
    sync(&mut simulation);
    sandbox.neon().put("contractors", "c2", json!({"company_name": "Renamed", "is_active": true}));
    sandbox.neon().put("contractors", "c251", json!({"company_name": "New", "is_active": null}));
    let output = sync(&mut simulation);
    assert_eq!(counts(&output, 0), [251, 2, 249, 0, 0]);
    let batches = sandbox.convex().batches("contractors");
    assert_eq!(
        json!(batches.last().unwrap()),
        json!([
            {"neon_id": "c2", "company_name": "Renamed", "is_active": true},
            {"neon_id": "c251", "company_name": "New", "is_active": false}
        ])
    );
    assert!(!sandbox.convex().rows("contractors")["c2"].contains_key("email"));
}

#[test]
fn rows_that_are_inactive_or_deleted_are_marked_so_and_come_back() {
    let (mut simulation, sandbox) = simulation();
    sync(&mut simulation);
    assert_eq!(sandbox.convex().rows("contractors")["c5"]["is_active"], false, "inactive, and still there");
    sandbox.neon().delete("contractors", "c1");
    sandbox.neon().delete("projects", "p7");
    let output = sync(&mut simulation);
    assert_eq!((counts(&output, 0), counts(&output, 1)), ([249, 0, 249, 1, 0], [39, 0, 39, 1, 0]));
    let marked = |table: &str, id: &str| {
        let row = &sandbox.convex().rows(table)[id];
        (row.get("is_active").cloned(), row.contains_key("removed_at"))
    };
    assert_eq!(marked("contractors", "c1"), (Some(json!(false)), true));
    assert_eq!(marked("projects", "p7"), (Some(json!(false)), true));
    assert_eq!(counts(&sync(&mut simulation), 0), [249, 0, 249, 0, 0], "once is enough");

    sandbox.neon().put("projects", "p7", json!({"project_name": "Project 7", "status": "active"}));
    assert_eq!(counts(&sync(&mut simulation), 1), [40, 1, 39, 0, 0]);
    assert_eq!(marked("projects", "p7"), (None, false));
}

#[test]
fn many_rows_that_are_deleted_are_marked_in_batches() {
    let (mut simulation, sandbox) = simulation();
    sync(&mut simulation);
    for n in 1..=125 {
        sandbox.neon().delete("contractors", &format!("c{n}"));
    }
    assert_eq!(counts(&sync(&mut simulation), 0), [125, 0, 125, 125, 0]);
    assert_eq!(sandbox.convex().live("contractors").len(), 125);
}

#[test]
fn a_table_that_an_import_has_emptied_keeps_its_mirror_and_slack_is_told() {
    let (mut simulation, sandbox) = simulation();
    sync(&mut simulation);
    let before = sandbox.convex().live("contractors");
    for n in 1..=250 {
        sandbox.neon().delete("contractors", &format!("c{n}"));
    }
    let output = sync(&mut simulation);
    assert_eq!(counts(&output, 0), [0, 0, 0, 0, 0]);
    assert_eq!(output["tables"][0]["left"], json!({"rows": 250, "mirrored": 250}));
    assert_eq!(sandbox.convex().live("contractors"), before);
    let text = sandbox.slack().texts().pop().unwrap();
    assert!(text.starts_with("Database sync complete, except for some rows\n"), "{text}");
    assert!(text.contains("\n  250 of 250 mirrored rows are gone from Neon: too many"), "{text}");
    // The import ends, and all is as it was.
    for n in 1..=250 {
        let row = json!({"company_name": format!("Contractor {n}"), "is_active": true});
        sandbox.neon().put("contractors", &format!("c{n}"), row);
    }
    let output = sync(&mut simulation);
    assert_eq!((&output["tables"][0]["left"], counts(&output, 0)[3]), (&json!(null), 0));
}

#[test]
fn an_import_that_has_finished_starts_it() {
    let (mut simulation, sandbox) = simulation();
    let runs = simulation.send("databases/import.finished", json!({"rows": 23_700, "source": "onemap"}));
    simulation.run_until_idle();
    assert_eq!(simulation.run(&runs[0]).status, Status::Completed);
    assert_eq!(sandbox.slack().texts().len(), 1);
}

#[test]
fn never_two_syncs_at_once() {
    let (mut simulation, sandbox) = simulation();
    // Refused for a while, so that the first sync still waits when the others are asked for.
    sandbox.convex().break_down(Fault::TooManyRequests, Some(3));
    let mut runs: Vec<_> = (0..3).flat_map(|_| simulation.send_event(&SyncRequested {})).collect();
    runs.extend(simulation.send("databases/import.finished", json!({})));
    runs.extend(simulation.fire_schedule("sync-databases"));
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
fn a_call_that_convex_refuses_is_made_five_times_with_growing_pauses() {
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
fn the_seeds_steps_have_the_seeds_names() {
    let (mut simulation, _sandbox) = simulation();
    let run = simulation.send_event(&SyncRequested {}).remove(0);
    simulation.run_until_idle();
    let names: Vec<_> =
        simulation.checkpoints(&run).iter().map(|checkpoint| checkpoint.step.to_string()).collect();
    let first = ["fetch-neon-data", "transform-data", "sync-batch", "sync-batch#2", "sync-batch#3"];
    assert_eq!(names[..5], first);
    assert_eq!(names[5..7], ["find-removed", "record-sync"]);
    assert_eq!(names.last().unwrap(), "notify-complete");
}

#[test]
fn no_record_of_a_run_holds_rows() {
    let (mut simulation, _sandbox) = simulation();
    let run = simulation.send_event(&SyncRequested {}).remove(0);
    simulation.run_until_idle();
    let records = serde_json::to_string(&simulation.checkpoints(&run)).unwrap();
    assert!(!records.contains("office@") && !records.contains("Contractor 1"), "{records}");
    assert!(records.len() < 8_000, "{}", records.len());
}

#[test]
fn whatever_dies_the_mirror_is_whole() {
    let world = RefCell::new(None);
    let scenario = || {
        let (mut simulation, sandbox) = simulation();
        // There is something to be new, changed, removed and refused.
        simulation.fire_schedule("sync-databases");
        simulation.run_until_idle();
        sandbox.neon().put("contractors", "c1", json!({"company_name": "Renamed", "is_active": true}));
        sandbox.neon().put("contractors", "c999", json!({"company_name": "New", "is_active": true}));
        sandbox.neon().delete("contractors", "c7");
        sandbox.convex().refuse_row("c999");
        simulation.send_event(&SyncRequested {});
        world.replace(Some(sandbox));
        simulation
    };
    let runs = crash_everywhere(scenario, |disturbed, undisturbed| {
        let (label, sandbox) = (disturbed.label(), world.borrow());
        let convex = sandbox.as_ref().unwrap().convex();
        // The counts too: they are of what was found, however often it had to be pushed.
        assert_eq!(disturbed.outcomes(), undisturbed.outcomes(), "{label}");
        let live = convex.live("contractors");
        assert_eq!((live.len(), &live["c1"]["company_name"]), (249, &json!("Renamed")), "{label}");
        assert!(!live.contains_key("c7") && !live.contains_key("c999"), "{label}");
        assert_eq!(convex.live("projects").len(), 40, "{label}");
        // A step may run again when its record was cut off, and only then.
        assert!((4..=5).contains(&convex.batches("contractors").len()), "{label}");
        assert!((2..=3).contains(&sandbox.as_ref().unwrap().slack().texts().len()), "{label}");
    });
    assert!(runs > 40, "only {runs} places to die");
}
