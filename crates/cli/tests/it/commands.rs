//! The commands, with and without a server.

use std::fs;

use serde_json::{Value, json};

use crate::rig::{Dev, Home, Services};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn without_a_store_commands_say_what_to_do_and_make_none() {
    let home = Home::new();
    for command in [&["runs"][..], &["show", "1"], &["cancel", "1"], &["runs", "--json"]] {
        let said = home.fails(1, command);
        assert!(
            said.starts_with("fibreflow: there is no state in ") && said.contains("fibreflow dev"),
            "{said}"
        );
    }
    assert!(home.fails(1, &["sandbox"]).contains("fibreflow dev --sandbox"));
    assert!(!home.folder().exists());
}

#[test]
fn a_failing_command_says_why_in_one_message() {
    let home = Home::new();
    let build = |data: &'static str| ["send", "agent/build.requested", "--data", data];
    for (code, command, says) in [
        (2, &["runs", "--status", "lost"][..], "possible values: queued, running"),
        (2, &["dev", "--demo"], "--sandbox"),
        (2, &build("{"), "--data: not JSON"),
        (1, &build("{}"), "missing field `agent_name`"),
        (1, &build(r#"{"agent_name": 7}"#), "agent_name: invalid type"),
        (1, &build("@/nowhere.json"), "cannot read /nowhere.json"),
        (1, &["send", "", "--data", "{}"], "name: expected"),
        (1, &["dev", "--port", "0"], "HARNESS_URL is missing"),
    ] {
        let said = home.fails(code, command);
        assert!(said.contains(says), "{command:?}: {said}");
    }
    assert!(!home.folder().exists(), "what is refused leaves nothing behind");
}

#[test]
fn limits_of_real_services_are_not_made_shorter() {
    let home = Home::new();
    let output = home
        .command(&["dev", "--port", "0", "--time-scale", "60"])
        .env("WHATSAPP_URL", "https://bridge.example")
        .env("WHATSAPP_SECRET", "x")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("WHATSAPP_URL is not on this machine"), "{said}");
}

#[test]
fn what_is_sent_without_a_server_is_there_and_can_be_cancelled() {
    let home = Home::new();
    fs::write(home.path("event.json"), r#"{"phone": "+27821234567", "message": "Hello"}"#).unwrap();
    let data = format!("@{}", home.path("event.json").display());
    let said = home.run(&["send", "whatsapp/message.queued", "--data", &data, "--id", "m-1"]);
    assert!(said.contains("the run starts when `fibreflow dev` does"), "{said}");
    let again = home.json(&["send", "whatsapp/message.queued", "--data", &data, "--id", "m-1"]);
    assert_eq!(
        (&again["duplicate"], keys(&again)),
        (&json!(true), vec!["duplicate", "event_id", "runs", "starts"])
    );
    assert!(home.run(&["send", "unheard/of"]).contains("starts nothing"));

    let runs = home.json(&["runs"]);
    assert_eq!(runs.as_array().unwrap().len(), 1);
    assert_eq!((&runs[0]["status"], &runs[0]["event_id"]), (&json!("queued"), &json!("m-1")));
    let mut summary = vec![
        "run_id",
        "workflow",
        "status",
        "event_id",
        "event_name",
        "created_at",
        "started_at",
        "ended_at",
        "waiting_for",
    ];
    summary.sort_unstable();
    assert_eq!(keys(&runs[0]), summary);

    let id = runs[0]["run_id"].as_str().unwrap();
    let shown = home.show(&id[..6]);
    summary.extend(["event", "output", "output_bytes", "error", "steps"]);
    summary.extend(["key", "rerun_of", "caused_by", "sent", "line"]);
    summary.sort_unstable();
    assert_eq!((keys(&shown), &shown["run_id"]), (summary, &json!(id)));
    let said = home.run(&["show", id]);
    assert!(said.contains("+27•••••4567") && !said.contains("82123"), "{said}");

    assert!(home.run(&["cancel", &id[..6]]).contains("is cancelled"));
    assert_eq!(home.json(&["runs", "--status", "cancelled"])[0]["run_id"], id);
    assert!(home.fails(1, &["cancel", id]).contains("had ended already: it is cancelled"));
    assert!(home.fails(1, &["show", "none"]).contains("`fibreflow runs`"));
}

#[test]
fn the_start_of_an_id_that_several_have_is_not_enough() {
    let home = Home::new();
    for _ in 0..17 {
        home.run(&["send", "databases/sync.requested"]);
    }
    let ids: Vec<_> =
        home.json(&["runs"]).as_array().unwrap().iter().map(|run| run["run_id"].to_string()).collect();
    // Of 17 ids, two begin with the same of 16 digits.
    let twice =
        ids.iter().map(|id| &id[1..2]).find(|digit| ids.iter().filter(|id| &id[1..2] == *digit).count() > 1);
    let said = home.fails(1, &["show", twice.unwrap()]);
    assert!(said.contains("give more of it"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_shown_with_its_steps() {
    let (home, services) = (Home::new(), Services::start(6000, 2).await);
    let dev = Dev::start(&home, &services, &["--time-scale", "600"]).await;
    let said = home.run(&["send", "agent/build.requested", "--data", r#"{"agent_name": "sharepoint"}"#]);
    assert!(!said.contains("when `fibreflow dev` does"), "{said}");
    let run = home.json(&["runs"])[0]["run_id"].as_str().unwrap().to_owned();
    dev.ended(&run).await;
    let shown = home.show(&run);
    assert_eq!(shown, dev.get(&format!("/runs/{run}")).await.1, "the commands and the server say the same");
    let step = &shown["steps"][0];
    assert_eq!(
        keys(step),
        [
            "attempt_at",
            "attempts",
            "ended_at",
            "error",
            "failures",
            "kind",
            "name",
            "nth",
            "output",
            "output_bytes",
            "started_at",
            "status",
            "until"
        ]
    );
    assert_eq!(
        (&step["name"], &step["nth"], &step["kind"]),
        (&json!("initialize-agent"), &json!(1), &json!("run"))
    );
    let said = home.run(&["show", &run]);
    let row = said.lines().find(|line| line.starts_with("build-feature#2 ")).unwrap_or_default();
    assert!(row.contains(" completed "), "{said}");
    assert!(home.run(&["runs"]).contains("build-agent"));
}
