//! How much memory a sync takes, of a table that would not fit into it.
//!
//! The real worker over `SQLite` and the real clients; Convex takes everything and keeps nothing, so that it is the sync's
//! memory that is measured. A process of its own: `cargo test -p sync-databases --test memory`, and for the million
//! `cargo test -p sync-databases --test memory -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

#[path = "it/server.rs"]
#[allow(dead_code, reason = "the other tests ask it more")]
mod server;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Json, Router, routing::post};
use durable::{Envelope, Journal, Settings, Status};
use durable_local::{Store, SystemClock, Worker};
use fibreflow::{config, http::Http, mirror::Tables, neon::Postgres};
use serde_json::{Value, json};
use sync_databases::{Services, workflow};

use server::{Server, with_server};

const TABLES: &str = r#"{"tables": [{"name": "many", "to": "sow_drops"}]}"#;

/// A Convex that takes every row, has none, and says that it has all keys.
fn convex(keys: u64, written: Arc<AtomicU64>) -> Router {
    let call = move |Json(call): Json<Value>| {
        let written = written.clone();
        async move {
            let args = &call["args"];
            let value = match call["path"].as_str().unwrap() {
                "sync:hashes" => json!(vec![Value::Null; args["neonIds"].as_array().unwrap().len()]),
                "sync:keys" => {
                    let after: u64 = args["after"].as_str().map_or(0, |after| after.parse().unwrap());
                    let last = (after + 500).min(keys);
                    let page: Vec<_> = (after + 1..=last).map(|key| key.to_string()).collect();
                    json!({ "keys": page, "next": (last < keys).then(|| last.to_string()) })
                }
                "sync:upsertBatch" => {
                    let rows = args["rows"].as_array().unwrap().len() as u64;
                    written.fetch_add(rows, Ordering::Relaxed);
                    json!({ "inserted": rows, "updated": 0 })
                }
                _ => Value::Null,
            };
            Json(json!({ "status": "success", "value": value }))
        }
    };
    let slack = post(async || "ok");
    Router::new().route("/api/{kind}", post(call)).route("/slack", slack)
}

/// The most memory that this process ever had, in megabytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Syncs a table of so many rows, all of them new, and answers the peak before and after.
fn sync(server: &Arc<Server>, rows: u64) -> (u64, u64) {
    server.execute(&format!(
        "create table many as select n::int as id, 'DR' || 1733700 + n as drop_number, md5(n::text)::uuid as project,
             n / 7.0 as cable_length, timestamp '2026-01-01' + n * interval '1 minute' as installed_at,
             n || ' Mandela Street, Lawley, Johannesburg' as address, array[n, n + 1] as poles,
             jsonb_build_object('n', n, 'state', 'installed') as extra
         from generate_series(1, {rows}) as n;
         alter table many add primary key (id)"
    ));
    let written = Arc::<AtomicU64>::default();
    let lookup = |name: &str| match name {
        "CONVEX_URL" => Some("http://convex".to_owned()),
        "SLACK_WEBHOOK_URL" => Some("http://convex/slack".to_owned()),
        "CONVEX_DEPLOY_KEY" => Some("key".to_owned()),
        "SYNC_TABLES" => Some(TABLES.to_owned()),
        _ => None,
    };
    let http = Http::in_process(convex(rows, written.clone()), Arc::new(SystemClock));
    let neon = Arc::new(Postgres::new(server.url().into()).unwrap());
    let services = Services::from_settings(config::Settings::new(lookup, http).with_neon(neon)).unwrap();
    let runnable = workflow(&Tables::read(Some(TABLES)).unwrap()).with(services);

    let home = tempfile::tempdir().unwrap();
    let (before, began) = (peak(), Instant::now());
    server.runtime.block_on(async {
        let store = Store::open(home.path(), [runnable.definition()]).unwrap();
        let event = Envelope {
            id: "one".into(),
            name: "databases/sync.requested".into(),
            data: json!({}),
            sent_at: now(),
        };
        let run = store.accept(event).await.unwrap().runs.remove(0);
        let ports = store.ports(None);
        let worker = Worker::new(store.clone(), ports, Settings::default(), vec![runnable]).unwrap();
        let ended = async {
            while !store.run(&run).await.unwrap().unwrap().status.is_final() {
                pause().await;
            }
        };
        worker.run(ended).await.unwrap();
        let run = store.run(&run).await.unwrap().unwrap();
        assert_eq!(run.status, Status::Completed, "{:?}", run.error);
    });
    assert_eq!(written.load(Ordering::Relaxed), rows);
    let after = peak();
    println!("{rows} rows in {:.0?}: peak {after} MB, of which {before} MB before it began", began.elapsed());
    (before, after)
}

fn now() -> jiff::Timestamp {
    durable::Clock::now(&SystemClock)
}

#[allow(clippy::disallowed_methods, reason = "waits for the real worker")]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[test]
fn a_sync_takes_no_more_memory_than_a_few_pages_do() {
    with_server(|server| {
        let (_, after) = sync(server, 20_000);
        assert!(after < 48, "{after} MB");
    });
}

#[test]
#[ignore = "minutes, and 200 MB of disk"]
fn a_million_rows_fit_into_64_mb() {
    with_server(|server| {
        let (_, after) = sync(server, 1_000_000);
        assert!(after < 64, "{after} MB");
    });
}
