//! Work that somebody outside does.

use std::sync::{Arc, Mutex};

use durable::{
    Context, Error, Payload, Result, Retry, Status, WaitingFor, Workflow,
    callback::{Answer, Settled, Token},
    minutes, seconds,
    testing::{Simulation, crash_everywhere},
};
use serde_json::{Value, json};

/// Whoever has the work: the tokens that were handed over.
#[derive(Clone, Default)]
struct Outside(Arc<Mutex<Vec<Token>>>);

impl Outside {
    #[expect(clippy::unused_async, reason = "a body is a future")]
    async fn take(&self, token: Token) -> Result<()> {
        self.0.lock().unwrap().push(token);
        Ok(())
    }

    fn tokens(&self) -> Vec<Token> {
        self.0.lock().unwrap().clone()
    }
}

async fn asks(ctx: Context<Value>, outside: Outside) -> Result<u32> {
    let ask = ctx.callback("ask").retry(Retry::fixed(3, seconds(30))).timeout(minutes(60));
    let answer: u32 = ask.heartbeat(minutes(5)).run(|token| outside.take(token)).await?;
    Ok(answer + 1)
}

fn simulation(workflow: Workflow<Outside>) -> (Simulation, Outside) {
    let outside = Outside::default();
    let mut simulation = Simulation::of(workflow.on_event("go").with(outside.clone()));
    simulation.send("go", json!({}));
    simulation.run_for(seconds(1));
    (simulation, outside)
}

fn done(json: &str) -> Answer {
    Answer::Done(Payload::Json(json.into()))
}

#[test]
fn a_run_sleeps_until_the_answer_comes_and_says_so() {
    let (mut simulation, outside) = simulation(Workflow::new("w", asks));
    let run = simulation.runs()[0].clone();
    assert!(matches!(&run.waiting_for[..], [WaitingFor::Callback { step, .. }] if step.name == "ask"));
    simulation.run_for(minutes(2));
    simulation.answer(&outside.tokens()[0], &done("41"));
    simulation.run_until_idle();
    assert_eq!(simulation.output(&run.id), 42);
    let ended = simulation.run(&run.id).ended_at.unwrap();
    assert_eq!(durable::until(run.created_at, ended).as_secs(), 121);
    assert_eq!(simulation.answer(&outside.tokens()[0], &done("1")), Some(Settled::Late));
    assert_eq!((outside.tokens().len(), simulation.violations()), (1, vec![]));
}

#[test]
fn whoever_falls_silent_loses_the_work_and_whoever_shows_life_keeps_it() {
    let (mut simulation, outside) = simulation(Workflow::new("w", asks));
    for _ in 0..10 {
        simulation.run_for(minutes(4));
        assert_eq!(simulation.answer(&outside.tokens()[0], &Answer::Alive), Some(Settled::Done(None)));
    }
    assert_eq!(outside.tokens().len(), 1, "40 minutes with signs of life");
    simulation.run_for(minutes(6));
    assert_eq!(outside.tokens().len(), 2, "5 minutes without");
    assert_eq!(
        simulation.answer(&outside.tokens()[0], &done("1")),
        Some(Settled::Late),
        "another has it now"
    );
    simulation.answer(&outside.tokens()[1], &done("1"));
    simulation.run_until_idle();
    assert_eq!(simulation.output(&simulation.runs()[0].id), 2);
}

#[test]
fn an_answer_is_waited_for_no_longer_than_said_however_alive() {
    let (mut simulation, outside) = simulation(Workflow::new("w", asks));
    for _ in 0..15 {
        simulation.run_for(minutes(4));
        simulation.answer(&outside.tokens()[0], &Answer::Alive);
    }
    simulation.run_for(minutes(2));
    assert_eq!(outside.tokens().len(), 2, "the hour is over");
    simulation.run_until_idle();
    let run = &simulation.runs()[0];
    assert_eq!((run.status, outside.tokens().len()), (Status::Failed, 3));
    assert_eq!(run.error.as_ref().unwrap().message(), "no sign of life for 300s");
}

