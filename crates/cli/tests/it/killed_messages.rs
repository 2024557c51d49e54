//! Messages whose server is killed again and again.

use std::{fs, sync::Arc, time::Duration};

use durable::Clock;
use durable_local::SystemClock;
use fibreflow::sandbox::{Fault, Scene};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::rig::{Chance, Dev, Home, LONG, Services, eventually};

const KILLS: usize = 20;
const PHONES: [&str; 3] = ["+27821234567", "0831234567", "27841234567"];

/// Ten messages in 5 s to a phone instead of in a minute.
const TIME_SCALE: &str = "12";
const BETWEEN_KILLS: Duration = Duration::from_millis(600);

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_lost_or_sent_twice_however_often_the_server_is_killed() {
    let home = Home::new();
    let (services, mut chance) = (services(&home).await, Chance::new());
    // What a kill between send and record does, and a kill seldom hits: the message goes out and nobody hears of it.
    services.sandbox.whatsapp().break_down(Fault::LostAnswer, Some(3));
    let (mut runs, mut hits) = (Vec::new(), 0);
    for kill in 0..KILLS {
        // Two a kill, so that there is always something under way. No server is needed for an event to be accepted.
        for n in 2 * kill..2 * kill + 2 {
            let data = json!({ "phone": PHONES[n % PHONES.len()], "message": text(n) }).to_string();
            let sent = home.json(&["send", "whatsapp/message.queued", "--data", &data]);
            runs.push(sent["runs"][0].as_str().unwrap().to_owned());
        }
        let dev = Dev::launch(&home, services.command(&home, &["--time-scale", TIME_SCALE]));
        chance.moment(BETWEEN_KILLS).await;
        dev.kill();
        hits += usize::from(open_runs(&home) > 0);
    }

    let dev = Dev::start(&home, &services, &["--time-scale", TIME_SCALE]).await;
    eventually("all runs end", LONG, || std::future::ready((open_runs(&home) == 0).then_some(()))).await;
    let (mut found, mut again) = (0, 0);
    for (n, run) in runs.iter().enumerate() {
        let (_, run) = dev.get(&format!("/runs/{run}")).await;
        let arrived =
            services.sandbox.whatsapp().messages().iter().filter(|sent| sent.text == text(n)).count();
        assert_eq!((&run["status"], arrived), (&json!("completed"), 1), "{run}");
        let was_in_doubt = run["steps"].as_array().unwrap().iter().any(|step| step["name"] == "find-message");
        found += usize::from(run["output"]["found_afterwards"] == true);
        again += usize::from(was_in_doubt && run["output"]["found_afterwards"] == false);
    }
    assert!(hits > 4, "only {hits} kills came while messages were under way");
    assert!(found > 0, "answers were lost, and no run says so");
    println!(
        "{} messages, {hits} kills while some were under way; of the sends in doubt {found} were found and {again} made again",
        runs.len()
    );
}

fn text(n: usize) -> String {
    format!("Message {n}: drop DR17337{n:02} is booked for Tuesday")
}

fn open_runs(home: &Home) -> usize {
    let runs = home.json(&["runs", "--limit", "0"]);
    runs.as_array().unwrap().iter().filter(|run| run["ended_at"] == Value::Null).count()
}

/// Services of which the list of sent messages goes back far enough to prove that one was not sent.
async fn services(home: &Home) -> Services {
    let at = SystemClock.now() - SignedDuration::from_mins(10);
    let message =
        json!({ "id": "3EB0", "to": "1203630000@g.us", "mentioned": null, "text": "earlier", "at": at });
    let log = home.path("sandbox.jsonl");
    let line = json!({ "did": "message", "service": "whatsapp", "message": message });
    fs::write(&log, format!("{line}\n")).unwrap();
    let scene = Scene { time_scale: 10, log: Some(log), ..Scene::new(Arc::new(SystemClock)) };
    Services::open(scene).await
}
