//! What people see and steer from the command line, with a server that runs and without.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::rig::{Dev, Home, LONG, Services, eventually};

const MESSAGE: &str = r#"{"phone": "+27821234567", "message": "Hello"}"#;

fn ids(runs: &Value) -> Vec<&str> {
    runs.as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap()).collect()
}

#[test]
fn runs_are_found_by_event_key_and_time() {
    let home = Home::new();
    home.run(&["send", "whatsapp/message.queued", "--data", MESSAGE, "--id", "m-1"]);
    home.run(&["send", "agent/build.requested", "--data", r#"{"agent_name": "sharepoint"}"#, "--id", "b-1"]);
    let all = home.json(&["runs"]);
    let [build, message] = ids(&all)[..] else { panic!("two: {all}") };
    for (found_by, run) in [
        (["--event", "m-1"], message),
        (["--event-name", "agent/build.requested"], build),
        (["--key", "build-agent:sharepoint"], build),
        (["--text", "sharepoint"], build),
        (["--text", &message[..9]], message),
        (["--workflow", "send-whatsapp"], message),
    ] {
        assert_eq!(ids(&home.json(&[&["runs"][..], &found_by].concat())), [run], "{found_by:?}");
    }
    let both = ["runs", "--workflow", "send-whatsapp", "--workflow", "build-agent", "--since", "1h"];
    assert_eq!(home.json(&both), all);
    assert_eq!(home.json(&["runs", "--until", "1h"]), json!([]));
    assert!(home.fails(2, &["runs", "--since", "soon"]).contains("90m, 2h, 3d"));
    assert_eq!(home.json(&["show", message])["key"], "send-whatsapp", "one after the other");
}

#[test]
fn an_event_says_what_it_started_or_why_nothing() {
    let home = Home::new();
    home.run(&["send", "whatsapp/message.queued", "--data", MESSAGE, "--id", "m-1"]);
    home.run(&["send", "unheard/of", "--id", "u-1"]);
    let events = home.json(&["events"]);
    assert_eq!(events[0]["why_none"], "no workflow starts with unheard/of");
    assert_eq!(events[1]["runs"][0]["workflow"], "send-whatsapp");
    assert_eq!(home.json(&["events", "m-1"]), events[1]);
    let said = home.run(&["events", "m-1"]);
    assert!(said.contains("+27•••••4567") && !said.contains("82123"), "{said}");
    assert!(home.run(&["events", "--name", "unheard/of"]).contains("u-1"));
    assert!(home.fails(1, &["events", "none"]).contains("`fibreflow events`"));

    let again = home.json(&["resend", "m-1", "--request", "r"]);
    assert_eq!(
        home.json(&["resend", "m-1", "--request", "r"])["id"],
        again["id"],
        "one request is one event"
    );
    assert_eq!(home.json(&["runs"]).as_array().unwrap().len(), 2);
}

#[test]
fn a_bulk_is_seen_before_it_is_done() {
    let home = Home::new();
    for n in 0..3 {
        home.run(&["send", "databases/sync.requested", "--id", &n.to_string()]);
    }
    home.run(&["send", "whatsapp/message.queued", "--data", MESSAGE]);
    let some = ["cancel", "--workflow", "sync-databases"];
    let dry = home.json(&[&some[..], &["--dry-run"]].concat());
    assert_eq!((dry["runs"].as_array().unwrap().len(), &dry["dry_run"]), (3, &json!(true)));
    assert_eq!(home.json(&["runs", "--status", "cancelled"]), json!([]), "it was only said");
    let done = home.json(&some);
    assert_eq!((&done["runs"], &done["failed"]), (&dry["runs"], &json!([])));
    assert_eq!(home.json(&["runs", "--status", "cancelled"]).as_array().unwrap().len(), 3);
    assert!(home.run(&some).contains("0 runs cancelled"), "what has ended is left alone");
    assert!(home.fails(2, &["cancel"]).contains("say which"));

    let again = home.json(&["rerun", "--workflow", "sync-databases"]);
    assert_eq!(again["runs"].as_array().unwrap().len(), 3);
    let audit = home.json(&["audit"]);
    let deeds: Vec<_> =
        audit.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!((deeds.len(), deeds[0], deeds[5]), (6, "rerun", "cancel"));
    assert_eq!(audit[0]["who"], "cli:unknown");
    let target = audit[5]["target"].as_str().unwrap();
    assert!(home.run(&["audit", "--target", target]).contains("cancel"));
}

#[test]
fn what_cannot_be_done_says_why_and_is_on_record() {
    let home = Home::new();
    home.run(&["send", "databases/sync.requested"]);
    let run = home.json(&["runs"])[0]["run_id"].as_str().unwrap().to_owned();
    assert!(home.fails(1, &["rerun", &run]).contains("is queued: only one that has ended"));
    home.run(&["cancel", &run]);
    let said = home.fails(1, &["rerun", &run, "--from", "nowhere"]);
    assert!(said.contains("from: expected a step the run has reached, and it has no nowhere"), "{said}");
    assert!(home.fails(1, &["pause", "nothing"]).contains("there is no workflow nothing"));
    assert!(home.fails(1, &["redrive", "17"]).contains("there is no dead letter 17"));
    assert!(home.fails(2, &["rerun", &run, "--from", "x#0"]).contains("from 1"));
    assert!(home.fails(1, &["resume", "sync-databases"]).contains("is not paused"));
    let results = home.json(&["audit"]);
    assert_eq!(results[0]["result"]["result"], "failed");
    assert!(home.run(&["dead-letters"]).contains("no dead letters"));
}

#[test]
fn the_shell_knows_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.run(&["completions", shell]);
        assert!(script.contains("dead-letters") && script.contains("rerun"), "{shell}");
    }
    let help = home.run(&["help", "rerun"]);
    assert!(help.contains("Examples:") && help.contains("--from store-result"), "{help}");
}

