//! Work that a step's body leaves to a worker.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use durable::{
    Clock, Context, Error, Result, Retry, RunId, Status, StepKind, WaitingFor, Window, Workflow, after,
    hours, job, minutes, seconds,
    testing::{Simulation, crash_everywhere},
};
use futures::future::BoxFuture;
use serde_json::{Value, json};

/// What a worker was asked to do, in order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn note(&self, what: &str) {
        self.0.lock().unwrap().push(what.to_owned());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

async fn ask(what: &str) -> Result<String> {
    let order = job::Order { work: what.into(), limit: minutes(30), patience: minutes(10) };
    let answer = job::hand_over(order).await?;
    Ok(answer.as_str().unwrap_or_default().to_owned())
}

/// A worker that takes this long, and fails at what begins with `fail`, until it has been asked three times.
fn worker(
    clock: Arc<dyn Clock>,
    seen: Seen,
    takes: Duration,
) -> impl Fn(Value) -> BoxFuture<'static, Result<Value>> {
    move |work| {
        let (clock, seen) = (clock.clone(), seen.clone());
        Box::pin(async move {
            let what = work.as_str().unwrap().to_owned();
            seen.note(&what);
            clock.sleep_until(after(clock.now(), takes)).await;
            let asked = seen.all().iter().filter(|seen| **seen == what).count();
            match what.as_str() {
                "fail" if asked < 3 => Err(Error::new("crashed")),
                "never" => Err(Error::fatal("no such command")),
                "large" => Ok("x".repeat(400_000).into()),
                what => Ok(format!("{what} done").into()),
            }
        })
    }
}

fn simulation(workflow: Workflow<()>, takes: Duration) -> (Simulation, Seen) {
    let (simulation, seen) = (Simulation::of(workflow.on_event("go").with(())), Seen::default());
    let worker = worker(simulation.clock(), seen.clone(), takes);
    (simulation.with_worker(worker), seen)
}

fn took(simulation: &Simulation, run: &RunId) -> Duration {
    let run = simulation.run(run);
    durable::until(run.created_at, run.ended_at.unwrap())
}

/// A body that reads as if it did the work itself: two calls, the second made of the first one's answer.
async fn two(ctx: Context<Value>, (): ()) -> Result<String> {
    let all =
        ctx.step("work").run(async || ask(&format!("{} and second", ask("first").await?)).await).await?;
    ctx.step("after").run(async || Ok(())).await?;
    Ok(all)
}

#[test]
fn a_body_reads_as_if_it_did_the_work_itself_and_its_run_sleeps_meanwhile() {
    let (mut simulation, seen) = simulation(Workflow::new("w", two), minutes(20));
    simulation.limit_invocations(minutes(15));
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_for(minutes(2));
    let waiting = simulation.run(&run);
    assert_eq!(waiting.status, Status::Waiting);
    let [WaitingFor::Callback { step, .. }] = &waiting.waiting_for[..] else { panic!("{waiting:?}") };
    assert_eq!(step.name, "work/1.1");
    simulation.run_until_idle();
    assert_eq!(simulation.output(&run), "first done and second done");
    assert_eq!(seen.all(), ["first", "first done and second"], "each asked for once");
    let records = simulation.checkpoints(&run);
    let names: BTreeSet<_> = records.iter().map(|record| record.step.to_string()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let work = records.iter().find(|record| record.step.name == "work").unwrap();
    assert_eq!((work.kind, work.attempts), (StepKind::Run, 1));
    assert_eq!(durable::until(work.started_at, work.at), minutes(40), "from its beginning to its end");
}

#[test]
fn what_fails_outside_is_retried_as_the_step_says() {
    async fn fails(ctx: Context<Value>, (): ()) -> Result<String> {
        ctx.step("work").retry(Retry::fixed(3, minutes(1))).run(|| ask("fail")).await
    }
    async fn never(ctx: Context<Value>, (): ()) -> Result<String> {
        ctx.step("work").retry(Retry::fixed(3, minutes(1))).run(|| ask("never")).await
    }
    let (mut simulation, seen) = simulation(Workflow::new("w", fails), seconds(10));
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_until_idle();
    assert_eq!((simulation.output(&run), seen.all().len()), (json!("fail done"), 3));
    assert_eq!(took(&simulation, &run), minutes(2) + seconds(30));

    let (mut simulation, seen) = self::simulation(Workflow::new("w", never), seconds(10));
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).error.unwrap().message(), "no such command");
    assert_eq!(seen.all().len(), 1, "a fatal failure is final");
}

