//! Watching runs: live, by filter, step by step.

use durable::{minutes, seconds};
use fantoccini::key::Key;
use serde_json::json;

use super::chromium::{Browser, Theme, serve};
use crate::scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_started_watched_to_its_end_and_found_again() {
    let mut simulation = scene::quiet();
    let browser = Browser::open(&serve(&simulation).await, Theme::Light).await;
    browser.go("/console/runs").await;
    browser.reads(".empty", "No runs yet").await;

    browser.press("Send an event").await;
    browser.see("#name").await.send_keys("agent/build.requested").await.unwrap();
    let data = browser.see("#data").await;
    data.clear().await.unwrap();
    data.send_keys("{\"agent_nam\": \"sharepoint\"}").await.unwrap();
    browser.press("Send").await;
    browser.reads(".wrong", "missing field `agent_name`").await;
    // What was typed is still there, and is put right.
    let data = browser.see("#data").await;
    data.clear().await.unwrap();
    data.send_keys("{\"agent_name\": \"sharepoint\", \"features\": 2}").await.unwrap();
    browser.press("Send").await;
    browser.reads(".notice", "The event was sent").await;

    // The run is there once its message was delivered; then it goes by itself.
    simulation.run_for(seconds(1));
    browser.go("/console/runs").await;
    browser.reads("tbody", "build-agent").await;
    browser.follow("tbody a[href^='/console/runs/']").await;
    browser.reads("h1", "running").await;
    simulation.run_for(minutes(3));
    browser.reads(".timeline", "initialize-agent").await;
    browser.reads(".live", "Live").await;
    simulation.run_until_idle();
    browser.reads("h1", "completed").await;
    browser.reads(".timeline", "build-feature#2").await;

    browser.follow("a.bar[href*='build-feature%232']").await;
    browser.reads("#step", "Output").await;
    browser.reads("#step .json", "\"9f1c2ab\"").await;
    assert_eq!(browser.run("return document.querySelectorAll('.bars rect').length > 4").await, json!(true));

    browser.go("/console/runs").await;
    browser.press("failed").await;
    browser.reads(".empty", "No such runs").await;
    assert_eq!(browser.path().await, "/console/runs?status=failed");
    browser.press("failed").await;
    browser.press("completed").await;
    browser.reads("tbody", "build-agent").await;

    // "/" goes to the search; a run's id is found by its beginning.
    let run = simulation.runs()[0].id.clone();
    browser.see("body").await.send_keys("/").await.unwrap();
    let search = browser.client.active_element().await.unwrap();
    let keys = format!("{}{}", &run.as_str()[..6], char::from(Key::Enter));
    search.send_keys(&keys).await.unwrap();
    browser.reads("tbody", &run.as_str()[..8]).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_says_why() {
    let (simulation, cast) = scene::day();
    let browser = Browser::open(&serve(&simulation).await, Theme::Light).await;
    browser.go(&format!("/console/runs/{}", cast.in_line)).await;
    let why = browser.reads(".notice.wait", "place 1 in line for a slot of build-agent:sharepoint").await;
    let text = why.text().await.unwrap();
    assert!(text.contains(&format!("held by {}", &cast.building.as_str()[..8])), "{text}");
    browser.go(&format!("/console/runs/{}", cast.retrying)).await;
    let why = browser.reads(".notice.wait", "send-message waits for attempt").await;
    let text = why.text().await.unwrap();
    assert!(text.contains("until 2026-") && text.contains("+27•••••4567: logged out"), "{text}");
    browser.close().await;
}
