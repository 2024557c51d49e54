//! Rows that Convex does not take.

use durable::{Status, testing::Simulation};
use fibreflow::{
    events::SyncRequested,
    sandbox::{Fault, Sandbox},
};
use serde_json::json;

use crate::simulated::{counts, simulation, sync};

#[test]
fn a_refused_row_is_isolated_and_reported_and_tried_again_while_the_rest_go_on() {
    let (mut simulation, sandbox) = simulation();
    let convex = sandbox.convex();
    convex.refuse_row("c42");
    convex.refuse_row("p3");
    let output = sync(&mut simulation);
    assert_eq!((counts(&output, 0), counts(&output, 1)), ([250, 249, 0, 0, 1], [40, 39, 0, 0, 1]));
    assert_eq!(output["tables"][0]["refusals"][0]["key"], "c42");
    assert_eq!((convex.live("contractors").len(), convex.live("projects").len()), (249, 39));
    let text = sandbox.slack().texts().remove(0);
    assert!(text.starts_with("Database sync complete, except for some rows\n"), "{text}");
    assert!(text.contains("\n  contractors c42: refused, as switched on"), "{text}");
    let record = &convex.records("contractors")["c42"];
    assert_eq!((record.sync_status.as_str(), record.content_hash.as_deref()), ("failed", None));
    assert!(record.error_message.as_ref().unwrap().contains("switched on"));
    assert_eq!(convex.records("contractors")[""].sync_status, "failed");

    let output = sync(&mut simulation);
    assert_eq!(counts(&output, 0), [250, 0, 249, 0, 1], "tried again");
    convex.accept_all_rows();
    let output = sync(&mut simulation);
    assert_eq!((counts(&output, 0), counts(&output, 1)), ([250, 1, 249, 0, 0], [40, 1, 39, 0, 0]));
    assert_eq!(convex.records("contractors")["c42"].sync_status, "success");
}

#[test]
fn a_row_that_was_mirrored_and_is_refused_now_keeps_its_last_good_form() {
    let (mut simulation, sandbox) = simulation();
    sync(&mut simulation);
    sandbox.convex().refuse_row("c1");
    sandbox.neon().put("contractors", "c1", json!({"company_name": "Renamed", "is_active": true}));
    assert_eq!(counts(&sync(&mut simulation), 0), [250, 0, 249, 0, 1]);
    assert_eq!(sandbox.convex().live("contractors")["c1"]["company_name"], "Contractor 1");
    // Back to what it was: that counts as mirrored only once it has been pushed again.
    let before = json!({"company_name": "Contractor 1", "is_active": true, "status": "approved"});
    sandbox.neon().put("contractors", "c1", before);
    sandbox.convex().accept_all_rows();
    assert_eq!(counts(&sync(&mut simulation), 0), [250, 1, 249, 0, 0]);
}

#[test]
fn what_cannot_be_represented_is_refused_by_table_key_and_column() {
    let (mut simulation, sandbox) = simulation();
    sandbox.neon().put_unrepresentable("projects", "p9", "budget", "NaN is no finite number");
    let output = sync(&mut simulation);
    assert_eq!(counts(&output, 1), [40, 39, 0, 0, 1]);
    let text = sandbox.slack().texts().remove(0);
    assert!(text.contains("\n  projects p9: column budget: NaN is no finite number"), "{text}");
    assert_eq!(sandbox.convex().records("projects")["p9"].sync_status, "failed");
}

#[test]
fn a_refused_row_that_is_deleted_is_forgotten() {
    let (mut simulation, sandbox) = simulation();
    sandbox.convex().refuse_row("c42");
    sync(&mut simulation);
    sandbox.neon().delete("contractors", "c42");
    assert_eq!(counts(&sync(&mut simulation), 0), [249, 0, 249, 1, 0]);
    assert!(!sandbox.convex().records("contractors").contains_key("c42"));
}

/// That nothing is taken is no row's fault: it must not be reported as the refusal of a hundred rows.
#[test]
fn an_outage_is_not_taken_for_refused_rows() {
    for requests in 2..12 {
        let (mut simulation, sandbox) = simulation();
        // The outage begins with a given request, and lasts.
        sandbox.convex().refuse_row("c42");
        let run = until_request(&mut simulation, &sandbox, requests);
        sandbox.convex().break_down(Fault::Refuse, None);
        simulation.run_until_idle();
        assert_eq!(simulation.run(&run).status, Status::Failed, "from request {requests}");
        let failed: Vec<_> = sandbox.convex().records("contractors").into_keys().collect();
        assert!(
            failed.iter().all(|key| key == "c42" || sandbox.convex().live("contractors").contains_key(key))
        );

        sandbox.convex().mend();
        assert_eq!(counts(&sync(&mut simulation), 0)[4], 1);
    }
}

fn until_request(simulation: &mut Simulation, sandbox: &Sandbox, requests: u64) -> durable::RunId {
    let run = simulation.send_event(&SyncRequested {}).remove(0);
    while sandbox.convex().requests() < requests {
        simulation.run_for(std::time::Duration::from_millis(100));
    }
    run
}

#[test]
fn a_table_of_which_all_is_refused_does_not_keep_the_others_waiting() {
    let (mut simulation, sandbox) = simulation();
    for n in 251..=2_500 {
        sandbox.neon().put("contractors", &format!("c{n}"), json!({"company_name": "x", "is_active": true}));
    }
    for n in 1..=2_500 {
        sandbox.convex().refuse_row(&format!("c{n}"));
    }
    let output = sync(&mut simulation);
    assert_eq!(counts(&output, 0)[4], 1_000);
    assert_eq!(counts(&output, 1), [40, 40, 0, 0, 0]);
    assert!(sandbox.slack().texts()[0].contains("left for the next sync"));
}
