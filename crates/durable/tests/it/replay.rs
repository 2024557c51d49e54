//! Suspension and replay.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use durable::{
    Context, Delivery, Disposition, Error, Result, Settings, Status, Workflow, hours, minutes, seconds,
    testing::Simulation,
};
use futures::join;
use serde_json::{Value, json};

type Count = Arc<AtomicU32>;

fn count(counter: &Count) -> impl Future<Output = Result<u32>> {
    std::future::ready(Ok(counter.fetch_add(1, Ordering::Relaxed) + 1))
}

#[test]
fn sleeps_cost_no_time_and_steps_run_once() {
    async fn naps(ctx: Context<Value>, counter: Count) -> Result<u32> {
        let mut last = 0;
        for _ in 0..3 {
            last = ctx.step("count").run(|| count(&counter)).await?;
            ctx.sleep("nap", hours(1)).await;
        }
        Ok(last)
    }
    let mut simulation = Simulation::of(Workflow::new("naps", naps).on_event("go").with(Count::default()));
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_until_idle();
    assert_eq!((simulation.output(&run), simulation.elapsed()), (json!(3), hours(3)));
    let names: Vec<_> = simulation.checkpoints(&run).iter().map(|record| record.step.to_string()).collect();
    assert_eq!(names, ["count", "nap", "count#2", "nap#2", "count#3", "nap#3"]);
}

#[test]
fn branches_suspend_together_and_no_sibling_is_cut_off() {
    async fn branches(
        ctx: Context<Value>,
        (counter, clock): (Count, Arc<dyn durable::Clock>),
    ) -> Result<u32> {
        let slow = ctx.step("slow").run(async || {
            clock.sleep_until(durable::after(clock.now(), seconds(50))).await;
            count(&counter).await
        });
        let sleeps = ctx.sleep("short", seconds(10));
        let (slow, ()) = join!(slow, sleeps);
        slow
    }
    let simulation = Simulation::default();
    let services = (Count::default(), simulation.clock());
    let mut simulation = simulation.with(Workflow::new("branches", branches).on_event("go").with(services));
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_until_idle();
    assert_eq!((simulation.output(&run), simulation.elapsed()), (json!(1), seconds(50)));
}

#[test]
fn no_workflow_can_catch_its_suspension() {
    async fn stubborn(ctx: Context<Value>, (): ()) -> Result<&'static str> {
        let nap = async {
            ctx.sleep("nap", minutes(1)).await;
            Err::<(), _>(Error::new("awake"))
        };
        Ok(if nap.await.is_err() { "slept" } else { "swallowed" })
    }
    let mut simulation = Simulation::of(Workflow::new("stubborn", stubborn).on_event("go").with(()));
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_until_idle();
    assert_eq!((simulation.output(&run), simulation.elapsed()), (json!("slept"), minutes(1)));
}

#[test]
fn a_name_that_changes_its_kind_is_an_error_that_says_both() {
    async fn changing(ctx: Context<Value>, before: Arc<std::sync::atomic::AtomicBool>) -> Result<()> {
        if before.swap(false, Ordering::Relaxed) {
            ctx.step("pause").run(async || Ok(())).await?;
        } else {
            ctx.sleep("pause", seconds(1)).await;
        }
        ctx.sleep("later", minutes(1)).await;
        Ok(())
    }
    let services = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let mut simulation = Simulation::of(Workflow::new("changing", changing).on_event("go").with(services));
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_until_idle();
    let error = simulation.run(&run).error.unwrap();
    assert!(error.message().starts_with("step pause was recorded as run and is now sleep"), "{error}");
}

#[test]
fn a_run_hands_over_before_its_invocation_is_cut_off() {
    async fn long(ctx: Context<Value>, clock: Arc<dyn durable::Clock>) -> Result<()> {
        for _ in 0..4 {
            let work = async || {
                clock.sleep_until(durable::after(clock.now(), minutes(4))).await;
                Ok(())
            };
            ctx.step("work").timeout(minutes(5)).run(work).await?;
        }
        Ok(())
    }
    let simulation = Simulation::default();
    let clock = simulation.clock();
    let runnable = Workflow::new("long", long).on_event("go").with(clock.clone());
    let mut simulation = simulation.with(runnable).settings(Settings {
        renew: false,
        lease: minutes(10),
        ..Settings::default()
    });
    simulation.limit_invocations(minutes(10));
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_until_idle();
    let run = simulation.run(&run);
    assert_eq!((run.status, run.epoch), (Status::Completed, 2), "two steps an invocation");
}

#[test]
fn a_wake_up_too_many_changes_nothing() {
    async fn nap(ctx: Context<Value>, (): ()) -> Result<()> {
        ctx.sleep("nap", hours(1)).await;
        Ok(())
    }
    let runnable = Workflow::new("nap", nap).on_event("go").with(());
    let mut simulation = Simulation::of(runnable.clone());
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_for(minutes(1));
    let operations = simulation.operations().len();
    let settings = Settings::default();
    let stray = Delivery::Resume { run: run.clone(), due: simulation.now() };
    let stray = durable::drive(&runnable, simulation.ports(), &settings, stray, None);
    assert_eq!(futures::executor::block_on(stray).unwrap(), Disposition::Done);
    assert_eq!(simulation.operations()[operations..], ["resume"], "no write, and no further wake-up");
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed);
}

/// The request budget of the design: N steps in one invocation cost N + 2 writes and no read.
#[test]
fn a_run_of_ten_steps_costs_twelve_writes_and_no_read() {
    async fn ten(ctx: Context<Value>, counter: Count) -> Result<()> {
        for _ in 0..10 {
            ctx.step("count").run(|| count(&counter)).await?;
        }
        Ok(())
    }
    let mut simulation = Simulation::of(Workflow::new("ten", ten).on_event("go").with(Count::default()));
    simulation.send("go", json!({}));
    simulation.run_until_idle();
    let expected: Vec<_> = ["begin"].into_iter().chain(["checkpoint"; 10]).chain(["finish"]).collect();
    assert_eq!(simulation.operations(), expected);
}