#[test]
fn without_a_worker_the_step_fails_when_its_patience_is_over_and_nobody_begins_it_later() {
    async fn waits(ctx: Context<Value>, (): ()) -> Result<String> {
        ctx.step("work").retry(Retry::fixed(2, minutes(1))).run(|| ask("first")).await
    }
    let mut simulation = Simulation::of(Workflow::new("w", waits).on_event("go").with(()));
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).error.unwrap().message(), "no sign of life for 180s");
    // Patience and silence, the pause, and again.
    assert_eq!(simulation.elapsed(), minutes(13) + minutes(1) + minutes(13));
    let jobs = simulation.jobs();
    assert_eq!(jobs.len(), 2);
    assert!(jobs[0].start_by < jobs[1].start_by && jobs[1].start_by < simulation.now());
    assert_ne!(jobs[0].token, jobs[1].token, "the answer to one is none to the other");
}

#[test]
fn a_timeout_is_the_steps_whoever_does_the_work() {
    async fn hurries(ctx: Context<Value>, (): ()) -> Result<String> {
        ctx.step("work").timeout(minutes(5)).run(|| ask("first")).await
    }
    let (mut simulation, _) = simulation(Workflow::new("w", hurries), hours(1));
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_for(minutes(6));
    let failed = simulation.run(&run);
    assert_eq!(failed.status, Status::Failed, "{:?}", failed.waiting_for);
    assert_eq!(took(&simulation, &run), minutes(5) + seconds(30));
}

#[test]
fn a_throttle_counts_a_start_once_however_often_the_body_runs() {
    async fn paced(ctx: Context<Value>, (): ()) -> Result<String> {
        let windows = [Window { limit: 1, period: minutes(1) }];
        ctx.step("work").throttle("phone", windows).run(async || ask(&ask("first").await?).await).await
    }
    let (mut simulation, _) = simulation(Workflow::new("w", paced), minutes(3));
    simulation.send("go", json!({}));
    simulation.run_until_idle();
    let admits = simulation.operations().iter().filter(|name| **name == "admit").count();
    assert_eq!((admits, simulation.violations()), (1, vec![]));
}

#[test]
fn branches_wait_together_and_a_large_answer_is_kept_elsewhere() {
    async fn joins(ctx: Context<Value>, (): ()) -> Result<usize> {
        let large = ctx.step("large").run(|| ask("large"));
        let small = ctx.step("small").run(|| ask("small"));
        let (large, small) = futures::join!(large, small);
        Ok(large?.len() + small?.len())
    }
    let (mut simulation, seen) = simulation(Workflow::new("w", joins), minutes(1));
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_until_idle();
    assert_eq!((simulation.output(&run), seen.all().len()), (json!(400_010), 2));
    assert_eq!(took(&simulation, &run), minutes(1));
}

#[test]
fn what_may_have_been_done_is_not_begun_again() {
    async fn once(ctx: Context<Value>, (): ()) -> Result<String> {
        let step = ctx.step("work").retry(Retry::fixed(3, seconds(30))).at_most_once();
        step.run(|| ask("fail")).await
    }
    let (mut simulation, seen) = simulation(Workflow::new("w", once), seconds(10));
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_until_idle();
    let error = simulation.run(&run).error.unwrap();
    assert!(error.is_outcome_unknown(), "{error}");
    assert_eq!(seen.all(), ["fail"]);
}

