//! Starting, stopping, starting again.

use serde_json::json;

use crate::rig::{Dev, Home, LONG, Services, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_runs_when_a_server_starts() {
    let (home, services) = (Home::new(), Services::start(6000, 2).await);
    home.run(&[
        "send",
        "whatsapp/message.queued",
        "--data",
        r#"{"phone": "0821234567", "message": "Hello"}"#,
    ]);
    let run = home.json(&["runs"])[0]["run_id"].as_str().unwrap().to_owned();
    let dev = Dev::start(&home, &services, &["--time-scale", "600"]).await;
    assert_eq!(dev.ended(&run).await["status"], "completed");
    assert_eq!(services.sandbox.whatsapp().messages()[0].to, "27821234567@s.whatsapp.net");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_stopped_leaves_its_runs_to_the_next() {
    let (home, services) = (Home::new(), Services::start(6000, 2).await);
    services.sandbox.whatsapp().break_down(fibreflow::sandbox::Fault::LoggedOut, None);
    let dev = Dev::start(&home, &services, &["--time-scale", "60"]).await;
    let run = dev.send("whatsapp/message.queued", json!({ "phone": "0821234567", "message": "Hello" })).await;
    let waits = eventually("the run waits", LONG, async || {
        Some(dev.get(&format!("/runs/{run}")).await.1).filter(|run| run["status"] == "waiting")
    })
    .await;
    assert_eq!(waits["waiting_for"][0]["for"], "sleep");
    assert_eq!(waits["waiting_for"][0]["step"]["name"], "wait");
    assert!(home.run(&["runs"]).contains("wait, "));
    assert_eq!(dev.stop().await.code(), Some(0));
    assert!(!home.folder().join("server.json").exists());

    services.sandbox.whatsapp().mend();
    let dev = Dev::start(&home, &services, &["--time-scale", "60"]).await;
    let run = dev.ended(&run).await;
    assert_eq!((&run["status"], services.sandbox.whatsapp().messages().len()), (&json!("completed"), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_while_it_waits_lets_the_next_in_line_go() {
    let (home, services) = (Home::new(), Services::start(6000, 2).await);
    services.sandbox.harness().break_down(fibreflow::sandbox::Fault::Hang, Some(1));
    let dev = Dev::start(&home, &services, &["--time-scale", "600"]).await;
    let build = || dev.send("agent/build.requested", json!({ "agent_name": "sharepoint" }));
    let first = build().await;
    eventually("the first asks the harness", LONG, async || {
        (services.sandbox.harness().requests() == 1).then_some(())
    })
    .await;
    let second = build().await;
    eventually("the second waits", LONG, async || {
        let run = dev.get(&format!("/runs/{second}")).await.1;
        (run["waiting_for"][0]["for"] == "slot").then_some(())
    })
    .await;
    home.run(&["cancel", &first]);
    assert_eq!(dev.ended(&second).await["status"], "completed");
    assert_eq!(home.show(&first)["status"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_said_to_be() {
    let (home, services) = (Home::new(), Services::start(6000, 2).await);
    let dev = Dev::start(&home, &services, &[]).await;
    let port = dev.url.rsplit(':').next().unwrap();
    let said = home.fails(1, &["dev", "--port", port]);
    assert!(said.contains(&format!("127.0.0.1:{port} is taken")) && said.contains("--port"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_switch_is_flipped_while_the_server_runs() {
    let (home, services) = (Home::new(), Services::start(6000, 2).await);
    let switch = home.path("switch");
    std::fs::write(&switch, "banned again").unwrap();
    let mut command = services.command(&home, &["--time-scale", "60"]);
    command.env("WHATSAPP_SWITCH", &switch);
    let dev = Dev::spawn(&home, command).await;
    let run = dev.send("whatsapp/message.queued", json!({ "phone": "0821234567", "message": "Hello" })).await;
    eventually("the run waits for the switch", LONG, async || {
        let run = dev.get(&format!("/runs/{run}")).await.1;
        (run["steps"].as_array()?.iter().filter(|step| step["name"] == "check-service").count() > 1)
            .then_some(())
    })
    .await;
    let shown = home.show(&run);
    assert_eq!(shown["steps"][0]["output"]["why"], "banned again", "{shown}");
    assert_eq!(services.sandbox.whatsapp().messages().len(), 0);
    std::fs::write(&switch, "on").unwrap();
    assert_eq!(dev.ended(&run).await["status"], "completed");
    assert_eq!(services.sandbox.whatsapp().messages().len(), 1);
}
