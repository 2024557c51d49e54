//! Flow control of runs and of steps.

use std::sync::{Arc, Mutex};

use durable::{
    Clock, Concurrency, Context, Result, Status, Throttle, WaitingFor, Window, Workflow, minutes, seconds,
    testing::Simulation,
};
use jiff::Timestamp;
use serde_json::{Value, json};

type Log = Arc<Mutex<Vec<(String, Timestamp)>>>;

#[derive(Clone)]
struct Services {
    log: Log,
    clock: Arc<dyn Clock>,
}

fn key(data: &Value) -> String {
    data["key"].as_str().unwrap_or_default().to_owned()
}

async fn two_steps(ctx: Context<Value>, services: Services) -> Result<()> {
    for moment in ["starts", "ends"] {
        let note = async || {
            services
                .log
                .lock()
                .unwrap()
                .push((format!("{} {moment}", key(ctx.event())), services.clock.now()));
            Ok(())
        };
        ctx.step("note").run(note).await?;
        ctx.sleep("nap", minutes(1)).await;
    }
    Ok(())
}

fn simulation(workflow: Workflow<Services>) -> (Simulation, Log) {
    let simulation = Simulation::default();
    let services = Services { log: Log::default(), clock: simulation.clock() };
    let log = services.log.clone();
    (simulation.with(workflow.on_event("go").with(services)), log)
}

#[test]
fn a_slot_is_held_from_first_step_to_end_sleeps_included() {
    let (mut simulation, log) = simulation(
        Workflow::new("w", two_steps).concurrency(Concurrency::limit(1).key(|data: &Value| key(data))),
    );
    let runs: Vec<_> =
        ["a", "a", "b"].iter().flat_map(|key| simulation.send("go", json!({"key": key}))).collect();
    simulation.run_for(seconds(1));
    let waiting = simulation.run(&runs[1]);
    assert_eq!(waiting.status, Status::Queued);
    assert_eq!(waiting.waiting_for, [WaitingFor::Slot { key: "w:a".into(), position: 1 }]);
    simulation.run_until_idle();
    let order: Vec<_> = log
        .lock()
        .unwrap()
        .iter()
        .map(|(what, _)| what.clone())
        .filter(|what| what.starts_with('a'))
        .collect();
    assert_eq!(order, ["a starts", "a ends", "a starts", "a ends"]);
    assert_eq!(simulation.elapsed(), minutes(4), "b did not wait for a");
    assert_eq!(simulation.violations(), [""; 0]);
}

#[test]
fn a_cancelled_run_gives_its_slot_to_the_next() {
    let (mut simulation, log) = simulation(Workflow::new("w", two_steps).concurrency(Concurrency::limit(1)));
    let runs: Vec<_> =
        ["a", "b", "c"].iter().flat_map(|key| simulation.send("go", json!({"key": key}))).collect();
    simulation.run_for(seconds(30));
    simulation.cancel(&runs[1]);
    simulation.cancel(&runs[0]);
    simulation.run_until_idle();
    let order: Vec<_> = log.lock().unwrap().iter().map(|(what, _)| what.clone()).collect();
    assert_eq!(order, ["a starts", "c starts", "c ends"]);
    assert_eq!(
        runs.iter().map(|run| simulation.run(run).status).collect::<Vec<_>>(),
        [Status::Cancelled, Status::Cancelled, Status::Completed]
    );
    assert_eq!(simulation.violations(), [""; 0]);
}

#[test]
fn a_throttled_workflow_starts_in_order_and_as_often_as_it_may() {
    let throttle = Throttle::limit(2).per(minutes(1)).key(|data: &Value| key(data));
    let (mut simulation, log) = simulation(Workflow::new("w", two_steps).throttle(throttle));
    for n in 0..6 {
        simulation.send("go", json!({"key": "k", "n": n}));
    }
    simulation.run_until_idle();
    let starts: Vec<_> =
        log.lock().unwrap().iter().filter(|(what, _)| what == "k starts").map(|(_, at)| *at).collect();
    let minutes: Vec<_> = starts.iter().map(|at| durable::until(starts[0], *at).as_secs() / 60).collect();
    assert_eq!(minutes, [0, 0, 1, 1, 2, 2]);
    assert_eq!(simulation.violations(), [""; 0]);
}

