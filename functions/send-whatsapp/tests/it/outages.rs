//! A service that cannot send: messages wait, one alert goes out, and after the pairing they go out in order.

use durable::{RunId, Status, WaitingFor, Window, hours, minutes, seconds, testing::Simulation};
use fibreflow::{sandbox::Fault, whatsapp::Rules};
use serde_json::json;

use crate::world::{PHONE, assert_within, queue, simulation, steps, texts, watched};

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

/// The seed's five tries, five minutes apart; and what the seed did not have: after them the message is not lost.
#[test]
fn a_phone_that_stays_unpaired_is_asked_five_times_and_then_as_long_as_it_takes() {
    for fault in [Fault::LoggedOut, Fault::Disconnected, Fault::Unreachable] {
        let (mut simulation, sandbox) = simulation();
        sandbox.whatsapp().break_down(fault, None);
        let run = queue(&mut simulation, PHONE, "hello");
        simulation.run_for(minutes(24));
        assert_eq!(
            (sandbox.whatsapp().requests(), texts(&sandbox).len()),
            (5, 0),
            "{fault}: at 0, 5, 10, 15, 20"
        );
        let waiting = simulation.run(&run).waiting_for;
        assert!(
            matches!(&waiting[..], [WaitingFor::Sleep { step, .. }] if step.name == "wait-for-pairing"),
            "{waiting:?}"
        );
        simulation.run_for(hours(3));
        sandbox.whatsapp().mend();
        simulation.run_for(minutes(5));
        assert_eq!((simulation.run(&run).status, texts(&sandbox).len()), (Status::Completed, 1), "{fault}");
    }
}

/// Thirty submissions were lost while logged out, and nobody noticed for 21 hours: the health check said "ok".
#[test]
fn thirty_messages_outlast_a_logout_of_21_hours_with_one_alert_and_go_out_in_order() {
    let (mut simulation, sandbox) = watched(|services| {
        services.rules = Rules { quiet_hours: None, ..Rules::default() };
    });
    sandbox.whatsapp().break_down(Fault::LoggedOut, None);
    let mut runs = Vec::new();
    for n in 0..30 {
        runs.push(queue(&mut simulation, &format!("+278212345{n:02}"), &format!("message {n}")));
        simulation.run_for(minutes(2));
    }
    let alerts = sandbox.slack().texts();
    assert!(alerts.len() == 1 && alerts[0].contains("logged out"), "{alerts:?}");
    assert_eq!(simulation.run(&runs[29]).waiting_for.len(), 1);
    assert!(matches!(simulation.run(&runs[29]).waiting_for[0], WaitingFor::Slot { position: 29, .. }));

    simulation.run_for(hours(20));
    assert_eq!((sandbox.slack().texts().len(), texts(&sandbox).len()), (1, 0), "one alert an outage");
    let asked = sandbox.whatsapp().requests();
    println!("asked {asked} times in 21 hours, with 30 messages waiting");
    assert!(asked < 21 * 12 + 21 * 12 + 20, "only the first in line and the watcher ask: {asked}");

    sandbox.whatsapp().mend();
    simulation.run_until_idle();
    let sent = sandbox.whatsapp().messages();
    let order: Vec<_> = (0..30).map(|n| format!("message {n}")).collect();
    assert_eq!(texts(&sandbox), order, "first come, first served");
    let times: Vec<_> = sent.iter().map(|message| message.at).collect();
    assert_within(&times, &Rules::default().account_limits);
    assert!(runs.iter().all(|run| simulation.run(run).status == Status::Completed));
    let told = sandbox.slack().texts();
    assert!(told.len() == 2 && told[1].contains("sends again"), "{told:?}");
    assert_eq!(simulation.violations(), [""; 0]);
}

fn suspicions(simulation: &Simulation) -> Vec<RunId> {
    simulation.runs().into_iter().filter(|run| run.workflow == "watch-whatsapp").map(|run| run.id).collect()
}

/// 124 false alarms came of a single probe.
#[test]
fn a_service_that_is_back_within_three_probes_is_not_reported() {
    let (mut simulation, sandbox) = watched(|_| ());
    sandbox.whatsapp().break_down(Fault::Unreachable, None);
    let service = sandbox.clone();
    simulation.at(seconds(8), move |_| service.whatsapp().mend());
    queue(&mut simulation, PHONE, "hello");
    simulation.run_until_idle();
    let [watch] = &suspicions(&simulation)[..] else { panic!("not one suspicion") };
    assert_eq!(simulation.output(watch), json!({"outage": "none"}));
    assert_eq!(steps(&simulation, watch).iter().filter(|step| step.starts_with("check-service")).count(), 3);
    assert_eq!((sandbox.slack().texts().len(), texts(&sandbox).len()), (0, 1));
}

