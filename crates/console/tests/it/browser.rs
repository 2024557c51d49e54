//! Pages in a real browser: headless Chromium, driven through WebDriver.

mod accessible;
mod chromium;
mod deeds;
mod screenshots;
mod sign_in;
mod watching;
