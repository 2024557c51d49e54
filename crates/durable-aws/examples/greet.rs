//! A whole Lambda function: what a workflow's `main.rs` looks like. Without `DURABLE_TABLE`, and built with the feature
//! `local`, it keeps its runs in SQLite.

use durable::{Context, Result, Workflow};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    durable_aws::serve(async || Ok(Workflow::new("greet", greet).on_event("guest/arrived").with(()))).await
}

async fn greet(ctx: Context<serde_json::Value>, _services: ()) -> Result<String> {
    ctx.step("greet").run(async || Ok(format!("hello {}", ctx.event()["name"]))).await
}
