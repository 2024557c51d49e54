//! What people do: cancel, run again, redrive, pause; each with a question first, and a line in the audit trail.

use durable::{Status, minutes, seconds};
use serde_json::json;

use super::chromium::{Browser, Theme, serve};
use crate::scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_once_somebody_has_said_yes() {
    let (simulation, cast) = scene::day();
    let browser = Browser::open(&serve(&simulation).await, Theme::Light).await;
    browser.go(&format!("/console/runs/{}", cast.building)).await;
    browser.press("Cancel").await;
    browser.reads("dialog[open]", "Cancel this run?").await;
    browser.press("Keep it").await;
    assert!(!simulation.run(&cast.building).status.is_final());
    browser.press("Cancel").await;
    browser.press("Cancel the run").await;
    browser.reads(".notice", "The run is cancelled").await;
    browser.reads("h1", "cancelled").await;
    assert_eq!(simulation.run(&cast.building).status, Status::Cancelled);

    browser.go("/console/audit").await;
    let line = browser.reads("tbody tr", "cancel").await.text().await.unwrap();
    assert!(
        line.contains("local") && line.contains(cast.building.as_str()) && line.contains("done"),
        "{line}"
    );
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_run_again_from_a_step_with_another_output() {
    let (mut simulation, cast) = scene::day();
    let browser = Browser::open(&serve(&simulation).await, Theme::Light).await;
    browser.go(&format!("/console/runs/{}?step=vlm-evaluate", cast.failed)).await;
    browser.reads("#step", "Attempts that failed").await;
    browser.press("Run again from here").await;
    browser.see("dialog[open] [data-reveals]").await.click().await.unwrap();
    let output = browser.see("#output").await;
    output.clear().await.unwrap();
    output.send_keys("{\"overall_status\": \"PASS\"}").await.unwrap();
    browser.see("dialog[open] button.primary").await.click().await.unwrap();
    browser.reads(".notice", "This run was started again from the other one").await;
    simulation.run_for(minutes(1));
    browser.reads("h1", "completed").await;
    browser.reads(".run", &cast.failed.as_str()[..8]).await;

    let again =
        simulation.runs().into_iter().find(|run| run.rerun_of.as_ref() == Some(&cast.failed)).unwrap();
    assert_eq!(simulation.output(&again.id), json!({"overall_status": "PASS"}));
    let steps: Vec<_> = simulation.checkpoints(&again.id).into_iter().map(|step| step.step.name).collect();
    assert_eq!(steps, ["download-image", "vlm-evaluate", "store-result"]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_redriven() {
    let (mut simulation, _) = scene::day();
    let browser = Browser::open(&serve(&simulation).await, Theme::Light).await;
    browser.go("/console/health").await;
    browser.reads(".notice", "1 dead letter waits").await;
    browser.go("/console/dead-letters").await;
    let run = browser.see("td a.mono").await.attr("href").await.unwrap().unwrap();
    browser.press("Redrive").await;
    browser.press("Redrive it").await;
    browser.reads(".notice", "got another chance").await;
    browser.reads(".empty", "No dead letters").await;
    simulation.run_for(seconds(90));
    browser.go(&run).await;
    browser.reads(".timeline", "send-message").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_resumed_and_paused() {
    let (simulation, _) = scene::day();
    let browser = Browser::open(&serve(&simulation).await, Theme::Light).await;
    browser.go("/console/workflows/sync-databases").await;
    browser.reads(".notice.wait", "By ana@fibreflow.example").await;
    for (question, notice) in [("Resume", "starts runs again"), ("Pause", "is paused")] {
        browser.press(question).await;
        browser.see("dialog[open] button.primary").await.click().await.unwrap();
        browser.reads(".notice.ok", notice).await;
    }
    let pauses = simulation.desk().ports.pauses.pauses().await.unwrap();
    assert_eq!((pauses.len(), pauses[0].by.as_str()), (1, "local"));
    browser.close().await;
}