#[test]
fn a_throttled_step_waits_for_its_turn_and_says_so() {
    async fn sends(ctx: Context<Value>, _: Services) -> Result<()> {
        ctx.step("send")
            .throttle("phone", [Window { limit: 1, period: minutes(1) }])
            .run(async || Ok(()))
            .await
    }
    let (mut simulation, _) = simulation(Workflow::new("w", sends));
    let runs: Vec<_> = (0..3).flat_map(|n| simulation.send("go", json!({"n": n}))).collect();
    simulation.run_for(seconds(1));
    let waiting = simulation.run(&runs[2]).waiting_for;
    assert!(matches!(&waiting[..], [WaitingFor::Throttle { key, .. }] if key == "phone"), "{waiting:?}");
    simulation.run_until_idle();
    assert_eq!(simulation.elapsed().as_secs(), 120);
    assert_eq!(simulation.violations(), [""; 0]);
}

async fn cools_down(ctx: Context<Value>, services: Services) -> Result<()> {
    ctx.step("send")
        .throttle_aside(format!("cooldown:{}", key(ctx.event())), [Window { limit: 1, period: minutes(10) }])
        .throttle("account", [Window { limit: 2, period: minutes(1) }])
        .run(async || {
            services.log.lock().unwrap().push((key(ctx.event()), services.clock.now()));
            Ok(())
        })
        .await
}

#[test]
fn a_run_that_steps_aside_holds_nobody_up_and_joins_the_line_again() {
    let (mut simulation, log) = simulation(Workflow::new("w", cools_down).concurrency(Concurrency::limit(1)));
    let runs: Vec<_> =
        ["a", "a", "b", "c", "d"].iter().flat_map(|key| simulation.send("go", json!({"key": key}))).collect();
    simulation.run_for(seconds(1));
    let waiting = simulation.run(&runs[3]).waiting_for;
    assert!(matches!(&waiting[..], [WaitingFor::Throttle { key, .. }] if key == "account"), "{waiting:?}");
    let waiting = simulation.run(&runs[4]).waiting_for;
    assert!(matches!(&waiting[..], [WaitingFor::Slot { .. }]), "{waiting:?}");
    simulation.run_for(minutes(5));
    let waiting = simulation.run(&runs[1]).waiting_for;
    assert!(matches!(&waiting[..], [WaitingFor::Aside { key, .. }] if key == "cooldown:a"), "{waiting:?}");
    simulation.run_until_idle();
    let sent = log.lock().unwrap();
    let minute = |at: Timestamp| durable::until(sent[0].1, at).as_secs() / 60;
    let sent: Vec<_> = sent.iter().map(|(key, at)| (key.as_str(), minute(*at))).collect();
    assert_eq!(sent, [("a", 0), ("b", 0), ("c", 1), ("d", 1), ("a", 10)]);
    assert_eq!(simulation.violations(), [""; 0]);
}

#[test]
fn whatever_dies_while_runs_step_aside_they_go_on_in_turn() {
    let scenario = || {
        let (mut simulation, _) =
            simulation(Workflow::new("w", cools_down).concurrency(Concurrency::limit(1)));
        for key in ["a", "a", "b"] {
            simulation.send("go", json!({ "key": key }));
        }
        simulation
    };
    let runs = durable::testing::crash_everywhere(scenario, |disturbed, undisturbed| {
        assert_eq!(disturbed.outcomes(), undisturbed.outcomes(), "{}", disturbed.label());
    });
    assert!(runs > 50, "only {runs} places to die");
}