/// A command that stays; killed when it is dropped.
struct Stays(Child, BufReader<std::process::ChildStdout>);

impl Stays {
    fn start(home: &Home, arguments: &[&str]) -> Self {
        let mut child =
            home.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let reader = BufReader::new(child.stdout.take().unwrap());
        Self(child, reader)
    }

    /// Returns once it has said on standard error that it watches.
    fn is_ready(&mut self) {
        let mut said = String::new();
        BufReader::new(self.0.stderr.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains("from now on"), "{said}");
    }

    /// The next line; none when it has ended.
    fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }
}

impl Drop for Stays {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_followed_run_again_from_a_step_and_tailed() {
    let (home, services) = (Home::new(), Services::start(6000, 2).await);
    let dev = Dev::start(&home, &services, &["--time-scale", "600"]).await;
    let mut tail = Stays::start(&home, &["tail", "--json"]);
    tail.is_ready();
    let mut watch = Stays::start(&home, &["runs", "--watch", "--json"]);
    let run = dev.send("agent/build.requested", json!({ "agent_name": "sharepoint" })).await;

    let mut follow = Stays::start(&home, &["show", &run, "--follow", "--json"]);
    let mut followed = Vec::new();
    while let Some(change) = follow.line() {
        followed.push(change);
    }
    assert!(follow.0.wait().unwrap().success(), "a run that completed");
    assert_eq!(followed.last().unwrap()["what"], "completed");
    assert!(
        followed.iter().any(|change| change["step"] == "initialize-agent" && change["what"] == "completed")
    );

    let seen = watch.line().unwrap();
    assert_eq!(seen["run_id"], run.as_str());
    let mut tailed = Vec::new();
    while tailed.last().is_none_or(|last: &Value| last["what"] != "completed" || !last["step"].is_null()) {
        tailed.push(tail.line().unwrap());
    }
    assert!(tailed.iter().any(|line| line["what"] == "event" && line["name"] == "agent/build.requested"));

    let first = home.show(&run);
    let from = first["steps"][1]["name"].as_str().unwrap();
    let again = home.json(&["rerun", &run, "--from", from])["run_id"].as_str().unwrap().to_owned();
    let second = dev.ended(&again).await;
    assert_eq!(second["rerun_of"], run.as_str());
    assert_eq!(second["steps"][0], first["steps"][0], "what came before is taken over");
    assert_ne!(second["steps"][1]["started_at"], first["steps"][1]["started_at"], "the rest is made again");

    let name = first["steps"][0]["name"].as_str().unwrap();
    let edited = ["rerun", &run, "--from", name, "--output", &first["steps"][0]["output"].to_string()];
    let edited = home.json(&edited)["run_id"].as_str().unwrap().to_owned();
    assert_eq!(dev.ended(&edited).await["status"], "completed");
    let said = home.run(&["show", &run]);
    assert!(said.contains("TIMELINE") && said.contains('█'), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_workflow_starts_nothing_and_loses_nothing() {
    let (home, services) = (Home::new(), Services::start(6000, 1).await);
    let dev = Dev::start(&home, &services, &["--time-scale", "600"]).await;
    assert!(home.run(&["pause", "build-agent"]).contains("is paused"));
    let mut runs = Vec::new();
    for n in 0..3 {
        runs.push(dev.send("agent/build.requested", json!({ "agent_name": format!("agent_{n}") })).await);
    }
    let waits =
        async |run: &String| dev.get(&format!("/runs/{run}")).await.1["waiting_for"][0]["for"] == "paused";
    eventually("all wait for the end of the pause", LONG, async || {
        for run in &runs {
            if !waits(run).await {
                return None;
            }
        }
        Some(())
    })
    .await;
    assert!(home.run(&["workflows"]).contains("paused"));
    assert!(home.run(&["show", &runs[0]]).contains("the end of its workflow's pause"));
    assert_eq!(home.json(&["runs", "--status", "queued"]).as_array().unwrap().len(), 3);
    assert!(home.run(&["resume", "build-agent"]).contains("goes on"));
    for run in &runs {
        assert_eq!(dev.ended(run).await["status"], "completed");
    }
    let workflows = home.json(&["workflows"]);
    let built =
        workflows.as_array().unwrap().iter().find(|known| known["workflow"] == "build-agent").unwrap();
    let totals = &built["statistics"]["totals"];
    assert_eq!((&totals["started"], &totals["completed"]), (&json!(3), &json!(3)));
    assert!(built["statistics"]["p95_ms"].is_u64() && built["pause"].is_null());
    let health = home.json(&["health"]);
    assert_eq!((&health["worker"], &health["overdue"]), (&json!(true), &json!(0)));
    let swept = async || Some(home.json(&["health"])).filter(|health| health["swept_at"].is_string());
    eventually("the store is put in order", LONG, swept).await;
}
