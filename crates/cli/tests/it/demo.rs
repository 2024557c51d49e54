//! The demo, and the switches of its sandbox.

use reqwest::StatusCode;
use serde_json::json;

use crate::rig::{Dev, Home, LONG, eventually};

#[test]
fn the_demo_ends_well() {
    let home = Home::new();
    let said = home.run(&["dev", "--port", "0", "--sandbox", "--time-scale", "600", "--demo", "--once"]);
    for expected in ["build-agent", "send-whatsapp", "queued", "routed to vps-monitor", "STATUS"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!said.contains("82123") && !said.contains("booked for Tuesday"), "{said}");
    let runs = home.json(&["runs"]);
    let statuses: Vec<_> = runs.as_array().unwrap().iter().map(|run| &run["status"]).collect();
    assert!(statuses.len() >= 3 && statuses.iter().all(|status| *status == "completed"), "{runs}");
    let leftovers = ["server.json", "sandbox.json"].map(|file| home.folder().join(file).exists());
    assert_eq!(leftovers, [false, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_the_sandbox_is_broken_and_mended_while_it_runs() {
    let home = Home::new();
    // Whatever the environment says, nobody is messaged by accident.
    let mut command = home.command(&["dev", "--port", "0", "--sandbox", "--time-scale", "600"]);
    command.env("WHATSAPP_URL", "https://bridge.example").env("WHATSAPP_SECRET", "x");
    let dev = Dev::spawn(&home, command).await;
    assert!(home.run(&["sandbox"]).contains("logged-out"));
    assert!(home.fails(2, &["sandbox", "fax", "hang"]).contains("expected harness, convex"));
    assert!(home.fails(1, &["sandbox", "slack", "model-missing"]).contains("model-missing"));
    assert!(home.fails(2, &["sandbox", "vlm", "fire"]).contains("expected ok, hang"));

    assert!(home.run(&["sandbox", "whatsapp", "logged-out"]).contains("whatsapp: logged-out"));
    let services = home.json(&["sandbox"]);
    let whatsapp =
        services.as_array().unwrap().iter().find(|service| service["service"] == "whatsapp").unwrap();
    assert_eq!(whatsapp["fault"], "logged-out");
    let send = || dev.send("whatsapp/message.queued", json!({ "phone": "0821234567", "message": "Hello" }));
    let run = send().await;
    // More often than the five times after which an outage is taken for a long one: the message is not lost.
    eventually("the service is asked again and again", LONG, async || {
        let run = dev.get(&format!("/runs/{run}")).await.1;
        let checks = run["steps"].as_array()?.iter().filter(|step| step["name"] == "check-service").count();
        (checks > 5).then_some(())
    })
    .await;

    home.run(&["sandbox", "whatsapp", "ok"]);
    assert_eq!(dev.ended(&run).await["status"], "completed");
    assert_eq!(dev.get("/health").await.0, StatusCode::OK);
    assert_eq!(dev.stop().await.code(), Some(0));
    assert!(home.fails(1, &["sandbox", "vlm", "hang"]).contains("no sandbox runs here"));
}
