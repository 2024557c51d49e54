//! evaluate-foto on the simulated clock, with its real clients and the sandbox's services.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod drops;
mod failures;
mod outage;
mod review;

use std::cell::RefCell;

use durable::{
    Event, Payload, RunId, Status, StepState, WaitingFor, minutes,
    testing::{Simulation, crash_everywhere},
};
use evaluate_foto::{Services, workflow};
use fibreflow::{
    events::{EvaluationRequested, MessageQueued},
    sandbox::{Fault, Sandbox, Scene},
};
use serde_json::{Value, json};

fn simulation() -> (Simulation, Sandbox) {
    simulation_with(|_| {})
}

/// A simulation whose services are changed before they are used.
fn simulation_with(change: impl FnOnce(&mut Services)) -> (Simulation, Sandbox) {
    let simulation = Simulation::default();
    let sandbox = Sandbox::open(Scene::new(simulation.clock())).unwrap();
    let mut services = Services::from_settings(sandbox.settings()).unwrap();
    change(&mut services);
    (simulation.with(workflow().with(services)), sandbox)
}

fn request(simulation: &mut Simulation, drop: u32) -> RunId {
    let image_url = format!("s3://fibreflow-photos/DR{drop}/house.jpg");
    let data = json!({"image_url": image_url, "contractor_phone": "0821234567"});
    simulation.send(EvaluationRequested::NAME, data).remove(0)
}

/// Asks for a drop with so many photos.
fn request_photos(simulation: &mut Simulation, drop: u32, photos: usize) -> RunId {
    let photos: Vec<_> = (1..=photos).map(|n| format!("s3://fibreflow-photos/DR{drop}/{n}.jpg")).collect();
    let data = json!({"photos": photos, "contractor_phone": "0821234567"});
    simulation.send(EvaluationRequested::NAME, data).remove(0)
}

/// The names of a run's steps, in order.
fn steps(simulation: &Simulation, run: &RunId) -> Vec<String> {
    simulation.checkpoints(run).iter().map(|step| step.step.to_string()).collect()
}

/// What a step of a run returned, as it is on record.
fn recorded(simulation: &Simulation, run: &RunId, step: &str) -> String {
    let records = simulation.checkpoints(run);
    let record = records.iter().find(|record| record.step.to_string() == step).expect("no such step");
    let StepState::Completed { output: Payload::Json(json) } = &record.state else {
        panic!("{step} has no small result: {:?}", record.state)
    };
    json.clone()
}

/// Why a run failed, and that nothing came of it.
fn failure(simulation: &Simulation, sandbox: &Sandbox, run: &RunId) -> String {
    let run = simulation.run(run);
    assert_eq!(run.status, Status::Failed);
    assert_nothing(simulation, sandbox);
    run.error.unwrap().message().to_owned()
}

/// No evaluation, no row, no message.
fn assert_nothing(simulation: &Simulation, sandbox: &Sandbox) {
    assert_eq!((sandbox.neon().stores(), messages(simulation).len()), (0, 0));
}

fn messages(simulation: &Simulation) -> Vec<Value> {
    simulation
        .events()
        .into_iter()
        .filter(|event| event.name == MessageQueued::NAME)
        .map(|event| event.data)
        .collect()
}

#[test]
fn a_photo_is_judged_stored_and_its_contractor_told() {
    let (mut simulation, sandbox) = simulation();
    let run = request(&mut simulation, 1_733_758);
    simulation.run_until_idle();
    let output = simulation.output(&run);
    assert_eq!(output["dr_number"], "DR1733758");
    let [review] = &sandbox.neon().reviews()[..] else { panic!("not one row") };
    assert_eq!(serde_json::to_value(review).unwrap(), output);
    let told = messages(&simulation);
    assert_eq!((told.len(), &told[0]["phone"]), (1, &json!("0821234567")));
    assert!(told[0]["message"].as_str().unwrap().starts_with("DR1733758: "), "{}", told[0]["message"]);
    assert_eq!(
        steps(&simulation, &run),
        ["download-image", "vlm-evaluate", "store-result", "queue-notification"]
    );
}