#[test]
fn a_refusal_is_retried_as_the_step_says() {
    let (mut simulation, outside) = simulation(Workflow::new("w", asks));
    simulation.answer(&outside.tokens()[0], &Answer::Failed(Error::new("busy")));
    simulation.run_for(seconds(29));
    assert_eq!(outside.tokens().len(), 1);
    simulation.run_for(seconds(5));
    assert_eq!(outside.tokens().iter().map(|token| token.attempt).collect::<Vec<_>>(), [1, 2]);
    simulation.answer(&outside.tokens()[1], &Answer::Failed(Error::fatal("no such agent")));
    simulation.run_until_idle();
    let run = &simulation.runs()[0];
    assert_eq!((run.status, run.error.as_ref().unwrap().message()), (Status::Failed, "no such agent"));
}

#[test]
fn what_may_have_been_done_is_not_handed_over_again() {
    async fn once(ctx: Context<Value>, outside: Outside) -> Result<()> {
        let ask = ctx.callback("ask").retry(Retry::fixed(3, seconds(30))).timeout(minutes(60)).at_most_once();
        ask.run(|token| outside.take(token)).await
    }
    let (mut silent, outside) = simulation(Workflow::new("w", once));
    silent.run_until_idle();
    assert!(silent.runs()[0].error.as_ref().unwrap().is_outcome_unknown());
    assert_eq!(outside.tokens().len(), 1);

    let (mut refused, outside) = simulation(Workflow::new("w", once));
    refused.answer(&outside.tokens()[0], &Answer::Failed(Error::no_effect("not now")));
    refused.run_for(minutes(1));
    assert_eq!(outside.tokens().len(), 2, "nothing had happened");
}

/// Two branches, one asleep for long: the answer wakes the run for the other.
#[test]
fn an_answer_does_not_wait_for_other_branches() {
    async fn both(ctx: Context<Value>, outside: Outside) -> Result<u32> {
        let branch = async {
            let answer: u32 = ctx.callback("ask").run(|token| outside.take(token)).await?;
            ctx.step("use").run(async || Ok(answer + 1)).await
        };
        let ((), answer) = futures::join!(ctx.sleep("long", minutes(600)), branch);
        answer
    }
    let (mut simulation, outside) = simulation(Workflow::new("w", both));
    simulation.run_for(minutes(1));
    simulation.answer(&outside.tokens()[0], &done("1"));
    simulation.run_for(seconds(1));
    let run = simulation.runs()[0].id.clone();
    assert!(simulation.checkpoints(&run).iter().any(|record| record.step.name == "use"));
    simulation.run_until_idle();
    assert_eq!((simulation.output(&run), simulation.elapsed()), (json!(2), minutes(600)));
}

#[test]
fn whatever_dies_the_answer_counts() {
    // Answered at once, while the run is still recording that it waits, and answered again later.
    let outside = Arc::new(Mutex::new(Outside::default()));
    let scenario = || {
        let fresh = Outside::default();
        *outside.lock().unwrap() = fresh.clone();
        let mut simulation =
            Simulation::of(Workflow::new("w", asks).retries(2).on_event("go").with(fresh.clone()));
        simulation.send("go", json!({}));
        for minute in 1..6 {
            let outside = fresh.clone();
            simulation.at(minutes(minute), move |simulation| {
                for token in outside.tokens() {
                    simulation.answer(&token, &done("41"));
                }
            });
        }
        simulation
    };
    let runs = crash_everywhere(scenario, |disturbed, undisturbed| {
        assert_eq!(disturbed.outcomes(), undisturbed.outcomes(), "{}", disturbed.label());
        let tokens = outside.lock().unwrap().tokens();
        assert!(
            tokens.iter().all(|token| *token == tokens[0]),
            "one token however often: {}",
            disturbed.label()
        );
    });
    assert!(runs > 10, "only {runs} places to die");
}
