//! When nothing may go out: at night, too late, or while somebody has switched it off.

use std::sync::Arc;

use durable::{Status, WaitingFor, Window, hours, minutes, seconds};
use fibreflow::{
    sandbox::Fault,
    whatsapp::{Rules, Setting},
};

use crate::world::{Lever, PHONE, failure, minute, queue, steps, texts, world};

/// The simulation begins at midnight UTC, which is two in the morning in South Africa.
#[test]
fn nothing_goes_out_at_night_and_what_waited_goes_out_in_the_morning() {
    let (mut simulation, sandbox) =
        world(|services| services.rules.quiet_hours = Rules::default().quiet_hours);
    let runs: Vec<_> = (0..3).map(|n| queue(&mut simulation, PHONE, &format!("message {n}"))).collect();
    simulation.run_for(minutes(239));
    let waiting = &simulation.run(&runs[0]).waiting_for[0];
    assert!(
        matches!(waiting, WaitingFor::Sleep { step, until } if step.name == "wait-for-morning" && until.to_string() == "2026-01-01T04:00:00Z"),
        "{waiting:?}"
    );
    assert_eq!(
        (texts(&sandbox).len(), sandbox.whatsapp().requests()),
        (0, 0),
        "six in the morning, and not before"
    );
    simulation.run_until_idle();
    assert_eq!(texts(&sandbox), ["message 0", "message 1", "message 2"]);
    assert_eq!(minute(&simulation, &sandbox.whatsapp().messages()[0]), 240);
}

#[test]
fn night_that_falls_while_a_message_waits_for_its_turn_holds_it_back() {
    let (mut simulation, sandbox) = world(|services| {
        services.rules.quiet_hours = Rules::default().quiet_hours;
        services.rules.account_limits = vec![Window { limit: 1, period: hours(2) }];
    });
    // 19:00 in South Africa.
    simulation.run_for(hours(17));
    let runs: Vec<_> = (0..2).map(|n| queue(&mut simulation, PHONE, &format!("message {n}"))).collect();
    simulation.run_until_idle();
    let sent_at: Vec<_> =
        sandbox.whatsapp().messages().iter().map(|message| minute(&simulation, message)).collect();
    assert_eq!(sent_at, [17 * 60, 28 * 60], "at 19:00, and not at 21:00 but at 06:00");
    assert!(steps(&simulation, &runs[1]).contains(&"wait-for-morning".to_owned()));
}

/// "Not queued and will not arrive late": what is too old is not sent, and its run says so.
#[test]
fn a_message_that_is_too_old_is_dropped_and_says_so() {
    let (mut simulation, sandbox) = world(|services| services.rules.time_to_live = Some(hours(1)));
    sandbox.whatsapp().break_down(Fault::LoggedOut, None);
    let old = queue(&mut simulation, PHONE, "old");
    simulation.run_for(minutes(40));
    let young = queue(&mut simulation, PHONE, "young");
    simulation.run_for(minutes(30));
    sandbox.whatsapp().mend();
    simulation.run_until_idle();
    assert!(failure(&simulation.run(&old)).starts_with("expired: not sent, because it is older than 1 h"));
    assert_eq!(
        (simulation.run(&young).status, texts(&sandbox)),
        (Status::Completed, vec!["young".to_owned()])
    );
}

#[test]
fn the_switch_holds_at_once_runs_wait_and_go_on_when_it_is_on_again() {
    let lever = Lever::on();
    let (mut simulation, sandbox) = world(|services| {
        services.switch = Arc::new(lever.clone());
        services.rules.account_limits = vec![Window { limit: 1, period: minutes(1) }];
    });
    let runs: Vec<_> = (0..10).map(|n| queue(&mut simulation, PHONE, &format!("message {n}"))).collect();
    simulation.run_for(seconds(150));
    assert_eq!(texts(&sandbox).len(), 3);
    // The fourth waits for its turn, with everything checked.
    lever.off();
    simulation.run_for(hours(3));
    assert_eq!(texts(&sandbox).len(), 3, "none goes out after the flip");
    let waiting = &simulation.run(&runs[3]).waiting_for[0];
    assert!(
        matches!(waiting, WaitingFor::Sleep { step, .. } if step.name == "wait-for-the-switch"),
        "{waiting:?}"
    );
    assert!(simulation.runs().iter().all(|run| run.status != Status::Failed));

    lever.flip(Setting::On);
    simulation.run_for(minutes(5));
    assert!(texts(&sandbox).len() > 3, "noticed within five minutes");
    simulation.run_until_idle();
    assert_eq!(texts(&sandbox), (0..10).map(|n| format!("message {n}")).collect::<Vec<_>>());
    assert_eq!(simulation.violations(), [""; 0]);
}

/// Between two attempts of one send, too.
#[test]
fn the_switch_stops_the_next_attempt_of_a_send() {
    let lever = Lever::on();
    let (mut simulation, sandbox) = world(|services| services.switch = Arc::new(lever.clone()));
    sandbox.whatsapp().break_down(Fault::TooManyRequests, Some(1));
    queue(&mut simulation, PHONE, "hello");
    simulation.run_for(seconds(15));
    lever.off();
    simulation.run_for(minutes(30));
    assert_eq!(texts(&sandbox).len(), 0);
    lever.flip(Setting::On);
    simulation.run_until_idle();
    assert_eq!(texts(&sandbox).len(), 1);
}

#[test]
fn the_phone_that_is_logged_out_while_a_message_waits_for_its_turn_is_not_sent_to() {
    let (mut simulation, sandbox) =
        world(|services| services.rules.account_limits = vec![Window { limit: 1, period: minutes(10) }]);
    let runs: Vec<_> = (0..2).map(|n| queue(&mut simulation, PHONE, &format!("message {n}"))).collect();
    simulation.run_for(minutes(1));
    assert!(
        matches!(simulation.run(&runs[1]).waiting_for[0], WaitingFor::Throttle { .. }),
        "checked, and waiting"
    );
    sandbox.whatsapp().break_down(Fault::LoggedOut, None);
    simulation.run_for(minutes(30));
    sandbox.whatsapp().mend();
    simulation.run_until_idle();
    assert_eq!((simulation.run(&runs[1]).status, texts(&sandbox).len()), (Status::Completed, 2));
    let steps = steps(&simulation, &runs[1]);
    assert!(!steps.contains(&"find-message".to_owned()), "no send that may have happened: {steps:?}");
}
