//! Signing in by a link, and what a viewer may do.

use console::{Access, Console, Role, Seal, sign_in_link};
use durable::minutes;

use super::chromium::{Browser, Theme, listener, quick, serve_router};
use crate::scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_link_signs_in_as_what_it_says() {
    let (simulation, cast) = scene::day();
    let seal = Seal::new(&[3; 32]).unwrap();
    let listener = listener().await;
    let origin = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    let access = Access::sessions(&origin, seal.clone());
    serve_router(Console::new(simulation.desk(), access).live(quick()).router(), listener);
    let browser = Browser::open(&origin, Theme::Light).await;

    // Nobody gets in by default.
    let run = format!("/console/runs/{}", cast.building);
    browser.go(&run).await;
    assert!(browser.path().await.starts_with("/console/sign-in?back="), "{}", browser.path().await);
    let bad =
        sign_in_link(&Seal::new(&[4; 32]).unwrap(), "", "eve", Role::Operator, simulation.now(), minutes(5));
    browser.go(&bad).await;
    browser.press("Sign in").await;
    browser.reads("main", "This link is not good").await;

    let link = |role| sign_in_link(&seal, "", "ana@fibreflow.example", role, simulation.now(), minutes(5));
    browser.go(&link(Role::Viewer)).await;
    browser.press("Sign in").await;
    browser.reads(".who", "ana@fibreflow.example").await;
    browser.go(&run).await;
    browser.reads("h1", "build-agent").await;
    assert_eq!(browser.run("return document.querySelectorAll('[data-dialog]').length").await, 0);
    browser.press("Sign out").await;
    browser.reads("main", "Ask an operator").await;
    browser.go(&run).await;
    browser.reads("main", "Ask an operator").await;

    browser.go(&link(Role::Operator)).await;
    browser.press("Sign in").await;
    browser.reads(".who", "operator").await;
    browser.go(&run).await;
    browser.press("Cancel").await;
    browser.press("Cancel the run").await;
    browser.reads("h1", "cancelled").await;
    browser.go("/console/audit").await;
    browser.reads("tbody tr", "ana@fibreflow.example").await;
    browser.close().await;
}