/// Where the services are is configuration: the workflow and what comes of it are the same.
#[test]
fn services_in_a_private_network_are_reached_by_the_worker() {
    let simulation = Simulation::default();
    let sandbox = Sandbox::open(Scene::new(simulation.clock())).unwrap();
    let settings = sandbox.settings_by_worker(&["vlm", "photos"]);
    let workflow = workflow().with(Services::from_settings(settings).unwrap());
    let mut simulation = simulation.with(workflow).with_worker(sandbox.worker());
    sandbox.vlm().break_down(Fault::ServerError, Some(1));
    let run = request_photos(&mut simulation, 1_733_758, 8);
    simulation.run_until_idle();
    let (output, mut direct) = (simulation.output(&run), self::simulation());
    let run = request_photos(&mut direct.0, 1_733_758, 8);
    direct.0.run_until_idle();
    assert_eq!(output, direct.0.output(&run));
    assert_eq!((sandbox.neon().reviews().len(), messages(&simulation).len()), (1, 1));
}

#[test]
fn both_names_of_the_event_are_heard_and_nobody_is_told_without_a_number() {
    let (mut simulation, sandbox) = simulation();
    let data = json!({"dr_number": "DR7", "image_url": "s3://fibreflow-photos/x.jpg", "requested_by": "qa"});
    simulation.send("vlm/evaluation.requested", data);
    simulation.run_until_idle();
    assert_eq!((sandbox.neon().reviews().len(), messages(&simulation).len()), (1, 0));
}

#[test]
fn five_evaluations_at_most() {
    let (mut simulation, sandbox) = simulation();
    for drop in 1..=40 {
        request(&mut simulation, drop);
    }
    simulation.run_until_idle();
    assert_eq!(simulation.violations(), [""; 0]);
    assert_eq!((sandbox.vlm().calls(), sandbox.vlm().most_at_once()), (40, 5));
    assert_eq!(sandbox.neon().reviews().len(), 40);
}

/// The failure that hurt, twice: a model that answers 404, or not at all, became a score of 0 that the contractor was told.
#[test]
fn an_evaluation_that_did_not_happen_leaves_no_row_and_no_message() {
    let faults = [
        Fault::ModelMissing,
        Fault::TooLong,
        Fault::Hang,
        Fault::Reset,
        Fault::ServerError,
        Fault::TooManyRequests,
        Fault::CutOff,
        Fault::Prose,
        Fault::Refusal,
        Fault::Unreachable,
        Fault::Dies,
    ];
    for fault in faults {
        let (mut simulation, sandbox) = simulation();
        sandbox.vlm().break_down(fault, None);
        let run = request(&mut simulation, 1);
        simulation.run_until_idle();
        assert_eq!(simulation.run(&run).status, Status::Failed, "{fault}");
        let asked = match fault {
            // Known outages: nothing is asked until the model is back.
            Fault::ModelMissing | Fault::Unreachable => 0,
            Fault::TooLong | Fault::Dies => 1,
            _ => 4,
        };
        assert_eq!(sandbox.vlm().asked(), asked, "{fault}: 3 retries unless they cannot help");
        assert_nothing(&simulation, &sandbox);
    }
}

#[test]
fn a_model_that_comes_back_is_asked_again() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::ModelMissing, Some(3));
    let run = request(&mut simulation, 1);
    simulation.run_until_idle();
    assert_eq!((simulation.run(&run).status, sandbox.neon().stores()), (Status::Completed, 1));
}

#[test]
fn a_judgement_takes_five_minutes_at_most() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::Hang, Some(1));
    request(&mut simulation, 1);
    simulation.run_for(minutes(5));
    simulation.run_for(minutes(2));
    assert_eq!((sandbox.vlm().asked(), sandbox.neon().stores()), (2, 1));
}

