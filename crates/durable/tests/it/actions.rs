//! What people do to runs and workflows, and what it leaves behind.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use durable::{
    Action, ActionError, ActionResult, AuditFilter, Bulk, BulkAction, Context, Desk, Error, Event,
    PageRequest, Redriven, Rerun, Result, RunFilter, RunId, Status, StepId, StepState, WaitingFor, Workflow,
    hours, minutes, testing::Simulation,
};
use futures::executor::block_on;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How often each step was made.
#[derive(Clone, Debug, Default)]
struct Made(Arc<[AtomicUsize; 3]>);

impl Made {
    fn again(&self, step: usize) -> usize {
        self.0[step].fetch_add(1, Ordering::Relaxed) + 1
    }

    fn counts(&self) -> [usize; 3] {
        [0, 1, 2].map(|step| self.0[step].load(Ordering::Relaxed))
    }
}

#[derive(Serialize, Deserialize)]
struct Told {
    n: usize,
}

impl Event for Told {
    const NAME: &'static str = "told";
}

/// Fails in its last step until that was made twice.
async fn three_steps(ctx: Context<Value>, made: Made) -> Result<usize> {
    let first = ctx.step("first").run(async || Ok(made.again(0))).await?;
    let second: usize = ctx.step("second").run(async || Ok(first * 10 + made.again(1))).await?;
    ctx.send_event("tell", Told { n: second }).await?;
    ctx.step("third")
        .run(async || if made.again(2) < 2 { Err(Error::fatal("not yet")) } else { Ok(second) })
        .await
}

async fn told(ctx: Context<Told>, (): ()) -> Result<usize> {
    Ok(ctx.event().n)
}

fn failed_once() -> (Simulation, Made, RunId) {
    let made = Made::default();
    let mut simulation =
        Simulation::of(Workflow::new("three", three_steps).on_event("go").with(made.clone()))
            .with(Workflow::new("told", told).on_event("told").with(()));
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_until_idle();
    assert_eq!((simulation.run(&run).status, made.counts()), (Status::Failed, [1, 1, 1]));
    (simulation, made, run)
}

fn from(step: &str, output: Option<Value>, request: &str) -> Rerun {
    Rerun { from: Some(StepId { name: step.into(), nth: 1 }), output, request: request.into() }
}

fn deeds(desk: &Desk) -> Vec<(Action, ActionResult)> {
    let page = block_on(desk.history.audit(&AuditFilter::default(), &PageRequest::default())).unwrap();
    page.items.into_iter().map(|entry| (entry.action, entry.result)).collect()
}

#[test]
fn a_run_is_run_again_from_its_beginning() {
    let (mut simulation, made, run) = failed_once();
    let desk = simulation.desk();
    let rerun = Rerun { request: "1".into(), ..Rerun::default() };
    let again = block_on(desk.rerun("me", &run, &rerun)).unwrap();
    assert_eq!(
        block_on(desk.rerun("me", &run, &rerun)).unwrap(),
        again,
        "a request that is repeated is one rerun"
    );
    simulation.run_until_idle();
    assert_eq!((simulation.output(&again), made.counts()), (json!(22), [2, 2, 2]));
    let (before, after) = (simulation.run(&run), simulation.run(&again));
    assert_eq!((before.status, after.rerun_of, after.event), (Status::Failed, Some(run), before.event));
    assert_eq!(simulation.violations(), [""; 0]);
    assert_eq!(deeds(&desk), [(Action::Rerun, ActionResult::Done), (Action::Rerun, ActionResult::Done)]);
}

#[test]
fn a_run_is_run_again_from_a_step_and_sends_nothing_twice() {
    let (mut simulation, made, run) = failed_once();
    let again = block_on(simulation.desk().rerun("me", &run, &from("third", None, "1"))).unwrap();
    simulation.run_until_idle();
    assert_eq!(
        (simulation.output(&again), made.counts()),
        (json!(11), [1, 1, 2]),
        "only the third is made again"
    );
    let told = simulation.events().iter().filter(|event| event.name == "told").count();
    assert_eq!(told, 1, "the step that sends was taken over");
    assert_eq!(simulation.violations(), [""; 0]);
}

