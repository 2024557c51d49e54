//! What the pages look like: `scripts/screenshots` puts it into `docs/screenshots`.

use std::{fs, path::Path};

use super::chromium::{Browser, Theme, serve};
use crate::{pages::paths, scene};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/screenshots");

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes files: scripts/screenshots runs it"]
async fn of_every_page() {
    let (simulation, cast) = scene::day();
    let origin = serve(&simulation).await;
    fs::create_dir_all(FOLDER).unwrap();
    for theme in [Theme::Light, Theme::Dark] {
        let browser = Browser::open(&origin, theme).await;
        for (name, path) in paths(&cast) {
            browser.client.set_window_size(1440, 900).await.unwrap();
            shoot(&browser, &path, &format!("{name}-{}", theme.name())).await;
        }
        for (name, path) in
            paths(&cast).into_iter().filter(|(name, _)| matches!(*name, "runs" | "run-building"))
        {
            browser.client.set_window_size(500, 900).await.unwrap();
            shoot(&browser, &path, &format!("{name}-phone-{}", theme.name())).await;
        }
        browser.close().await;
    }
}

async fn shoot(browser: &Browser, path: &str, name: &str) {
    browser.go(path).await;
    if browser.run("return document.querySelector('.live') !== null").await == true {
        browser.reads(".live", "Live").await;
    }
    let image = browser.client.screenshot().await.unwrap();
    fs::write(Path::new(FOLDER).join(format!("{name}.png")), image).unwrap();
}
