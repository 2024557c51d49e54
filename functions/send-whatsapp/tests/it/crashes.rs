//! Whatever dies, whenever.

use durable::{Status, Window, minutes, testing::crash_everywhere};
use fibreflow::sandbox::Fault;

use crate::world::{PHONE, queue, queue_about, simulation, watched};

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
    println!("{runs} runs");
    assert!(runs > 90, "only {runs} places to die");
}

/// An outage in the middle, a cooldown, the account's pace, and somebody who watches.
#[test]
fn whatever_dies_in_an_outage_the_alert_goes_out_and_every_message_once() {
    let world = std::cell::RefCell::new(None);
    let scenario = || {
        let (mut simulation, sandbox) = watched(|services| {
            services.rules.account_limits = vec![Window { limit: 2, period: minutes(1) }];
            services.rules.cooldown = Some(minutes(10));
        });
        queue(&mut simulation, "+27831112222", "an older message");
        simulation.run_for(minutes(5));
        sandbox.whatsapp().break_down(Fault::LoggedOut, None);
        let service = sandbox.clone();
        simulation.at(minutes(25), move |_| service.whatsapp().mend());
        for text in ["first", "second"] {
            queue_about(&mut simulation, "DR1", text);
        }
        queue(&mut simulation, PHONE, "third");
        world.replace(Some(sandbox));
        simulation
    };
    let runs = crash_everywhere(scenario, |disturbed, _| {
        let label = disturbed.label();
        let sandbox = world.borrow();
        let sandbox = sandbox.as_ref().unwrap();
        let mut texts: Vec<_> =
            sandbox.whatsapp().messages().into_iter().map(|message| message.text).collect();
        texts.sort_unstable();
        let expected = ["@27821234567 first", "@27821234567 second", "an older message", "third"];
        assert_eq!(texts, expected, "{label}");
        assert!(disturbed.outcomes().iter().all(|ending| ending.status == Status::Completed), "{label}");
        // Between the post and its record a crash posts again: an alert too many rather than none.
        let told = sandbox.slack().texts();
        let alerts = told.iter().filter(|text| text.contains("logged out")).count();
        assert!((1..=2).contains(&alerts) && told.len() <= 3, "{label}: {told:?}");
    });
    println!("{runs} runs");
    assert!(runs > 200, "only {runs} places to die");
}
