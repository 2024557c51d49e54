//! Nothing on any page keeps anybody from using it: axe-core's rules, a keyboard, a phone.

use std::fs;

use console::{Access, Console, Seal};
use fantoccini::key::Key;
use serde_json::{Value, json};

use super::chromium::{Browser, Theme, listener, quick, serve, serve_router};
use crate::{pages::paths, scene};

/// axe-core, where `scripts/browser-tools` puts it.
const AXE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/browser/node_modules/axe-core/axe.min.js");

async fn findings(browser: &Browser) -> Vec<Value> {
    let script = "const done = arguments[arguments.length - 1];
        axe.run(document, { resultTypes: ['violations'] }).then((found) => done(found.violations.map((one) => ({
            id: one.id, impact: one.impact, help: one.help, nodes: one.nodes.slice(0, 3).map((node) => node.html + ' ' + node.any.map((a) => a.message)) }))));";
    let found = browser.client.execute_async(script, Vec::new()).await.unwrap();
    found.as_array().cloned().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_on_any_page_in_light_and_dark() {
    let axe = fs::read_to_string(AXE).expect("scripts/browser-tools puts axe-core there");
    let (simulation, cast) = scene::day();
    let origin = serve(&simulation).await;
    for theme in [Theme::Light, Theme::Dark] {
        let browser = Browser::open(&origin, theme).await;
        for (name, path) in paths(&cast) {
            browser.go(&path).await;
            browser.client.execute(&axe, Vec::new()).await.unwrap();
            let background = browser.run("return getComputedStyle(document.body).backgroundColor").await;
            let expected = if theme == Theme::Dark { "rgb(14, 17, 22)" } else { "rgb(251, 251, 252)" };
            assert_eq!(background, json!(expected), "{name}");
            let found = findings(&browser).await;
            assert!(found.is_empty(), "{name} in {}: {}", theme.name(), json!(found));
        }
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_where_one_signs_in_or_is_refused() {
    let axe = fs::read_to_string(AXE).expect("scripts/browser-tools puts axe-core there");
    let simulation = scene::quiet();
    let listener = listener().await;
    let origin = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    let access = Access::sessions(&origin, Seal::new(&[3; 32]).unwrap());
    serve_router(Console::new(simulation.desk(), access).live(quick()).router(), listener);
    for theme in [Theme::Light, Theme::Dark] {
        let browser = Browser::open(&origin, theme).await;
        // Nobody is signed in; a link stands in the address; one was refused; a provider that there is not.
        for path in [
            "/console/runs",
            "/console/sign-in#some-link",
            "/console/sign-in?refused=1",
            "/console/sign-in/begin",
        ] {
            browser.go(path).await;
            browser.see("main h1").await;
            browser.client.execute(&axe, Vec::new()).await.unwrap();
            let found = findings(&browser).await;
            assert!(found.is_empty(), "{path} in {}: {}", theme.name(), json!(found));
        }
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialog_is_accessible_as_well() {
    let axe = fs::read_to_string(AXE).expect("scripts/browser-tools puts axe-core there");
    let (simulation, cast) = scene::day();
    let browser = Browser::open(&serve(&simulation).await, Theme::Light).await;
    browser.go(&format!("/console/runs/{}?step=vlm-evaluate", cast.failed)).await;
    browser.press("Run again from here").await;
    browser.see("dialog[open] [data-reveals]").await.click().await.unwrap();
    browser.client.execute(&axe, Vec::new()).await.unwrap();
    let found = findings(&browser).await;
    assert!(found.is_empty(), "{}", json!(found));
    // Escape leaves it, and the focus is where it was.
    browser
        .client
        .active_element()
        .await
        .unwrap()
        .send_keys(&char::from(Key::Escape).to_string())
        .await
        .unwrap();
    assert_eq!(browser.run("return document.activeElement.dataset.dialog").await, json!("rerun-from"));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_a_phone_and_says_nothing_forbidden() {
    let (simulation, cast) = scene::day();
    let browser = Browser::open(&serve(&simulation).await, Theme::Light).await;
    browser.client.set_window_size(500, 900).await.unwrap();
    for (name, path) in paths(&cast) {
        browser.go(&path).await;
        let fits = "return document.documentElement.scrollWidth <= innerWidth";
        assert_eq!(browser.run(fits).await, json!(true), "{name} is wider than a phone");
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_leads_past_the_menu() {
    let browser = Browser::open(&serve(&scene::quiet()).await, Theme::Light).await;
    browser.go("/console/runs").await;
    browser.see("body").await.send_keys(&char::from(Key::Tab).to_string()).await.unwrap();
    assert_eq!(browser.run("return document.activeElement.textContent").await, json!("Skip to the content"));
    browser.press("Theme").await;
    assert_eq!(browser.run("return document.documentElement.dataset.theme").await, json!("dark"));
    browser.go("/console/events").await;
    assert_eq!(browser.run("return document.documentElement.dataset.theme").await, json!("dark"), "it stays");
    browser.close().await;
}
