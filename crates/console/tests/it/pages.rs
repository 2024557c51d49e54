//! Pages, asked without a browser.

use std::time::Duration;

use axum::http::{StatusCode, header};
use console::{Access, Console, Live};
use durable::{Context, Result, Workflow, testing::Simulation};
use serde_json::json;

use crate::{
    rig::{get, local, submit},
    scene,
};

/// Every page there is, of a day at FibreFlow.
pub(crate) fn paths(cast: &scene::Cast) -> Vec<(&'static str, String)> {
    let run = |run: &durable::RunId| format!("/console/runs/{run}");
    vec![
        ("runs", "/console/runs".to_owned()),
        ("runs-filtered", "/console/runs?status=failed&status=cancelled&since=24h".to_owned()),
        ("runs-bulk", "/console/runs/bulk?action=rerun&workflow=evaluate-foto".to_owned()),
        ("runs-none", "/console/runs?q=nothing-like-this".to_owned()),
        ("run-building", run(&cast.building)),
        ("run-in-line", run(&cast.in_line)),
        ("run-retrying", format!("{}?step=send-message", run(&cast.retrying))),
        ("run-failed", format!("{}?step=vlm-evaluate", run(&cast.failed))),
        ("run-completed", run(&cast.completed)),
        ("run-asking", run(&cast.asking)),
        ("events", "/console/events".to_owned()),
        ("event", format!("/console/events/{}%2Fqueue-notification", cast.completed)),
        ("event-long", format!("/console/events/{}", "9f".repeat(128))),
        ("event-new", "/console/events/new?name=agent%2Fbuild.requested".to_owned()),
        ("workflows", "/console/workflows".to_owned()),
        ("workflow", "/console/workflows/evaluate-foto".to_owned()),
        ("workflow-paused", "/console/workflows/sync-databases".to_owned()),
        ("keys", "/console/keys".to_owned()),
        ("key", "/console/keys/line?key=build-agent:sharepoint".to_owned()),
        ("dead-letters", "/console/dead-letters".to_owned()),
        ("health", "/console/health".to_owned()),
        ("audit", "/console/audit".to_owned()),
        ("not-found", "/console/runs/none".to_owned()),
    ]
}

#[tokio::test]
async fn every_page_is_there_and_shows_no_phone() {
    let (simulation, cast) = scene::day();
    let router = local(&simulation);
    for (name, path) in paths(&cast) {
        let page = get(&router, &path).await;
        let expected = if name == "not-found" { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!(page.status, expected, "{path}: {}", page.body);
        assert!(page.body.contains("<main") && page.body.ends_with("</html>"), "{path}");
        assert!(!page.body.contains("+27821234567") && !page.body.contains("821234567"), "{path}");
        assert!(page.header(header::CONTENT_SECURITY_POLICY).contains("script-src 'self'"), "{path}");
        assert!(!page.body.contains(" style=") && !page.body.contains("<script>"), "{path}");
        assert_eq!(page.header(header::CACHE_CONTROL), "no-store", "{path}");
    }
}

#[tokio::test]
async fn a_form_without_the_pages_token_does_nothing() {
    let (simulation, cast) = scene::day();
    let router = local(&simulation);
    let cancel = format!("/console/runs/{}/cancel", cast.building);
    for token in ["", "AAAA"] {
        let answer = submit(&router, &cancel, &[("token", token)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
    }
    assert!(!simulation.run(&cast.building).status.is_final());
    let page = get(&router, &format!("/console/runs/{}", cast.building)).await;
    let answer = submit(&router, &cancel, &[("token", page.token())]).await;
    let expected = format!("/console/runs/{}?notice=cancelled", cast.building);
    assert_eq!((answer.status, answer.header(header::LOCATION)), (StatusCode::SEE_OTHER, expected.as_str()));
    assert_eq!(simulation.run(&cast.building).status, durable::Status::Cancelled);
}

#[tokio::test]
async fn a_page_that_is_live_is_drawn_anew_only_when_something_has_changed() {
    let (simulation, cast) = scene::day();
    let access = Access::loopback(&*simulation.ports().random).unwrap();
    let live = Live { longest: Duration::ZERO, ..Live::default() };
    let router = Console::new(simulation.desk(), access).live(live).router();
    let page = get(&router, &format!("/console/runs/{}", cast.building)).await.body;
    let (_, path) = page.split_once("data-live=\"").unwrap();
    let path = path.split('"').next().unwrap().replace("&amp;", "&").replace("&#38;", "&");
    let first = get(&router, &path).await.body;
    assert!(first.contains("event: region") && first.contains("build-feature#3"), "{path}: {first}");
    assert_eq!(get(&router, &path).await.body, first);
}

/// As many steps as its event says.
async fn count(ctx: Context<u32>, (): ()) -> Result<Vec<u32>> {
    let mut counted = Vec::new();
    for n in 0..*ctx.event() {
        counted.push(ctx.step("count").run(async || Ok(n)).await?);
    }
    Ok(counted)
}

#[tokio::test]
async fn a_run_of_a_thousand_steps_is_shown_by_pages_of_steps() {
    let mut simulation = Simulation::of(Workflow::new("count", count).on_event("count").with(()));
    let run = simulation.send("count", json!(1_000)).remove(0);
    simulation.run_until_idle();
    let router = local(&simulation);
    let page = get(&router, &format!("/console/runs/{run}")).await.body;
    assert!(page.contains("Steps 1 to 200 of 1000") && page.contains("count#200"), "{}", page.len());
    assert!(!page.contains(">count#201<") && page.len() < 300_000, "{}", page.len());
    // A step's own address shows the page it is on.
    let page = get(&router, &format!("/console/runs/{run}?step=count%23777")).await.body;
    assert!(page.contains("Steps 601 to 800 of 1000") && page.contains(r#"id="step""#), "{}", page.len());
    let page = get(&router, &format!("/console/runs/{run}?from=99999")).await;
    assert_eq!(page.status, StatusCode::OK);
}
