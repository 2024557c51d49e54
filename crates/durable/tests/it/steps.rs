//! What a step promises.

use std::sync::{Arc, Mutex};

use durable::{
    Context, Error, Payload, Result, Retry, Status, StepState, Workflow, minutes, seconds,
    testing::Simulation,
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Notes what happened and when, and answers from a script.
#[derive(Clone, Debug, Default)]
struct Script {
    answers: Arc<Mutex<Vec<Result<u32>>>>,
    calls: Arc<Mutex<Vec<Timestamp>>>,
}

impl Script {
    fn of(answers: impl IntoIterator<Item = Result<u32>>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Self { answers: Arc::new(Mutex::new(answers)), ..Self::default() }
    }

    #[expect(clippy::unused_async, reason = "a step's body is a future")]
    async fn call(&self, now: Timestamp) -> Result<u32> {
        self.calls.lock().unwrap().push(now);
        self.answers.lock().unwrap().pop().expect("a call too many")
    }

    fn waits(&self) -> Vec<u64> {
        self.calls.lock().unwrap().windows(2).map(|pair| durable::until(pair[0], pair[1]).as_secs()).collect()
    }
}

type Clock = Arc<dyn durable::Clock>;

fn simulate(workflow: Workflow<(Script, Clock)>, script: &Script) -> Simulation {
    let simulation = Simulation::default();
    let clock = simulation.clock();
    let mut simulation = simulation.with(workflow.on_event("go").with((script.clone(), clock)));
    simulation.send("go", json!({}));
    simulation.run_until_idle();
    assert_eq!(simulation.violations(), [""; 0]);
    simulation
}

fn failing(times: usize) -> impl Iterator<Item = Result<u32>> {
    (0..times).map(|n| Err(Error::new(format!("failure {}", n + 1))))
}

async fn three_times(ctx: Context<Value>, (script, clock): (Script, Clock)) -> Result<u32> {
    ctx.step("call").retry(Retry::fixed(3, seconds(5))).run(|| script.call(clock.now())).await
}

#[test]
fn a_step_is_attempted_as_often_as_its_policy_says() {
    let script = Script::of(failing(2).chain([Ok(7)]));
    let simulation = simulate(Workflow::new("w", three_times), &script);
    let run = &simulation.runs()[0];
    assert_eq!((run.status, simulation.output(&run.id)), (Status::Completed, json!(7)));
    assert_eq!(script.waits(), [5, 5]);
    let [record] = &simulation.checkpoints(&run.id)[..] else { panic!("one step") };
    let failures: Vec<_> =
        record.failures.iter().map(|failed| (failed.attempt, failed.error.as_str())).collect();
    assert_eq!(failures, [(1, "failure 1"), (2, "failure 2")], "each failure is on record");
    let began = |n: usize| script.calls.lock().unwrap()[n];
    assert_eq!((record.started_at, record.failures[1].started_at), (began(0), began(1)));
    assert_eq!(record.attempt_at, Some(began(2)), "so is when the attempt that succeeded began");
}

#[test]
fn a_record_keeps_the_last_failures_only() {
    async fn often(ctx: Context<Value>, (script, clock): (Script, Clock)) -> Result<u32> {
        ctx.step("call").retry(Retry::fixed(20, seconds(5))).run(|| script.call(clock.now())).await
    }
    let script = Script::of(failing(15).chain([Ok(7)]));
    let simulation = simulate(Workflow::new("w", often), &script);
    let record = &simulation.checkpoints(&simulation.runs()[0].id)[0];
    let kept: Vec<_> = record.failures.iter().map(|failed| failed.attempt).collect();
    assert_eq!((kept, record.attempts), ((6..=15).collect(), 16));
}

#[test]
fn a_step_that_used_up_its_attempts_ends_the_run_though_the_workflow_has_retries() {
    let script = Script::of(failing(3));
    let simulation = simulate(Workflow::new("w", three_times).retries(9), &script);
    let run = &simulation.runs()[0];
    assert_eq!((run.status, run.error.as_ref().unwrap().message()), (Status::Failed, "failure 3"));
    assert_eq!(simulation.checkpoints(&run.id)[0].attempts, 3);
}

async fn plain(ctx: Context<Value>, (script, clock): (Script, Clock)) -> Result<u32> {
    ctx.step("call").run(|| script.call(clock.now())).await
}

#[test]
fn a_step_without_a_policy_has_the_workflows() {
    let script = Script::of(failing(3).chain([Ok(1)]));
    let simulation = simulate(Workflow::new("w", plain).retry(Retry::fixed(4, seconds(20))), &script);
    assert_eq!(simulation.runs()[0].status, Status::Completed);
    assert_eq!(script.waits(), [20, 20, 20]);
}

#[test]
fn retry_after_is_honoured() {
    let script = Script::of([Err(Error::retry_after(seconds(77), "429")), Ok(1)]);
    simulate(Workflow::new("w", three_times), &script);
    assert_eq!(script.waits(), [77]);
}

#[test]
fn a_fatal_error_ends_the_run_at_once() {
    let script = Script::of([Err(Error::fatal("no such phone"))]);
    let simulation = simulate(Workflow::new("w", three_times), &script);
    assert_eq!(simulation.runs()[0].error.as_ref().unwrap().message(), "no such phone");
}

async fn at_most_once(ctx: Context<Value>, (script, clock): (Script, Clock)) -> Result<u32> {
    ctx.step("call").retry(Retry::fixed(3, seconds(30))).at_most_once().run(|| script.call(clock.now())).await
}

#[test]
fn an_at_most_once_step_tries_again_only_when_nothing_happened() {
    let script = Script::of([Err(Error::no_effect("refused")), Ok(1)]);
    let simulation = simulate(Workflow::new("w", at_most_once), &script);
    assert_eq!((simulation.runs()[0].status, script.waits()), (Status::Completed, vec![30]));

    let script = Script::of([Err(Error::new("connection reset"))]);
    let simulation = simulate(Workflow::new("w", at_most_once), &script);
    let error = simulation.runs()[0].error.clone().unwrap();
    assert!(error.is_outcome_unknown() && error.message().contains("connection reset"), "{error}");
}

#[test]
fn an_attempt_that_takes_too_long_is_dropped() {
    async fn slow(ctx: Context<Value>, (_, clock): (Script, Clock)) -> Result<()> {
        let nap = async || {
            clock.sleep_until(durable::after(clock.now(), minutes(10))).await;
            Ok(())
        };
        ctx.step("slow").timeout(minutes(5)).run(nap).await
    }
    let simulation = simulate(Workflow::new("w", slow), &Script::default());
    assert_eq!(simulation.runs()[0].error.as_ref().unwrap().message(), "timed out after 300s");
    assert_eq!(simulation.elapsed(), minutes(5));
}

#[test]
fn a_large_result_is_kept_apart_and_reads_back_equal() {
    async fn large(ctx: Context<Value>, _: (Script, Clock)) -> Result<usize> {
        let text: String = ctx.step("large").run(async || Ok("abc".repeat(1_000_000))).await?;
        ctx.sleep("nap", minutes(1)).await;
        Ok(text.len())
    }
    let simulation = simulate(Workflow::new("w", large), &Script::default());
    let run = &simulation.runs()[0].id;
    assert_eq!(simulation.output(run), json!(3_000_000));
    let state = simulation.checkpoints(run)[0].state.clone();
    assert!(
        matches!(state, StepState::Completed { output: Payload::Blob { bytes: 3_000_002, .. } }),
        "{state:?}"
    );
}

#[test]
fn a_workflow_that_fails_by_itself_is_tried_again_and_keeps_its_steps() {
    async fn moody(ctx: Context<Value>, (script, clock): (Script, Clock)) -> Result<u32> {
        let first = ctx.step("call").run(|| script.call(clock.now())).await?;
        if clock.now() < "2026-01-01T00:01:00Z".parse()? {
            return Err(Error::new("too early"));
        }
        Ok(first)
    }
    let script = Script::of([Ok(3)]);
    let simulation = simulate(Workflow::new("w", moody).retry(Retry::fixed(5, seconds(30))), &script);
    assert_eq!((simulation.runs()[0].status, simulation.elapsed()), (Status::Completed, seconds(60)));
}

#[test]
fn an_event_that_does_not_fit_fails_its_run_and_names_the_field() {
    #[derive(serde::Deserialize)]
    struct Queued {
        #[expect(dead_code, reason = "only its type matters")]
        phone: String,
    }
    async fn never(_: Context<Queued>, (): ()) -> Result<()> {
        panic!("no step may start")
    }
    let mut simulation = Simulation::of(Workflow::new("w", never).on_event("go").with(()));
    let run = simulation.send("go", json!({"phone": 12})).remove(0);
    simulation.run_until_idle();
    let error = simulation.run(&run).error.unwrap();
    assert_eq!(error.message(), "event go: phone: invalid type: integer `12`, expected a string");
    assert_eq!(simulation.checkpoints(&run), []);
}

#[test]
fn a_panic_is_a_failure_like_any_other() {
    async fn panics(_: Context<Value>, _: (Script, Clock)) -> Result<()> {
        panic!("a bug")
    }
    let simulation = simulate(Workflow::new("w", panics), &Script::default());
    assert_eq!(simulation.runs()[0].error.as_ref().unwrap().message(), "panicked: a bug");
}
