//! How fast messages go out: several windows at once, over the sends that really happen.

use std::collections::BTreeMap;

use durable::{Window, hours, minutes};
use fibreflow::whatsapp::Rules;

use crate::world::{PHONE, a_minute, assert_within, minute, queue, queue_about, simulation, texts, world};

/// I5, over sends that really happened: 1,000 messages to 50 phones, twenty each, all queued at once, under the account's
/// windows at a tenth of a day's length.
#[test]
fn a_thousand_messages_keep_every_window_of_phones_and_account() {
    let account = vec![
        Window { limit: 5, period: minutes(1) },
        Window { limit: 120, period: hours(1) },
        Window { limit: 400, period: hours(5) },
    ];
    let phones = vec![Window { limit: 1, period: minutes(5) }, Window { limit: 3, period: hours(1) }];
    let (mut simulation, sandbox) = world(|services| {
        services.rules.account_limits.clone_from(&account);
        services.rules.phone_limits.clone_from(&phones);
    });
    for n in 0..1_000 {
        queue(&mut simulation, &format!("+2782{:07}", 1_000_000 + n % 50), &format!("message {n}"));
    }
    simulation.run_until_idle();
    assert_eq!(simulation.violations(), [""; 0]);
    let sent = sandbox.whatsapp().messages();
    let order: Vec<_> = (0..1_000).map(|n| format!("message {n}")).collect();
    assert_eq!(texts(&sandbox), order, "first come, first served");
    assert_within(&sent.iter().map(|message| message.at).collect::<Vec<_>>(), &account);
    let mut by_phone: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for message in sent {
        by_phone.entry(message.to).or_default().push(message.at);
    }
    assert_eq!(by_phone.len(), 50);
    for times in by_phone.values() {
        assert_within(times, &phones);
    }
    println!("1,000 messages to 50 phones in {:?} of virtual time", simulation.elapsed());
    assert!(simulation.elapsed() < hours(13), "as fast as the windows allow: {:?}", simulation.elapsed());
}

#[test]
fn in_no_minute_more_than_ten_messages_reach_a_phone() {
    let (mut simulation, sandbox) = simulation();
    for n in 0..60 {
        let phone = if n % 2 == 0 { PHONE } else { "+27831234567" };
        queue(&mut simulation, phone, &format!("message {n}"));
    }
    simulation.run_until_idle();
    assert_eq!(simulation.violations(), [""; 0]);
    for (remainder, phone) in ["27821234567@s.whatsapp.net", "27831234567@s.whatsapp.net"].iter().enumerate()
    {
        let sent: Vec<_> =
            sandbox.whatsapp().messages().into_iter().filter(|message| message.to == *phone).collect();
        assert_within(&sent.iter().map(|message| message.at).collect::<Vec<_>>(), &[a_minute(10)]);
        let order: Vec<_> = (0..30).map(|n| format!("message {}", 2 * n + remainder)).collect();
        assert_eq!(sent.into_iter().map(|message| message.text).collect::<Vec<_>>(), order);
    }
    assert!(simulation.elapsed() < minutes(3), "thirty a phone take little more than two minutes");
}

/// Several instances without state once sent 29 messages in two minutes, and the account was banned.
#[test]
fn twenty_nine_messages_take_an_hour_and_not_two_minutes() {
    let (mut simulation, sandbox) =
        world(|services| services.rules.account_limits = Rules::default().account_limits);
    simulation.duplicate_deliveries();
    for n in 0..29 {
        queue(&mut simulation, &format!("+278212345{n:02}"), &format!("message {n}"));
    }
    simulation.run_for(minutes(2));
    assert!((3..=4).contains(&texts(&sandbox).len()), "{}", texts(&sandbox).len());
    simulation.run_for(minutes(50));
    assert_eq!(texts(&sandbox).len(), 20);
    simulation.run_until_idle();
    assert_eq!(texts(&sandbox).len(), 29);
    let times: Vec<_> = sandbox.whatsapp().messages().iter().map(|message| message.at).collect();
    assert_within(&times, &Rules::default().account_limits);
}

/// A group hears of a drop once an hour, and whoever waits for that holds nobody up.
#[test]
fn a_group_hears_of_a_drop_once_an_hour_and_of_other_drops_meanwhile() {
    let (mut simulation, sandbox) = simulation();
    for (drop, text) in [("DR1", "first"), ("DR1", "again"), ("DR2", "another"), ("DR1", "third")] {
        queue_about(&mut simulation, drop, text);
    }
    queue(&mut simulation, PHONE, "to a person");
    simulation.run_until_idle();
    let sent: Vec<_> = sandbox
        .whatsapp()
        .messages()
        .iter()
        .map(|message| {
            (message.text.trim_start_matches("@27821234567 ").to_owned(), minute(&simulation, message))
        })
        .collect();
    let of = |text: &str, minute| (text.to_owned(), minute);
    assert_eq!(
        sent,
        [of("first", 0), of("another", 0), of("to a person", 0), of("again", 60), of("third", 120)]
    );
    assert_eq!(simulation.violations(), [""; 0]);
}
