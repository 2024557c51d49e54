//! Whole drops: many photos, of every form and shape, in several calls.

use durable::{Event, Status, minutes, seconds};
use fibreflow::{
    events::EvaluationRequested,
    sandbox::Fault,
    vlm::{Criteria, Step},
};
use serde_json::{Value, json};

use crate::{messages, recorded, request, request_photos, simulation, simulation_with, steps};

#[test]
fn sixteen_photos_are_one_evaluation_by_three_calls() {
    let (mut simulation, sandbox) = simulation();
    let run = request_photos(&mut simulation, 1, 16);
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed);
    let shown: Vec<_> = sandbox.vlm().seen().iter().map(Vec::len).collect();
    assert_eq!(shown, [6, 5, 5]);
    assert_eq!((sandbox.neon().stores(), messages(&simulation).len()), (1, 1));
    let calls = ["vlm-evaluate", "vlm-evaluate#2", "vlm-evaluate#3"];
    assert_eq!(steps(&simulation, &run)[1..4], calls);

    // Each step has its best score of the three calls.
    let judged = calls.map(|step| serde_json::from_str::<Value>(&recorded(&simulation, &run, step)).unwrap());
    for (index, step) in sandbox.neon().reviews()[0].step_results.iter().enumerate() {
        let scores = judged.iter().map(|answer| answer["judged"]["steps"][index]["score"].as_f64().unwrap());
        assert!((scores.fold(0.0, f64::max) - step.score).abs() < f64::EPSILON, "{}", step.step_name);
    }
}

/// The photos of a drop are megabytes; what is kept of them says where they are and which they were.
#[test]
fn records_hold_references_and_no_photos() {
    let (mut simulation, sandbox) = simulation();
    let run = request_photos(&mut simulation, 1, 16);
    simulation.run_until_idle();
    // All but the one event that is sent.
    let kept = ["download-image", "vlm-evaluate", "vlm-evaluate#2", "vlm-evaluate#3", "store-result"];
    let total: usize = kept.iter().map(|step| recorded(&simulation, &run, step).len()).sum();
    assert!(total < 8 * 1024, "{total} bytes");
    let photos: Value = serde_json::from_str(&recorded(&simulation, &run, kept[0])).unwrap();
    let [first, ..] = &photos.as_array().unwrap()[..] else { panic!("no photos") };
    let fields: Vec<_> = first.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["bytes", "field", "height", "sha256", "url", "width"]);
    assert_eq!(sandbox.photos().requests(), 32, "each fetched once to be checked and once to be shown");
}

#[test]
fn a_photo_is_shown_upright_and_scaled_down() {
    let (mut simulation, sandbox) = simulation();
    let photos = ["large", "rotated", "screenshot"].map(|n| format!("s3://fibreflow-photos/DR1/{n}.jpg"));
    simulation.send(EvaluationRequested::NAME, json!({ "photos": photos }));
    simulation.run_until_idle();
    // At 2400 × 1800 the photo alone would take a quarter of the model's context.
    assert_eq!(sandbox.vlm().seen(), [[(1280, 960), (60, 80), (80, 60)]]);
    assert_eq!(sandbox.neon().stores(), 1);
}

#[test]
fn an_address_of_s3_in_any_form_is_the_same_photo() {
    let (mut simulation, sandbox) = simulation();
    let bucket = "fibreflow-photos";
    for url in [
        format!("s3://{bucket}/DR1/house.jpg"),
        format!("https://{bucket}.s3.af-south-1.amazonaws.com/DR1/house.jpg"),
    ] {
        simulation.send(EvaluationRequested::NAME, json!({ "image_url": url }));
    }
    simulation.run_until_idle();
    let outputs: Vec<_> = simulation.outcomes().into_iter().map(|run| run.output).collect();
    assert!(outputs[0].is_some() && outputs[0] == outputs[1]);
    assert_eq!(sandbox.neon().reviews().len(), 1, "one row a drop, the second in place of the first");
}

#[test]
fn one_call_at_a_time_for_a_drop_so_five_in_all() {
    let (mut simulation, sandbox) = simulation();
    for drop in 1..=12 {
        request_photos(&mut simulation, drop, 13);
    }
    simulation.run_until_idle();
    assert_eq!((sandbox.vlm().calls(), sandbox.vlm().most_at_once()), (36, 5));
    assert_eq!(sandbox.neon().reviews().len(), 12);
}

#[test]
fn a_prompt_that_is_too_long_is_asked_again_with_fewer_photos() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::TooLong, Some(2));
    let run = request_photos(&mut simulation, 1, 6);
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed);
    let shown: Vec<_> = sandbox.vlm().seen().iter().map(Vec::len).collect();
    assert_eq!(shown, [6, 3, 1, 1, 1, 1, 1, 1]);
    assert!(recorded(&simulation, &run, "vlm-evaluate").contains("maximum model length"));
    assert!(simulation.checkpoints(&run).iter().all(|step| step.attempts == 1), "no attempt was used up");
}

#[test]
fn an_answer_that_is_cut_off_is_asked_for_again_with_fewer_photos() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::CutOff, Some(1));
    let run = request_photos(&mut simulation, 1, 9);
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed);
    let shown: Vec<_> = sandbox.vlm().seen().iter().map(Vec::len).collect();
    assert_eq!(shown, [5, 2, 2, 2, 2, 1]);
    assert!(simulation.elapsed() < minutes(4), "without a wait between: {:?}", simulation.elapsed());
}

#[test]
fn steps_and_thresholds_are_configuration() {
    let steps = ["router", "label"].map(|name| Step { name: name.into(), label: name.to_uppercase() });
    let (mut simulation, sandbox) = simulation_with(|services| {
        let criteria = Criteria::new(steps.into(), 0.0, 1.0).unwrap();
        services.vlm = services.vlm.clone().criteria(criteria).photos_per_call(2);
    });
    let run = request_photos(&mut simulation, 1, 5);
    simulation.run_until_idle();
    let shown: Vec<_> = sandbox.vlm().seen().iter().map(Vec::len).collect();
    assert_eq!(shown, [2, 2, 1]);
    let output = simulation.output(&run);
    assert_eq!((&output["overall_status"], &output["total_steps"]), (&json!("PASS"), &json!(2)));
    assert_eq!(output["step_results"][0]["step_name"], "router");
    assert!(output["markdown_report"].as_str().unwrap().contains("| ROUTER |"), "{output}");
}

/// A photo takes 16 to 31 s here, as it did there.
#[test]
fn an_evaluation_takes_what_its_calls_take() {
    let (mut simulation, _sandbox) = simulation();
    request(&mut simulation, 1);
    simulation.run_until_idle();
    assert!((seconds(15)..seconds(32)).contains(&simulation.elapsed()), "{:?}", simulation.elapsed());
}
