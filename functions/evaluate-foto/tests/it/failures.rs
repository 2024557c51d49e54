//! Each way an evaluation was seen not to happen. None of them is a score, a row or a message.

use durable::{Event, Status, minutes};
use fibreflow::{events::EvaluationRequested, sandbox::Fault};
use serde_json::json;

use crate::{assert_nothing, failure, messages, request, request_photos, simulation};

#[test]
fn a_model_that_never_answers_is_given_up_after_four_calls_of_five_minutes() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::Hang, None);
    let run = request(&mut simulation, 1);
    simulation.run_until_idle();
    let says = failure(&simulation, &sandbox, &run);
    assert!(says.contains("timed out"), "{says}");
    assert_eq!(sandbox.vlm().asked(), 4);
    let minutes_taken = simulation.elapsed().as_secs() / 60;
    assert!((20..23).contains(&minutes_taken), "{minutes_taken} min");
}

/// A photo that is too much for the model on its own is for a person to look at.
#[test]
fn one_photo_that_is_too_long_is_refused_at_once() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::TooLong, None);
    let run = request_photos(&mut simulation, 1, 4);
    simulation.run_until_idle();
    let says = failure(&simulation, &sandbox, &run);
    assert!(says.contains("longer than the maximum model length of 16384"), "{says}");
    assert_eq!(sandbox.vlm().asked(), 3, "four photos, two, one");
}

#[test]
fn an_answer_that_stays_cut_off_is_no_evaluation() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::CutOff, None);
    let run = request_photos(&mut simulation, 1, 6);
    simulation.run_until_idle();
    assert_eq!(failure(&simulation, &sandbox, &run), "the model's answer was cut off");
    assert_eq!(sandbox.vlm().asked(), 2 + 4, "six photos, three, and four attempts with one");
}

#[test]
fn prose_is_no_evaluation() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::Prose, None);
    let run = request(&mut simulation, 1);
    simulation.run_until_idle();
    let says = failure(&simulation, &sandbox, &run);
    assert!(says.starts_with("the model's answer cannot be used"), "{says}");
}

#[test]
fn a_refusal_is_no_evaluation() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::Refusal, None);
    let run = request(&mut simulation, 1);
    simulation.run_until_idle();
    assert_eq!(
        failure(&simulation, &sandbox, &run),
        "the model refused: I'm sorry, but I can't help with that."
    );
}

/// Elsewhere a failed batch became an empty list, and the rest of the drop was judged without it.
#[test]
fn half_of_the_calls_failing_is_no_evaluation() {
    for fault in [Fault::ServerError, Fault::Prose, Fault::Hang, Fault::Reset, Fault::Refusal] {
        let (mut simulation, sandbox) = simulation();
        let run = request_photos(&mut simulation, 1, 12);
        // The first call is answered, the second never.
        while sandbox.vlm().calls() < 1 {
            simulation.run_for(minutes(0));
        }
        sandbox.vlm().break_down(fault, None);
        simulation.run_until_idle();
        failure(&simulation, &sandbox, &run);
        assert_eq!(sandbox.vlm().asked(), 1 + 4, "{fault}");
    }
}

#[test]
fn a_call_that_fails_for_a_while_is_made_again_and_the_others_are_not() {
    for fault in [Fault::ServerError, Fault::Prose, Fault::Reset, Fault::TooManyRequests, Fault::Refusal] {
        let (mut simulation, sandbox) = simulation();
        sandbox.vlm().break_down(fault, Some(3));
        let run = request_photos(&mut simulation, 1, 12);
        simulation.run_until_idle();
        assert_eq!(simulation.run(&run).status, Status::Completed, "{fault}");
        assert_eq!(sandbox.vlm().asked(), 3 + 2, "{fault}");
        assert_eq!((sandbox.neon().stores(), messages(&simulation).len()), (1, 1), "{fault}");
    }
}

/// A step that only this photo shows would be judged as missing.
#[test]
fn one_bad_photo_of_many_is_named_and_nothing_is_judged() {
    for (key, says) in [
        ("missing.jpg", "photos[1]: GET photos.sandbox/fibreflow-photos/DR1/missing.jpg: 404"),
        ("truncated.jpg", "photos[1]: the photo cannot be read: the file is cut off"),
        ("bomb.jpg", "photos[1]: the photo has 65535 × 65535 pixels, expected at most 50000000"),
    ] {
        let (mut simulation, sandbox) = simulation();
        let photos = ["a.jpg", key, "b.jpg"].map(|name| format!("s3://fibreflow-photos/DR1/{name}"));
        let run = simulation.send(EvaluationRequested::NAME, json!({ "photos": photos })).remove(0);
        simulation.run_until_idle();
        let error = failure(&simulation, &sandbox, &run);
        assert!(error.starts_with(says), "{error}");
        assert_eq!(sandbox.vlm().requests(), 0);
    }
}

#[test]
fn a_photo_store_that_fails_for_a_while_is_asked_again() {
    let (mut simulation, sandbox) = simulation();
    sandbox.photos().break_down(Fault::ServerError, Some(2));
    let run = request_photos(&mut simulation, 1, 3);
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed);
    assert_eq!(sandbox.neon().stores(), 1);
}

/// The photos that are judged are the ones that were checked, or the run says that they are not.
#[test]
fn a_photo_that_was_replaced_meanwhile_is_not_judged() {
    let (mut simulation, sandbox) = simulation();
    sandbox.vlm().break_down(Fault::Unreachable, None);
    let run = request_photos(&mut simulation, 1, 3);
    simulation.run_for(minutes(5));
    sandbox.photos().retake("DR1/2.jpg");
    sandbox.vlm().mend();
    simulation.run_until_idle();
    let says = failure(&simulation, &sandbox, &run);
    assert_eq!(says, "photos[1]: the photo has changed since it was checked: send the event again");
    assert_eq!(sandbox.vlm().asked(), 0);
}

#[test]
fn a_request_without_photos_or_of_two_drops_is_refused() {
    for (data, says) in [
        (json!({ "dr_number": "DR1" }), "image_url, photos: expected the address of at least one photo"),
        (json!({ "dr_number": "DR1", "photos": [] }), "image_url, photos: expected"),
        (
            json!({ "photos": ["s3://fibreflow-photos/DR1/a.jpg", "s3://fibreflow-photos/DR2/a.jpg"] }),
            "dr_number: expected",
        ),
        (json!({ "photos": "s3://fibreflow-photos/DR1/a.jpg" }), "photos: invalid type"),
    ] {
        let (mut simulation, sandbox) = simulation();
        let run = simulation.send(EvaluationRequested::NAME, data).remove(0);
        simulation.run_until_idle();
        let error = failure(&simulation, &sandbox, &run);
        assert!(error.contains(says), "{error}");
        assert_eq!((sandbox.vlm().requests(), sandbox.photos().requests()), (0, 0));
    }
}

#[test]
fn a_database_that_sleeps_is_asked_again_and_the_model_is_not() {
    let (mut simulation, sandbox) = simulation();
    sandbox.neon().refuse(2);
    let run = request(&mut simulation, 1);
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed);
    assert_eq!((sandbox.vlm().asked(), sandbox.neon().stores()), (1, 1));
}

#[test]
fn a_database_that_is_gone_keeps_the_message_back() {
    let (mut simulation, sandbox) = simulation();
    sandbox.neon().refuse(u32::MAX);
    let run = request(&mut simulation, 1);
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Failed);
    assert_nothing(&simulation, &sandbox);
}
