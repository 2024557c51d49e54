//! One message: to whom it goes, and what becomes of it when its send fails.

use durable::{Event, Status, minutes, seconds};
use fibreflow::{
    events::MessageQueued,
    sandbox::{Fault, Sandbox, Scene},
    whatsapp::Pairing,
};
use send_whatsapp::{Services, workflow};
use serde_json::json;

use crate::world::{GROUP, PHONE, failure, queue, queue_about, simulation, steps, texts};

#[test]
fn a_message_goes_out_to_whom_it_is_for() {
    let (mut simulation, sandbox) = simulation();
    let run = queue(&mut simulation, "082 123 4567", "hello");
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed);
    let [message] = &sandbox.whatsapp().messages()[..] else { panic!("not one message") };
    assert_eq!((message.to.as_str(), message.text.as_str()), ("27821234567@s.whatsapp.net", "hello"));
}

#[test]
fn in_a_group_somebody_is_mentioned() {
    let (mut simulation, sandbox) = simulation();
    for (field, value) in [("phone", "0821234567"), ("mention", "98765@lid")] {
        simulation.send(MessageQueued::NAME, json!({"group": GROUP, field: value, "message": "look"}));
    }
    simulation.send(MessageQueued::NAME, json!({"group": GROUP, "message": "all"}));
    simulation.run_until_idle();
    let sent: Vec<_> = sandbox
        .whatsapp()
        .messages()
        .into_iter()
        .map(|message| (message.to, message.mentioned, message.text))
        .collect();
    let of =
        |mention: Option<&str>, text: &str| (GROUP.to_owned(), mention.map(str::to_owned), text.to_owned());
    assert_eq!(
        sent,
        [
            of(Some("27821234567@s.whatsapp.net"), "@27821234567 look"),
            of(Some("98765@lid"), "@98765 look"),
            of(None, "all")
        ]
    );
}

/// Refused for now is certainly not sent: so many attempts, as the step's policy says, and then it waits rather than be lost.
#[test]
fn a_send_refused_for_now_is_made_three_times_thirty_seconds_apart_and_then_waits() {
    let (mut simulation, sandbox) = simulation();
    sandbox.whatsapp().break_down(Fault::TooManyRequests, None);
    let run = queue(&mut simulation, PHONE, "hello");
    simulation.run_for(minutes(2));
    let send = &simulation.checkpoints(&run)[1];
    assert_eq!((send.step.name.as_str(), send.attempts), ("send-message", 3));
    assert_eq!(durable::until(send.started_at, send.at), seconds(60));
    sandbox.whatsapp().mend();
    simulation.run_until_idle();
    assert_eq!((simulation.run(&run).status, texts(&sandbox)), (Status::Completed, vec!["hello".to_owned()]));
    assert_eq!(simulation.elapsed().as_secs(), 60 + 5 * 60 + 1);
    assert_eq!(
        steps(&simulation, &run),
        ["check-service", "send-message", "wait", "check-service#2", "send-message#2"]
    );
}

/// 401 for a wrong secret, 400 for an empty text; the statuses themselves are held to it in `fibreflow`.
#[test]
fn a_certain_refusal_is_final_and_made_once() {
    let simulation = durable::testing::Simulation::default();
    let sandbox = Sandbox::open(Scene::new(simulation.clock())).unwrap();
    let wrong = sandbox.settings().with_overrides([("WHATSAPP_SECRET", "wrong")]);
    let mut simulation = simulation.with(workflow().with(Services::from_settings(wrong).unwrap()));
    let run = queue(&mut simulation, PHONE, "hello");
    simulation.run_until_idle();
    assert!(failure(&simulation.run(&run)).contains("401"), "{}", failure(&simulation.run(&run)));
    assert_eq!((simulation.checkpoints(&run)[1].attempts, sandbox.whatsapp().messages().len()), (1, 0));

    let (mut simulation, sandbox) = crate::world::simulation();
    let run = queue(&mut simulation, PHONE, "");
    simulation.run_until_idle();
    assert!(failure(&simulation.run(&run)).contains("400"), "{}", failure(&simulation.run(&run)));
    assert_eq!((simulation.checkpoints(&run)[1].attempts, sandbox.whatsapp().messages().len()), (1, 0));
}

#[test]
fn a_send_whose_answer_was_lost_is_found_and_not_repeated() {
    let (mut simulation, sandbox) = simulation();
    sandbox.whatsapp().break_down(Fault::LostAnswer, Some(1));
    let run = queue(&mut simulation, PHONE, "hello");
    simulation.run_until_idle();
    let id = &sandbox.whatsapp().messages()[0].id;
    assert_eq!(simulation.output(&run), json!({"message_id": id, "found_afterwards": true}));
    assert_eq!(sandbox.whatsapp().messages().len(), 1);
}

#[test]
fn a_send_to_a_group_whose_answer_was_lost_is_found_by_its_mention() {
    let (mut simulation, sandbox) = simulation();
    sandbox.whatsapp().break_down(Fault::LostAnswer, Some(1));
    let run = queue_about(
        &mut simulation,
        "DR1",
        "PASS, and so long a text that the list of sent messages keeps half of it",
    );
    simulation.run_until_idle();
    assert_eq!((&simulation.output(&run)["found_afterwards"], texts(&sandbox).len()), (&json!(true), 1));
}