#[test]
fn a_disconnection_that_heals_by_itself_is_not_reported_and_one_that_does_not_is() {
    for (healed_after, alerts) in [(minutes(4), 0), (minutes(40), 1)] {
        let (mut simulation, sandbox) = watched(|_| ());
        sandbox.whatsapp().break_down(Fault::Disconnected, None);
        let service = sandbox.clone();
        simulation.at(healed_after, move |_| service.whatsapp().mend());
        queue(&mut simulation, PHONE, "hello");
        simulation.run_until_idle();
        let about = |text: &&String| text.contains("disconnected");
        assert_eq!(sandbox.slack().texts().iter().filter(about).count(), alerts);
        assert_eq!(texts(&sandbox).len(), 1);
    }
}

#[test]
fn a_second_outage_is_reported_again() {
    let (mut simulation, sandbox) = watched(|_| ());
    for (nth, alerts) in [(1, 1), (2, 3)] {
        sandbox.whatsapp().break_down(Fault::LoggedOut, None);
        queue(&mut simulation, PHONE, &format!("message {nth}"));
        simulation.run_for(hours(2));
        assert_eq!(sandbox.slack().texts().len(), alerts, "an alert, all clear, an alert");
        sandbox.whatsapp().mend();
        simulation.run_for(hours(1));
    }
    assert_eq!((sandbox.slack().texts().len(), texts(&sandbox).len()), (4, 2));
}

/// Alerts were sent over the bridge that was dead. And Slack may be down as well.
#[test]
fn an_alert_does_not_go_over_whatsapp_and_waits_for_slack() {
    let (mut simulation, sandbox) = watched(|_| ());
    sandbox.whatsapp().break_down(Fault::LoggedOut, None);
    sandbox.slack().break_down(Fault::TooManyRequests, Some(4));
    queue(&mut simulation, PHONE, "hello");
    simulation.run_for(minutes(20));
    assert_eq!((sandbox.slack().texts().len(), sandbox.whatsapp().messages().len()), (1, 0));
}

/// Messages whose time is up while nothing can go out are dropped one by one; each of them reports the outage, and one alert
/// goes out all the same.
#[test]
fn however_many_messages_meet_an_outage_there_is_one_alert() {
    let (mut simulation, sandbox) = watched(|services| services.rules.time_to_live = Some(minutes(30)));
    sandbox.whatsapp().break_down(Fault::LoggedOut, None);
    for n in 0..40 {
        queue(&mut simulation, PHONE, &format!("message {n}"));
        simulation.run_for(minutes(3));
    }
    assert!(suspicions(&simulation).len() > 2);
    assert_eq!(sandbox.slack().texts().len(), 1);
    sandbox.whatsapp().mend();
    simulation.run_until_idle();
    assert_eq!(sandbox.slack().texts().len(), 2);
    let failed = simulation.runs().iter().filter(|run| run.status == Status::Failed).count();
    assert_eq!(failed + texts(&sandbox).len(), 40, "sent, or said to be too old");
    assert!(texts(&sandbox).len() >= 7, "what is young enough goes out");
    assert_eq!(simulation.violations(), [""; 0]);
}

/// A window at test-size.
#[test]
fn after_the_pairing_the_queue_moves_as_slowly_as_ever() {
    let limits = vec![Window { limit: 3, period: minutes(1) }];
    let (mut simulation, sandbox) = watched(|services| services.rules.account_limits = limits.clone());
    sandbox.whatsapp().break_down(Fault::LoggedOut, None);
    for n in 0..24 {
        queue(&mut simulation, &format!("+278212345{n:02}"), &format!("message {n}"));
    }
    simulation.run_for(hours(2));
    sandbox.whatsapp().mend();
    let paired = simulation.elapsed();
    simulation.run_until_idle();
    let times: Vec<_> = sandbox.whatsapp().messages().iter().map(|message| message.at).collect();
    assert_within(&times, &limits);
    assert_eq!(times.len(), 24);
    assert!(simulation.elapsed() < paired + minutes(13), "five minutes at most, then eight");
}
