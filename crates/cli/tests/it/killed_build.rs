//! A build whose server is killed again and again.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use crate::rig::{Chance, Dev, Home, Services};

const KILLS: u32 = 20;
const FEATURES: u32 = 12;

/// Sessions take 20 min and pauses 30 s in the real world: here 600 ms and 1.5 s, so that a build outlasts its kills, which
/// come every 400 ms, and take their share of sessions, pauses, starts of the server and what lies between them.
const SESSIONS: u32 = 2000;
const PAUSES: &str = "20";
const BETWEEN_KILLS: Duration = Duration::from_millis(800);

#[tokio::test(flavor = "multi_thread")]
async fn each_session_of_a_build_is_started_once_however_often_the_server_is_killed() {
    let (home, services, mut chance) =
        (Home::new(), Services::start(SESSIONS, FEATURES).await, Chance::new());
    let arguments = ["--time-scale", PAUSES];
    home.run(&["send", "agent/build.requested", "--data", r#"{"agent_name": "sharepoint"}"#]);
    let run = home.json(&["runs"])[0]["run_id"].as_str().unwrap().to_owned();

    for kill in 1..=KILLS {
        let dev = Dev::launch(&home, services.command(&home, &arguments));
        chance.moment(BETWEEN_KILLS).await;
        dev.kill();
        let status = home.show(&run)["status"].clone();
        assert!(status != "completed" && status != "failed", "the build was {status} before kill {kill}");
    }
    let dev = Dev::start(&home, &services, &arguments).await;
    let run = dev.ended(&run).await;
    assert_eq!(run["status"], "completed", "{run}");
    assert_eq!(run["output"]["features"], json!((1..=FEATURES).collect::<Vec<_>>()));

    let mut sessions: BTreeMap<_, u32> = BTreeMap::new();
    for session in services.sandbox.harness().sessions() {
        *sessions.entry((session.session_type, session.feature_id)).or_default() += 1;
    }
    let mut expected: BTreeMap<_, _> =
        (1..=FEATURES).map(|feature| (("coding".to_owned(), Some(feature)), 1)).collect();
    expected.extend(["initializer", "deploy"].map(|name| ((name.to_owned(), None), 1)));
    assert_eq!(sessions, expected, "a session for each checkpoint");
    let built = run["steps"].as_array().unwrap().iter().filter(|step| step["name"] == "build-feature");
    assert_eq!(built.count(), FEATURES as usize);
}
