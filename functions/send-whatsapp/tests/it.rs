//! send-whatsapp on the simulated clock, with its real client and the sandbox's service.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use durable::{
    Event, Run, RunId, Status, WaitingFor, minutes, seconds,
    testing::{Simulation, crash_everywhere},
};
use fibreflow::{
    events::MessageQueued,
    sandbox::{Fault, Sandbox, Scene},
};
use send_whatsapp::{Services, workflow};
use serde_json::json;

fn simulation() -> (Simulation, Sandbox) {
    let simulation = Simulation::default();
    let sandbox = Sandbox::open(Scene::new(simulation.clock())).unwrap();
    let services = Services::from_settings(sandbox.settings()).unwrap();
    (simulation.with(workflow().with(services)), sandbox)
}

fn queue(simulation: &mut Simulation, phone: &str, message: &str) -> RunId {
    let queued = MessageQueued { phone: phone.into(), message: message.into() };
    simulation.send_event(&queued).remove(0)
}

const PHONE: &str = "+27821234567";

fn failure(run: &Run) -> &str {
    assert_eq!(run.status, Status::Failed);
    run.error.as_ref().unwrap().message()
}

#[test]
fn a_message_goes_out_to_whom_it_is_for() {
    let (mut simulation, sandbox) = simulation();
    let run = queue(&mut simulation, "082 123 4567", "hello");
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed);
    let [message] = &sandbox.whatsapp().messages()[..] else { panic!("not one message") };
    assert_eq!((message.to.as_str(), message.text.as_str()), ("27821234567@s.whatsapp.net", "hello"));
}

/// Where the service is is configuration: whatever dies, a message goes out once.
#[test]
fn a_phone_in_a_private_network_is_reached_by_the_worker() {
    let world = std::cell::RefCell::new(None);
    let scenario = || {
        let simulation = Simulation::default();
        let sandbox = Sandbox::open(Scene::new(simulation.clock())).unwrap();
        let services = Services::from_settings(sandbox.settings_by_worker(&["whatsapp"])).unwrap();
        let mut simulation = simulation.with(workflow().with(services)).with_worker(sandbox.worker());
        queue(&mut simulation, PHONE, "hello");
        world.replace(Some(sandbox));
        simulation
    };
    let runs = crash_everywhere(scenario, |disturbed, _| {
        let (label, run) = (disturbed.label(), disturbed.runs().remove(0));
        let messages = world.borrow().as_ref().unwrap().whatsapp().messages().len();
        match run.error {
            None => assert_eq!(messages, 1, "{label}"),
            // It died between noting that it would send and leaving that to the worker.
            Some(error) => assert!(error.is_outcome_unknown() && messages == 0, "{label}: {error}"),
        }
    });
    assert!(runs > 30, "only {runs} places to die");
}

#[test]
fn an_unpaired_phone_is_asked_again_every_five_minutes_and_the_message_goes_out_after_pairing() {
    let (mut simulation, sandbox) = simulation();
    sandbox.whatsapp().break_down(Fault::LoggedOut, None);
    let run = queue(&mut simulation, PHONE, "hello");
    simulation.run_for(minutes(12));
    assert_eq!(sandbox.whatsapp().requests(), 3, "asked at 0, 5 and 10 minutes");
    assert!(
        matches!(&simulation.run(&run).waiting_for[..], [WaitingFor::Sleep { step, .. }] if step.name == "wait")
    );
    sandbox.whatsapp().mend();
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed);
    assert_eq!((sandbox.whatsapp().messages().len(), simulation.elapsed().as_secs() / 60), (1, 15));
}

#[test]
fn a_phone_that_stays_unpaired_is_asked_five_times_and_nothing_goes_out() {
    for fault in [Fault::LoggedOut, Fault::Disconnected, Fault::Unreachable] {
        let (mut simulation, sandbox) = simulation();
        sandbox.whatsapp().break_down(fault, None);
        let run = queue(&mut simulation, PHONE, "hello");
        simulation.run_until_idle();
        assert!(failure(&simulation.run(&run)).contains("at 5 checks, 5 minutes apart"));
        assert_eq!((sandbox.whatsapp().requests(), sandbox.whatsapp().messages().len()), (5, 0), "{fault}");
        assert_eq!(simulation.elapsed(), minutes(20));
    }
}

/// I5, over sends that really happened: 1,000 messages to 50 phones, twenty each, all queued at once.
#[test]
fn in_no_minute_more_than_ten_messages_reach_a_phone() {
    let (mut simulation, sandbox) = simulation();
    for n in 0..1_000 {
        let phone = format!("+2782{:07}", 1_000_000 + n % 50);
        queue(&mut simulation, &phone, &format!("message {n}"));
    }
    simulation.run_until_idle();
    assert_eq!(simulation.violations(), [""; 0]);
    let mut by_phone: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for message in sandbox.whatsapp().messages() {
        by_phone.entry(message.to).or_default().push((message.at, message.text));
    }
    assert_eq!((by_phone.len(), by_phone.values().map(Vec::len).sum::<usize>()), (50, 1_000));
    for (phone, sent) in &by_phone {
        for eleven in sent.windows(11) {
            let span = durable::until(eleven[0].0, eleven[10].0);
            assert!(span > minutes(1), "11 messages to {phone} within {span:?}");
        }
        let numbers: Vec<u32> =
            sent.iter().map(|(_, text)| text["message ".len()..].parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{phone} was sent {numbers:?}: not in order of arrival");
    }
    assert!(simulation.elapsed() < minutes(3), "twenty a phone take little more than one minute");
}

#[test]
fn a_refused_send_is_made_three_times_thirty_seconds_apart() {
    let (mut simulation, sandbox) = simulation();
    sandbox.whatsapp().break_down(Fault::TooManyRequests, None);
    let run = queue(&mut simulation, PHONE, "hello");
    simulation.run_until_idle();
    assert!(failure(&simulation.run(&run)).contains("429"));
    let send = &simulation.checkpoints(&run)[1];
    assert_eq!((send.step.name.as_str(), send.attempts), ("send-message", 3));
    assert_eq!(simulation.elapsed(), seconds(60), "and a run whose step gave up does not start again");
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

#[test]
fn whatever_dies_no_message_goes_out_twice() {
    let world = std::cell::RefCell::new(None);
    let scenario = || {
        let (mut simulation, sandbox) = simulation();
        // The list of sent messages then goes back to before any send of interest.
        queue(&mut simulation, "+27831112222", "an older message");
        simulation.run_for(minutes(5));
        sandbox.whatsapp().break_down(Fault::Disconnected, None);
        let service = sandbox.clone();
        simulation.at(minutes(7), move |_| service.whatsapp().mend());
        for n in 0..3 {
            queue(&mut simulation, PHONE, &format!("message {n}"));
        }
        world.replace(Some(sandbox));
        simulation
    };
    let runs = crash_everywhere(scenario, |disturbed, _| {
        let label = disturbed.label();
        let sandbox = world.borrow();
        let messages = sandbox.as_ref().unwrap().whatsapp().messages();
        let mut texts: Vec<_> = messages.iter().map(|message| message.text.as_str()).collect();
        texts.sort_unstable();
        assert_eq!(texts, ["an older message", "message 0", "message 1", "message 2"], "{label}");
        assert!(disturbed.outcomes().iter().all(|ending| ending.status == Status::Completed), "{label}");
    });
    assert!(runs > 90, "only {runs} places to die");
}
