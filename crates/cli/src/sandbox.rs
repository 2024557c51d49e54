//! `fibreflow sandbox`: what is wrong with the services of a running `dev --sandbox`.

use std::net::SocketAddr;

use fibreflow::sandbox::Fault;
use reqwest::{Client, Method, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    args::{self, Condition},
    failure::{Failure, Result},
    home::{Home, SandboxService},
    terminal::{alarming, rows, say, table},
};

/// What a service says of itself.
#[derive(Debug, Deserialize)]
struct Account {
    fault: Option<Fault>,
    times: Option<u32>,
    requests: u64,
}

pub(crate) async fn sandbox(home: &Home, order: args::Sandbox) -> Result<()> {
    let Some(running) = home.sandbox() else { return Err(not_running()) };
    let (Some(service), Some(condition)) = (&order.service, order.fault) else {
        return list(&running.services, order.json).await;
    };
    let Some(found) = running.services.iter().find(|known| known.name == *service) else {
        let names: Vec<_> = running.services.iter().map(|known| known.name.as_str()).collect();
        return Err(Failure::usage(format!("no service {service}: expected {}", names.join(", "))));
    };
    let (method, body) = match condition {
        Condition::Ok => (Method::DELETE, Value::Null),
        Condition::Broken(fault) => (Method::PUT, json!({ "fault": fault, "times": order.times })),
    };
    let answer = ask(method, found.address, "/_sandbox/fault", &body).await?;
    if !answer.status().is_success() {
        return Err(Failure::new(answer.text().await.unwrap_or_default()));
    }
    let account = answer.text().await.map_err(|_| not_running())?;
    if order.json {
        say(account);
        return Ok(());
    }
    let account: Account = serde_json::from_str(&account)?;
    say(format_args!("{service}: {}", state(&account)));
    Ok(())
}

async fn list(services: &[SandboxService], json: bool) -> Result<()> {
    let mut accounts = Vec::new();
    for service in services {
        let answer = ask(Method::GET, service.address, "/_sandbox", &Value::Null).await?;
        accounts.push(answer.text().await.map_err(|_| not_running())?);
    }
    if json {
        let all = accounts.iter().zip(services).map(|(account, service)| {
            let mut account: Value = serde_json::from_str(account)?;
            account["url"] = json!(format!("http://{}", service.address));
            Ok(account)
        });
        say(serde_json::to_string_pretty(&all.collect::<Result<Vec<_>>>()?)?);
        return Ok(());
    }
    let mut table_of_services = table(&["SERVICE", "ADDRESS", "REQUESTS", "STATE"]);
    for (account, service) in accounts.iter().zip(services) {
        let account: Account = serde_json::from_str(account)?;
        let address = format!("http://{}", service.address);
        let requests = account.requests.to_string();
        table_of_services.add_row([service.name.clone(), address, requests, state(&account)]);
    }
    let mut table_of_faults = table(&["FAULT", "OF", "WHAT HAPPENS"]);
    for (fault, suits, what) in Fault::ALL {
        let of = if suits.is_empty() { "all".to_owned() } else { suits.join(", ") };
        table_of_faults.add_row([fault.to_string(), of, what.to_owned()]);
    }
    say(format_args!(
        "{}\n\n{}\n\nswitch one on with `fibreflow sandbox SERVICE FAULT`, off with `fibreflow sandbox SERVICE ok`",
        rows(&table_of_services),
        rows(&table_of_faults),
    ));
    Ok(())
}

fn state(account: &Account) -> String {
    match (account.fault, account.times) {
        (None, _) => "ok".to_owned(),
        (Some(fault), None) => alarming(fault),
        (Some(fault), Some(times)) => alarming(format_args!("{fault}, {times} times more")),
    }
}

async fn ask(method: Method, address: SocketAddr, path: &str, body: &Value) -> Result<Response> {
    // The client wants one though it speaks plain HTTP; that another is there already is no matter.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().build().map_err(|error| Failure::new(error.to_string()))?;
    let request = client.request(method, format!("http://{address}{path}"));
    let request = if body.is_null() { request } else { request.json(body) };
    request.send().await.map_err(|_| not_running())
}

fn not_running() -> Failure {
    Failure::new("no sandbox runs here: start `fibreflow dev --sandbox`, with the same --home")
}
