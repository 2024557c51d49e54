//! Flow-control keys: who holds them, who waits, what is reserved.

use askama::Template;
use axum::{extract::State, response::Html};

use super::{Page, shell::Shell};
use crate::{
    access::Identity,
    console::Shared,
    markup::render,
    problem::Problem,
    query::Query,
    views::{KeyItem, KeyLine, Paged, ThrottleItem, ThrottleLedger},
};

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    shell: Shell,
    prefix: String,
    keys: Paged<KeyItem>,
    throttles: Paged<ThrottleItem>,
    keys_next: String,
    throttles_next: String,
}

#[derive(Template)]
#[template(path = "key.html")]
struct KeyPage {
    shell: Shell,
    shown: String,
    lines: Vec<KeyLine>,
    ledgers: Vec<ThrottleLedger>,
}

/// The two lists have a cursor each.
pub(super) async fn list(State(console): State<Shared>, who: Identity, query: Query) -> Page {
    let own = |name: &str| query.text(name).unwrap_or_default().to_owned();
    let (at_keys, at_throttles) = (own("keys"), own("throttles"));
    let keys = console.keys(&Query::of(&query.with(&[("cursor", &at_keys)]))).await?;
    let throttles = console.throttles(&Query::of(&query.with(&[("cursor", &at_throttles)]))).await?;
    let next = |name: &str, next: &Option<String>| {
        next.as_deref().map(|next| query.with(&[(name, next)])).unwrap_or_default()
    };
    let page = KeysPage {
        shell: Shell::new(&console, Some(who), "keys", "Keys"),
        prefix: own("prefix"),
        keys_next: next("keys", &keys.next),
        throttles_next: next("throttles", &throttles.next),
        keys,
        throttles,
    };
    Ok(Html(render(&page)))
}

fn shown(query: &Query) -> Result<String, Problem> {
    query.text("key").map(str::to_owned).ok_or_else(|| Problem::parameter("key", "a key, as it is shown"))
}

pub(super) async fn line(State(console): State<Shared>, who: Identity, query: Query) -> Page {
    let shown = shown(&query)?;
    let lines = console.key(&shown).await?;
    let shell = Shell::new(&console, Some(who), "keys", shown.clone());
    Ok(Html(render(&KeyPage { shell, shown, lines, ledgers: Vec::new() })))
}

pub(super) async fn throttle(State(console): State<Shared>, who: Identity, query: Query) -> Page {
    let shown = shown(&query)?;
    let ledgers = console.throttle(&shown).await?;
    let shell = Shell::new(&console, Some(who), "keys", shown.clone());
    Ok(Html(render(&KeyPage { shell, shown, lines: Vec::new(), ledgers })))
}