#[test]
fn only_the_body_of_a_step_can_leave_work_to_a_worker() {
    async fn outside(_: Context<Value>, (): ()) -> Result<String> {
        ask("first").await
    }
    let (mut simulation, seen) = simulation(Workflow::new("w", outside), seconds(10));
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_until_idle();
    assert!(simulation.run(&run).error.unwrap().message().starts_with("only the body of a step"));
    assert!(seen.all().is_empty());
}

#[test]
fn whatever_dies_the_work_comes_out_the_same() {
    let runs = crash_everywhere(
        || {
            let (mut simulation, _) = simulation(Workflow::new("w", two).retries(2), minutes(20));
            simulation.send("go", json!({}));
            simulation
        },
        |disturbed, undisturbed| {
            assert_eq!(disturbed.outcomes(), undisturbed.outcomes(), "{}", disturbed.label());
        },
    );
    assert!(runs > 40, "only {runs} places to die");
}

/// However it dies, it is begun once, and nobody says that the outcome is unknown while it may still be begun.
#[test]
fn whatever_dies_what_may_be_done_once_is_begun_once() {
    async fn once(ctx: Context<Value>, (): ()) -> Result<String> {
        ctx.step("work").at_most_once().run(|| ask("first")).await
    }
    let seen = std::cell::RefCell::new(Seen::default());
    crash_everywhere(
        || {
            let (mut simulation, worker) = simulation(Workflow::new("w", once).retries(2), minutes(2));
            simulation.send("go", json!({}));
            seen.replace(worker);
            simulation
        },
        |disturbed, _| {
            let (begun, run) = (seen.borrow().all().len(), disturbed.runs().remove(0));
            let label = disturbed.label();
            assert!(begun <= 1, "{label}");
            match run.error {
                None => assert_eq!(begun, 1, "{label}"),
                Some(error) => assert!(error.is_outcome_unknown(), "{label}: {error}"),
            }
        },
    );
}

/// A branch fails while a worker is at work for the other, which nobody waits for any more.
async fn fails_beside(ctx: Context<Value>, (): ()) -> Result<()> {
    let long = ctx.step("long").run(|| ask("long"));
    let short = ctx.step("short").retry(Retry::fixed(1, seconds(1))).run(|| ask("never"));
    futures::try_join!(long, short).map(drop)
}

async fn one(ctx: Context<Value>, (): ()) -> Result<String> {
    ctx.step("work").run(|| ask("first")).await
}

/// Tells when the worker's work began and, should it be ended before its time, that it was.
fn watched(simulation: Simulation, takes: Duration) -> (Simulation, Seen) {
    struct Ended(Seen, Option<Arc<dyn Clock>>);
    impl Drop for Ended {
        fn drop(&mut self) {
            if let Some(clock) = &self.1 {
                self.0.note(&clock.now().to_string());
            }
        }
    }
    let (clock, seen) = (simulation.clock(), Seen::default());
    let noted = seen.clone();
    let simulation = simulation.with_worker(move |work| {
        let (clock, noted) = (clock.clone(), noted.clone());
        Box::pin(async move {
            noted.note("begun");
            if work == "never" {
                return Err(Error::fatal("no"));
            }
            let mut ended = Ended(noted, Some(clock.clone()));
            clock.sleep_until(after(clock.now(), takes)).await;
            ended.1 = None;
            Ok(work)
        })
    });
    (simulation, seen)
}

/// When works were ended before their time, since the first run was accepted.
fn ends(seen: &Seen, simulation: &Simulation) -> Vec<Duration> {
    let began = simulation.runs()[0].created_at;
    seen.all().iter().filter_map(|noted| Some(durable::until(began, noted.parse().ok()?))).collect()
}

#[test]
fn what_nobody_waits_for_any_more_is_ended_within_its_next_sign_of_life() {
    let (mut simulation, seen) =
        watched(Simulation::of(Workflow::new("w", one).on_event("go").with(())), hours(5));
    let run = simulation.send("go", json!({})).remove(0);
    let cancelled = run.clone();
    simulation.at(minutes(5), move |simulation| simulation.cancel(&cancelled));
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Cancelled);
    let [ended] = ends(&seen, &simulation)[..] else { panic!("{:?}", seen.all()) };
    assert!(ended >= minutes(5) && ended <= minutes(6), "{ended:?}");

    let workflow = Workflow::new("w", fails_beside).on_event("go");
    let (mut simulation, seen) = watched(Simulation::of(workflow.with(())), hours(5));
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_until_idle();
    let [ended] = ends(&seen, &simulation)[..] else { panic!("{:?}", seen.all()) };
    assert_eq!(simulation.run(&run).status, Status::Failed);
    assert!(ended <= minutes(1), "{ended:?}");
}