#[test]
fn a_steps_output_may_be_given() {
    let (mut simulation, made, run) = failed_once();
    let again = block_on(simulation.desk().rerun("me", &run, &from("second", Some(json!(77)), "1"))).unwrap();
    simulation.run_until_idle();
    assert_eq!((simulation.output(&again), made.counts()), (json!(77), [1, 1, 2]));
    let view = block_on(simulation.desk().run(&again)).unwrap().unwrap();
    let [sent] = &view.sent[..] else { panic!("one event: {view:?}") };
    assert_eq!((sent.step.name.as_str(), sent.runs[0].workflow.as_str()), ("tell", "told"));
    let told = block_on(simulation.desk().run(&sent.runs[0].run_id)).unwrap().unwrap();
    assert_eq!(told.caused_by.map(|cause| (cause.run_id, cause.step)), Some((again, "tell".to_owned())));
    assert_eq!(simulation.output(&sent.runs[0].run_id), json!(77));
}

#[test]
fn what_cannot_be_done_says_why() {
    let (simulation, _, run) = failed_once();
    let desk = simulation.desk();
    let nowhere = block_on(desk.rerun("me", &run, &from("nowhere", None, "1"))).unwrap_err();
    assert!(matches!(nowhere, ActionError::Invalid { field: "from", .. }), "{nowhere}");
    let no_output = block_on(desk.rerun("me", &run, &from("tell", Some(json!(1)), "1"))).unwrap_err();
    assert!(matches!(no_output, ActionError::Invalid { field: "output", .. }), "{no_output}");
    let ended = block_on(desk.cancel("me", &run)).unwrap_err();
    assert!(matches!(ended, ActionError::Conflict(_)), "{ended}");
    let nobody = block_on(desk.cancel("me", &RunId::from_text("nobody"))).unwrap_err();
    assert_eq!(nobody.to_string(), "there is no run nobody");
    assert!(deeds(&desk).iter().all(|(_, result)| matches!(result, ActionResult::Failed(_))));
}

#[test]
fn an_event_is_sent_again_under_an_id_of_its_own() {
    let (mut simulation, made, run) = failed_once();
    let desk = simulation.desk();
    let event = simulation.run(&run).event;
    let again = block_on(desk.resend("me", &event.id, "1")).unwrap();
    assert_eq!(block_on(desk.resend("me", &event.id, "1")).unwrap().id, again.id);
    simulation.run_until_idle();
    assert_eq!((again.data, made.counts()), (event.data, [2, 2, 2]), "it starts one run more");
}

async fn nap(ctx: Context<Value>, (): ()) -> Result<()> {
    ctx.sleep("nap", hours(1)).await;
    Ok(())
}

#[test]
fn a_bulk_is_said_first_and_done_then() {
    let mut simulation = Simulation::of(Workflow::new("nap", nap).on_event("go").with(()));
    for _ in 0..5 {
        simulation.send("go", json!({}));
    }
    simulation.run_for(minutes(1));
    let desk = simulation.desk();
    let page = PageRequest::first(3);
    let mut bulk = Bulk {
        action: BulkAction::Cancel,
        filter: RunFilter::default(),
        dry_run: true,
        page,
        request: "1".into(),
    };
    let said = block_on(desk.bulk("me", &bulk)).unwrap();
    assert_eq!((said.runs.len(), said.next.is_some()), (3, true));
    assert!(simulation.runs().iter().all(|run| run.status == Status::Waiting), "nothing was done");
    bulk.dry_run = false;
    let first = block_on(desk.bulk("me", &bulk)).unwrap();
    assert_eq!(first.runs, said.runs);
    bulk.page.after = first.next;
    let rest = block_on(desk.bulk("me", &bulk)).unwrap();
    assert_eq!((rest.runs.len(), rest.failed, rest.next), (2, vec![], None));
    assert!(simulation.runs().iter().all(|run| run.status == Status::Cancelled));
    assert_eq!(deeds(&desk).len(), 5, "a line a run");
}