#[test]
fn a_photo_that_is_none_or_is_elsewhere_is_refused() {
    for (url, says) in [
        ("s3://secrets/DR1/house.jpg", "bucket secrets is not allowed"),
        ("http://169.254.169.254/DR1", "scheme http is not allowed"),
        ("file:///etc/DR1", "scheme file is not allowed"),
        ("s3://fibreflow-photos/DR1/missing.jpg", "NoSuchKey"),
        ("s3://fibreflow-photos/DR1/broken.jpg", "image_url: the photo cannot be read"),
        (
            "s3://fibreflow-photos/DR1/truncated.jpg",
            "image_url: the photo cannot be read: the file is cut off",
        ),
        ("s3://fibreflow-photos/DR1/text.jpg", "image_url: expected a JPEG or PNG photo"),
        ("s3://fibreflow-photos/DR1/heavy.jpg", "the answer has more than 10485760 bytes"),
        ("s3://fibreflow-photos/DR1/bomb.jpg", "image_url: the photo has 65535 × 65535 pixels"),
        ("s3://fibreflow-photos/house.jpg", "dr_number: expected"),
    ] {
        let (mut simulation, sandbox) = simulation();
        let run = simulation.send(EvaluationRequested::NAME, json!({ "image_url": url })).remove(0);
        simulation.run_until_idle();
        let error = simulation.run(&run).error.unwrap();
        assert!(error.message().contains(says), "{url}: {error}");
        assert_eq!((sandbox.vlm().calls(), sandbox.photos().requests() <= 1), (0, true), "{url}");
    }
}

#[test]
fn whatever_dies_there_is_one_row_and_one_message() {
    let world = RefCell::new(None);
    let scenario = || {
        let (mut simulation, sandbox) = simulation();
        for drop in 1..=6 {
            request(&mut simulation, drop);
        }
        world.replace(Some(sandbox));
        simulation
    };
    let runs = crash_everywhere(scenario, |disturbed, undisturbed| {
        let (label, sandbox) = (disturbed.label(), world.borrow());
        assert_eq!(disturbed.outcomes(), undisturbed.outcomes(), "{label}");
        let neon = sandbox.as_ref().unwrap().neon();
        assert_eq!(neon.reviews().len(), 6, "{label}");
        assert!((6..=7).contains(&neon.stores()), "stored {} times, {label}", neon.stores());
        let vlm = sandbox.as_ref().unwrap().vlm();
        assert!((6..=7).contains(&vlm.calls()), "judged {} times, {label}", vlm.calls());
        let mut ids: Vec<_> = disturbed
            .events()
            .into_iter()
            .filter(|event| event.name == MessageQueued::NAME)
            .map(|event| event.id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 6, "a message more than drops, {label}");
    });
    assert!(runs > 100, "only {runs} places to die");
}

#[test]
fn a_resubmission_supersedes_an_evaluation_that_waits() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::ModelMissing, None);
    let in_outage = request(&mut simulation, 1);
    let others: Vec<_> = (2..=6).map(|drop| request(&mut simulation, drop)).collect();
    simulation.run_for(minutes(30));
    assert!(
        matches!(simulation.run(&others[4]).waiting_for[..], [WaitingFor::Slot { .. }]),
        "the last is in line"
    );
    let again = [request(&mut simulation, 1), request(&mut simulation, 6)];
    simulation.run_for(minutes(30));
    sandbox.vlm().mend();
    simulation.run_until_idle();
    for run in [&in_outage, &others[4]] {
        assert_eq!(simulation.run(run).status, Status::Cancelled);
    }
    assert!(again.iter().all(|run| simulation.run(run).status == Status::Completed));
    assert_eq!((sandbox.neon().stores(), messages(&simulation).len()), (6, 6), "one of each drop");
    assert_eq!(simulation.violations(), [""; 0]);
}

/// What the README shows is what runs.
#[test]
fn the_readme_shows_it_as_it_is() {
    let source = include_str!("../../src/lib.rs");
    let start = source.find("pub fn workflow()").unwrap();
    let end = start + source[start..].find("async fn evaluate_foto(").unwrap();
    let end = end + source[end..].find("\n}\n").unwrap();
    assert!(include_str!("../../../../README.md").contains(&source[start..end]));
}