#[test]
fn a_send_that_certainly_did_not_happen_is_made_again_and_one_that_may_have_is_not() {
    for (others, fault) in [(true, Fault::Reset), (true, Fault::Hang), (false, Fault::Reset)] {
        let (mut simulation, sandbox) = simulation();
        if others {
            // An older message shows that the service's list goes back far enough to prove it.
            queue(&mut simulation, "+27831112222", "an older message");
            simulation.run_for(minutes(5));
        }
        sandbox.whatsapp().break_down(fault, Some(1));
        let run = queue(&mut simulation, PHONE, "hello");
        simulation.run_until_idle();
        let sent = sandbox.whatsapp().messages().iter().filter(|message| message.text == "hello").count();
        if others {
            assert_eq!((simulation.run(&run).status, sent), (Status::Completed, 1), "{fault}");
        } else {
            assert!(failure(&simulation.run(&run)).contains("outcome unknown"));
            assert_eq!(sent, 0);
        }
    }
}

/// Whoever says when to come back need not be who sent the message: a 503 is no proof that it did not go out.
#[test]
fn a_send_that_a_gateway_answers_for_is_looked_up_and_not_repeated() {
    let (mut simulation, sandbox) = simulation();
    sandbox.whatsapp().break_down(Fault::BusyGateway, Some(1));
    let run = queue(&mut simulation, PHONE, "hello");
    simulation.run_until_idle();
    assert_eq!((texts(&sandbox), simulation.run(&run).status), (vec!["hello".to_owned()], Status::Completed));
    assert_eq!(simulation.output(&run)["found_afterwards"], true);
}

/// Each time it is certain that nothing went out; and some things are refused whatever one does.
#[test]
fn a_send_that_never_works_is_given_up_and_says_that_nothing_went_out() {
    let (mut simulation, sandbox) = simulation();
    queue(&mut simulation, "+27831112222", "an older message");
    simulation.run_for(minutes(5));
    sandbox.whatsapp().break_down(Fault::ServerError, None);
    let run = queue(&mut simulation, PHONE, "hello");
    simulation.run_until_idle();
    assert!(failure(&simulation.run(&run)).starts_with("not sent: 5 sends failed and none went out"));
    assert_eq!(texts(&sandbox), ["an older message"]);
}

/// Nobody can know; so a person decides, and what they decided is on record.
#[test]
fn what_may_have_gone_out_is_sent_again_only_by_somebody_who_says_so() {
    let (mut simulation, sandbox) = simulation();
    sandbox.whatsapp().break_down(Fault::Reset, Some(1));
    let unknown = queue(&mut simulation, PHONE, "hello");
    simulation.run_until_idle();
    let run = simulation.run(&unknown);
    assert!(run.error.as_ref().unwrap().is_outcome_unknown() && failure(&run).contains("outcome unknown"));
    assert_eq!(sandbox.whatsapp().messages().len(), 0);

    let again = json!({"phone": PHONE, "message": "hello", "resend_of": unknown.as_str()});
    let again = simulation.send(MessageQueued::NAME, again).remove(0);
    simulation.run_until_idle();
    assert_ne!(again, unknown);
    assert_eq!(
        (&simulation.output(&again)["resend_of"], texts(&sandbox).len()),
        (&json!(unknown.as_str()), 1)
    );
}

#[test]
fn what_is_no_number_is_refused_before_anything_is_asked() {
    let (mut simulation, sandbox) = simulation();
    let run = queue(&mut simulation, "12", "hello");
    simulation.run_until_idle();
    assert!(failure(&simulation.run(&run)).starts_with("phone: expected a number"));
    let wrong = simulation.send(MessageQueued::NAME, json!({"phone": 12, "message": "hello"})).remove(0);
    simulation.run_until_idle();
    let text = "event whatsapp/message.queued: phone: invalid type: integer `12`, expected a string";
    assert_eq!(failure(&simulation.run(&wrong)), text);
    assert_eq!((sandbox.whatsapp().requests(), simulation.checkpoints(&wrong).len()), (0, 0));
}

/// Whatever fails: the error, the run and its steps show neither the text nor the number, however they are printed.
#[test]
fn no_error_and_no_debug_output_shows_a_text_or_a_number() {
    for fault in [
        Fault::Reset,
        Fault::Hang,
        Fault::LostAnswer,
        Fault::ServerError,
        Fault::TooManyRequests,
        Fault::LoggedOut,
    ] {
        let (mut simulation, sandbox) = simulation();
        sandbox.whatsapp().break_down(fault, None);
        let run = queue(&mut simulation, PHONE, "a text for one person's eyes");
        simulation.run_for(minutes(30));
        let (shown, steps) = (simulation.run(&run), simulation.checkpoints(&run));
        let text = format!("{shown:?} {steps:?} {:?} {:?}", simulation.events(), Pairing::Paired);
        assert!(!text.contains("one person's eyes") && !text.contains("2782123"), "{fault}: {text}");
    }
}
