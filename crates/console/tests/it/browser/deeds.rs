//! What people do: cancel, run again, answer, redrive, pause; each with a question first, and a line in the audit trail.

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

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_approved_and_its_run_goes_on() {
    let (mut simulation, cast) = scene::day();
    let browser = Browser::open(&serve(&simulation).await, Theme::Light).await;
    browser.go(&format!("/console/runs/{}", cast.asking)).await;
    browser.press("Approve").await;
    browser.reads("dialog[open]", "approved").await;
    browser.press("Leave it").await;
    simulation.run_for(seconds(1));
    assert_eq!(simulation.checkpoints(&cast.asking).len(), 1, "nothing is answered yet");
    browser.press("Approve").await;
    browser.press("Approve it").await;
    browser.reads(".notice", "The answer is recorded").await;
    simulation.run_for(seconds(1));
    browser.reads(".notice.wait", "waits for the event foto/evaluation.reviewed").await;
    browser.press("Send this event").await;
    let data = browser.see("dialog[open] textarea").await;
    let shown = data.prop("value").await.unwrap().unwrap();
    assert!(shown.contains("DR1733790") && !shown.contains("821234567"), "{shown}");
    let text = shown.replacen('{', "{\"approved\": true,", 1);
    data.clear().await.unwrap();
    data.send_keys(&text).await.unwrap();
    browser.press("Send the event").await;
    browser.reads(".notice", "The event was sent").await;
    simulation.run_for(minutes(2));
    browser.reads("h1", "completed").await;
    assert_eq!(simulation.output(&cast.asking), json!(true));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runs_of_a_list_are_run_again_after_a_look_at_them() {
    let (simulation, _) = scene::day();
    let browser = Browser::open(&serve(&simulation).await, Theme::Light).await;
    let before = simulation.runs();
    let failed = |run: &&durable::Run| run.status == Status::Failed && run.workflow == "evaluate-foto";
    let failed = before.iter().filter(failed).count();
    browser.go("/console/runs?workflow=evaluate-foto&status=failed&status=waiting").await;
    browser.press("Run these again").await;
    browser.reads(".notice.wait", &format!("{failed} runs would be run again")).await;
    assert_eq!(simulation.runs().len(), before.len(), "nothing is done yet");
    browser.press("Run these again").await;
    browser.press("Yes, all of them").await;
    browser.reads(".notice.ok", &format!("{failed} runs are run again")).await;
    assert_eq!(simulation.runs().len(), before.len() + failed);
    browser.go("/console/audit").await;
    browser.reads("tbody tr", "rerun").await;
    browser.close().await;
}