#[test]
fn a_paused_workflow_starts_nothing_finishes_what_it_began_and_loses_nothing() {
    let mut simulation = Simulation::of(Workflow::new("nap", nap).on_event("go").with(()));
    let began = simulation.send("go", json!({})).remove(0);
    simulation.run_for(minutes(1));
    let desk = simulation.desk();
    block_on(desk.pause("me", "nap")).unwrap();
    assert!(matches!(block_on(desk.pause("you", "nap")), Err(ActionError::Conflict(_))));
    let waits: Vec<_> = (0..3).flat_map(|_| simulation.send("go", json!({}))).collect();
    simulation.run_for(hours(30));
    assert_eq!(simulation.run(&began).status, Status::Completed, "what had begun goes on");
    for run in &waits {
        let run = simulation.run(run);
        assert_eq!((run.status, run.waiting_for), (Status::Queued, vec![WaitingFor::Paused]));
    }
    let looked = simulation.operations().len();
    simulation.run_for(hours(30));
    assert_eq!(simulation.operations().len(), looked, "nothing polls");
    assert_eq!(block_on(desk.workflows()).unwrap()[0].pause.as_ref().unwrap().by, "me");
    block_on(desk.resume("me", "nap")).unwrap();
    simulation.run_until_idle();
    assert!(waits.iter().all(|run| simulation.run(run).status == Status::Completed));
    assert_eq!(simulation.violations(), [""; 0]);
}

/// Ends the pause at every moment of an invocation that sees it: whoever does so, the run is woken.
#[test]
fn a_pause_that_ends_while_a_run_is_suspended_for_it_wakes_the_run() {
    for after in 0..6 {
        let mut simulation = Simulation::of(Workflow::new("nap", nap).on_event("go").with(()));
        let desk = simulation.desk();
        block_on(desk.pause("me", "nap")).unwrap();
        simulation.duplicate_deliveries();
        let cut = simulation.operations().len() + after / 2;
        let when =
            if after % 2 == 0 { durable::testing::When::Before } else { durable::testing::When::After };
        simulation.cut_off(durable::testing::CutOff { operation: cut, when });
        let run = simulation.send("go", json!({})).remove(0);
        simulation.at(minutes(5), |simulation| block_on(simulation.desk().resume("me", "nap")).unwrap());
        simulation.run_until_idle();
        assert_eq!(simulation.run(&run).status, Status::Completed, "cut off at {cut}, {when:?}");
    }
}

#[test]
fn a_dead_letter_goes_on_where_its_run_stood() {
    let (mut simulation, made, run) = failed_once();
    simulation.give_up(&run, "not yet");
    let desk = simulation.desk();
    let page = block_on(desk.dead_letters.dead_letters(Some("three"), &PageRequest::default())).unwrap();
    let [letter] = &page.items[..] else { panic!("one: {page:?}") };
    assert_eq!((letter.run.as_ref(), letter.reason.as_str()), (Some(&run), "not yet"));
    let Redriven::Rerun { run: again } = block_on(desk.redrive("me", &letter.id)).unwrap() else {
        panic!("a rerun")
    };
    simulation.run_until_idle();
    // The third step's failure is its result as well: what is taken over is every step that has one.
    assert_eq!((simulation.run(&again).status, made.counts()), (Status::Failed, [1, 1, 1]));
    let records = simulation.checkpoints(&again);
    assert!(matches!(records.last().unwrap().state, StepState::Failed { .. }));
    assert!(
        matches!(block_on(desk.redrive("me", &letter.id)), Err(ActionError::NotFound { .. })),
        "it is gone"
    );
    simulation.give_up(&run, "again");
    simulation.give_up(&run, "and again");
    assert_eq!(block_on(desk.redrive_all("me", "three")).unwrap(), 2);
}
