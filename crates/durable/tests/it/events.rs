//! Waiting for events, and runs that events end.

use durable::{
    CancelOn, Concurrency, Context, Event, Result, RunId, Singleton, Status, WaitingFor, Workflow, hours,
    minutes, seconds,
    testing::{Simulation, crash_everywhere},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Approved {
    agent: String,
    by: String,
}

impl Event for Approved {
    const NAME: &'static str = "build/approved";
}

#[derive(Debug, Deserialize)]
struct Build {
    agent: String,
}

async fn deploys(ctx: Context<Build>, (): ()) -> Result<Vec<String>> {
    let mut approvals = Vec::new();
    ctx.step("build").run(async || Ok(())).await?;
    for _ in 0..2 {
        let approval = ctx.wait_for_event::<Approved>("approval").matching("agent", &ctx.event().agent);
        match approval.timeout(hours(1)).receive().await? {
            Some(approval) => approvals.push(approval.by),
            None => approvals.push("nobody".into()),
        }
    }
    Ok(approvals)
}

fn build() -> (Simulation, RunId) {
    let mut simulation = Simulation::of(Workflow::new("build", deploys).on_event("go").with(()));
    let run = simulation.send("go", json!({"agent": "a"})).remove(0);
    (simulation, run)
}

fn approve(simulation: &mut Simulation, agent: &str, by: &str) {
    simulation.send_event(&Approved { agent: agent.into(), by: by.into() });
}

#[test]
fn a_run_sleeps_until_its_event_comes_and_says_what_it_waits_for() {
    let (mut simulation, run) = build();
    simulation.run_for(minutes(1));
    let waiting = simulation.run(&run).waiting_for;
    assert!(
        matches!(&waiting[..], [WaitingFor::Event { event, .. }] if event == "build/approved"),
        "{waiting:?}"
    );
    approve(&mut simulation, "b", "somebody else");
    simulation.run_for(minutes(1));
    assert_eq!(simulation.run(&run).waiting_for, waiting, "of another agent");
    approve(&mut simulation, "a", "Ann");
    simulation.run_for(minutes(1));
    approve(&mut simulation, "a", "Ben");
    simulation.run_until_idle();
    assert_eq!(simulation.output(&run), json!(["Ann", "Ben"]));
    let ended = simulation.run(&run).ended_at.unwrap();
    assert_eq!(durable::until(simulation.run(&run).created_at, ended), minutes(3));
    assert_eq!(simulation.violations(), [""; 0]);
}

#[test]
fn an_event_that_came_before_the_wait_counts_once() {
    let (mut simulation, run) = build();
    simulation.run_for(seconds(0));
    approve(&mut simulation, "a", "Ann");
    simulation.run_until_idle();
    assert_eq!(simulation.output(&run), json!(["Ann", "nobody"]));
}

#[test]
fn an_event_from_before_the_run_or_after_the_wait_does_not_count() {
    let mut simulation = Simulation::of(Workflow::new("build", deploys).on_event("go").with(()));
    approve(&mut simulation, "a", "too early");
    simulation.run_for(minutes(1));
    let run = simulation.send("go", json!({"agent": "a"})).remove(0);
    simulation.run_for(minutes(121));
    approve(&mut simulation, "a", "too late");
    simulation.run_until_idle();
    assert_eq!(simulation.output(&run), json!(["nobody", "nobody"]));
    let created = simulation.run(&run).created_at;
    assert_eq!(durable::until(created, simulation.run(&run).ended_at.unwrap()), minutes(120));
}

#[test]
fn an_event_that_cannot_be_read_fails_the_run_and_names_the_field() {
    let (mut simulation, run) = build();
    simulation.run_for(minutes(1));
    simulation.send("build/approved", json!({"agent": "a", "by": 7}));
    simulation.run_until_idle();
    let error = simulation.run(&run).error.unwrap();
    assert_eq!(error.message(), "event build/approved: by: invalid type: integer `7`, expected a string");
}

#[test]
fn whatever_dies_each_event_is_received_once() {
    let scenario = || {
        let (mut simulation, _) = build();
        simulation.at(minutes(2), |simulation| approve(simulation, "a", "Ann"));
        simulation.at(minutes(2), |simulation| approve(simulation, "a", "Ben"));
        simulation
    };
    let runs = crash_everywhere(scenario, |disturbed, undisturbed| {
        assert_eq!(disturbed.outcomes(), undisturbed.outcomes(), "{}", disturbed.label());
    });
    assert!(runs > 40, "{runs}");
}

/// Nobody waits behind a run that waits for its event out of line; when that has come, it takes its turn.
#[test]
fn a_run_that_waits_out_of_line_holds_nobody_up() {
    async fn reviewed(ctx: Context<Build>, (): ()) -> Result<Option<String>> {
        let agent = &ctx.event().agent;
        let approval = ctx.wait_for_event::<Approved>("approval").matching("agent", agent).timeout(hours(2));
        let by = approval.aside().receive().await?.map(|approval| approval.by);
        ctx.sleep("work", minutes(10)).await;
        Ok(by)
    }
    let scenario = || {
        let workflow = Workflow::new("build", reviewed).on_event("go").concurrency(Concurrency::limit(1));
        let mut simulation = Simulation::of(workflow.with(()));
        for agent in ["a", "b", "c"] {
            simulation.send("go", json!({"agent": agent}));
        }
        simulation.at(minutes(30), |simulation| approve(simulation, "c", "Ann"));
        simulation.at(minutes(31), |simulation| approve(simulation, "b", "Ben"));
        simulation
    };
    let mut simulation = scenario();
    simulation.run_for(minutes(20));
    let waits = |run: &durable::Run| matches!(run.waiting_for[..], [WaitingFor::Event { aside: true, .. }]);
    assert!(simulation.runs().iter().all(waits), "{:?}", simulation.runs());
    simulation.run_until_idle();
    let runs = simulation.runs();
    let minutes_of = |n: usize| durable::until(runs[n].created_at, runs[n].ended_at.unwrap()).as_secs() / 60;
    assert_eq!([2, 1, 0].map(minutes_of), [40, 50, 130], "one at a time, in the order of their events");
    crash_everywhere(scenario, |disturbed, undisturbed| {
        assert_eq!(disturbed.outcomes(), undisturbed.outcomes(), "{}", disturbed.label());
    });
}

async fn evaluates(ctx: Context<Value>, (): ()) -> Result<u32> {
    ctx.sleep("photos", minutes(10)).await;
    ctx.step("evaluate").run(async || Ok(1)).await
}

fn evaluation() -> Workflow<()> {
    let superseded = CancelOn::event("evaluate").matching("drop.number");
    Workflow::new("evaluate", evaluates).on_event("evaluate").cancel_on(superseded)
}

#[test]
fn a_newer_event_of_the_same_kind_supersedes_the_older_run() {
    let mut simulation = Simulation::of(evaluation().with(()));
    let submit = |simulation: &mut Simulation, data: Value| simulation.send("evaluate", data).remove(0);
    let first = submit(&mut simulation, json!({"drop": {"number": "DR1"}}));
    let other = submit(&mut simulation, json!({"drop": {"number": "DR2"}}));
    let unnamed = submit(&mut simulation, json!({"drop": {"number": null}}));
    simulation.run_for(minutes(5));
    let second = submit(&mut simulation, json!({"drop": {"number": "DR1"}}));
    submit(&mut simulation, json!({"drop": {"number": null}}));
    simulation.run_until_idle();
    let status = |run: &RunId| simulation.run(run).status;
    assert_eq!(status(&first), Status::Cancelled);
    assert_eq!([&other, &unnamed, &second].map(status), [Status::Completed; 3]);
    assert_eq!(simulation.violations(), [""; 0]);
}

/// A line of them: each is superseded before it has started, and the slot comes free.
#[test]
fn whatever_dies_the_last_of_several_runs_is_the_one_that_completes() {
    let scenario = || {
        let mut simulation = Simulation::of(evaluation().concurrency(Concurrency::limit(1)).with(()));
        for _ in 0..3 {
            simulation.send("evaluate", json!({"drop": {"number": "DR1"}}));
        }
        simulation.at(minutes(1), |simulation| {
            simulation.send("evaluate", json!({"drop": {"number": "DR1"}}));
        });
        simulation
    };
    crash_everywhere(scenario, |disturbed, _| {
        let statuses: Vec<_> =
            disturbed.runs().iter().map(|run| (run.event.id.clone(), run.status)).collect();
        let completed: Vec<_> = statuses.iter().filter(|(_, status)| *status == Status::Completed).collect();
        assert_eq!(
            completed,
            [&("event-4".to_owned(), Status::Completed)],
            "{}: {statuses:?}",
            disturbed.label()
        );
    });
}

#[derive(Debug, Deserialize)]
struct Drop {
    number: String,
}

/// By a key that an author's function makes; runs of other keys go on.
#[test]
fn a_newer_run_supersedes_the_older_ones_of_its_key() {
    async fn judges(ctx: Context<Drop>, (): ()) -> Result<String> {
        ctx.sleep("photos", minutes(10)).await;
        Ok(ctx.event().number.clone())
    }
    let scenario = || {
        let singleton = Singleton::newest().key(|drop: &Drop| drop.number.to_uppercase());
        let workflow = Workflow::new("judge", judges).on_event("judge").singleton(singleton);
        let mut simulation = Simulation::of(workflow.concurrency(Concurrency::limit(1)).with(()));
        for (second, number) in [(0, "dr1"), (0, "dr2"), (60, "DR1"), (120, "dr1")] {
            simulation.at(seconds(second), move |simulation| {
                simulation.send("judge", json!({"number": number}));
            });
        }
        simulation
    };
    let runs = crash_everywhere(scenario, |disturbed, _| {
        let completed: Vec<_> =
            disturbed.runs().into_iter().filter(|run| run.status == Status::Completed).collect();
        let mut numbers: Vec<_> =
            completed.iter().map(|run| (run.event.id.as_str(), disturbed.output(&run.id))).collect();
        numbers.sort_by_key(|(id, _)| *id);
        assert_eq!(numbers, [("event-2", json!("dr2")), ("event-4", json!("dr1"))], "{}", disturbed.label());
    });
    assert!(runs > 40, "{runs}");
}