#[test]
fn a_job_that_is_withdrawn_from_the_queue_is_never_begun() {
    for ends in ["cancel", "event", "newer"] {
        let workflow = Workflow::new("w", one).on_event("go").cancel_on(durable::CancelOn::event("stop"));
        let workflow =
            if ends == "newer" { workflow.singleton(durable::Singleton::newest()) } else { workflow };
        let mut simulation = Simulation::of(workflow.with(()));
        let run = simulation.send("go", json!({})).remove(0);
        simulation.run_for(minutes(1));
        assert_eq!(simulation.jobs().len(), 1);
        let newer = match ends {
            "cancel" => {
                simulation.cancel(&run);
                0
            }
            "event" => simulation.send("stop", json!({})).len(),
            _ => simulation.send("go", json!({})).len(),
        };
        simulation.run_for(minutes(1));
        let (mut simulation, seen) = watched(simulation, minutes(1));
        simulation.run_until_idle();
        assert_eq!(simulation.run(&run).status, Status::Cancelled, "{ends}");
        assert_eq!(seen.all().len(), newer, "{ends}: {:?}", seen.all());
    }
}

#[test]
fn a_run_that_left_nothing_to_a_worker_withdraws_nothing() {
    async fn sleeps(ctx: Context<Value>, (): ()) -> Result<()> {
        ctx.step("work").run(async || Ok(())).await?;
        ctx.sleep("pause", hours(1)).await;
        Ok(())
    }
    for cancels in [true, false] {
        let mut simulation = Simulation::of(Workflow::new("w", sleeps).on_event("go").with(()));
        let run = simulation.send("go", json!({})).remove(0);
        simulation.run_for(minutes(1));
        if cancels {
            let before = simulation.operations().len();
            simulation.cancel(&run);
            assert_eq!(simulation.operations()[before..], ["cancel"]);
        }
        simulation.run_until_idle();
        assert!(!simulation.operations().contains(&"withdraw_job"));
    }
    let (mut simulation, _) = simulation(Workflow::new("w", two), minutes(1));
    simulation.send("go", json!({}));
    simulation.run_until_idle();
    assert!(!simulation.operations().contains(&"withdraw_job"), "every job was answered");
}

/// Whoever dies over it: the run is cancelled by an event that is delivered again, and no work outlives it for long.
#[test]
fn whatever_dies_no_job_outlives_its_run() {
    let seen = std::cell::RefCell::new(Seen::default());
    let runs = crash_everywhere(
        || {
            let workflow = Workflow::new("w", one).on_event("go").cancel_on(durable::CancelOn::event("stop"));
            let (mut simulation, noted) = watched(Simulation::of(workflow.with(())), hours(5));
            seen.replace(noted);
            simulation.send("go", json!({}));
            simulation.at(minutes(3), |simulation| drop(simulation.send("stop", json!({}))));
            simulation
        },
        |disturbed, undisturbed| {
            assert_eq!(disturbed.outcomes(), undisturbed.outcomes(), "{}", disturbed.label());
            let (seen, ends) = (seen.borrow(), ends(&seen.borrow(), disturbed));
            let begun = seen.all().iter().filter(|seen| *seen == "begun").count();
            assert!(begun > 0 && ends.len() == begun, "{}: {:?}", disturbed.label(), seen.all());
            // An event that is delivered again comes 45 s later, and so does a job.
            let last = ends.into_iter().max().unwrap();
            assert!(last < minutes(6), "{}: {last:?}", disturbed.label());
        },
    );
    assert!(runs > 20, "only {runs} places to die");
}
