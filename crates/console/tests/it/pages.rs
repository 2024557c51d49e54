//! Pages, asked without a browser.

use axum::http::{StatusCode, header};

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
        ("runs-none", "/console/runs?q=nothing-like-this".to_owned()),
        ("run-building", run(&cast.building)),
        ("run-in-line", run(&cast.in_line)),
        ("run-retrying", format!("{}?step=send-message", run(&cast.retrying))),
        ("run-failed", format!("{}?step=vlm-evaluate", run(&cast.failed))),
        ("run-completed", run(&cast.completed)),
        ("events", "/console/events".to_owned()),
        ("event", format!("/console/events/{}%2Fqueue-notification", cast.completed)),
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
