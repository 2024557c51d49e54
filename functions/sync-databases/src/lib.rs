//! sync-databases: mirrors Neon's tables to Convex every six hours.

use std::sync::Arc;

use durable::{Concurrency, Context, Result, Retry, Workflow, minutes, seconds};
use fibreflow::{
    config::Settings,
    convex::{Convex, batches},
    events::SyncRequested,
    neon::Neon,
    slack::Slack,
};
use serde::{Deserialize, Serialize};

/// What a sync takes.
#[derive(Debug, Clone)]
pub struct Services {
    /// The source of truth.
    pub neon: Arc<dyn Neon>,
    /// The mirror.
    pub convex: Convex,
    /// Who is told.
    pub slack: Slack,
}

impl Services {
    /// The services that the settings name; one error says all that is missing.
    pub fn from_settings(settings: Settings<'_>) -> Result<Self> {
        settings.make(|settings| {
            let (neon, convex, slack) = (settings.neon(), settings.convex(), settings.slack());
            Some(Self { neon: neon?, convex: convex?, slack: slack? })
        })
    }
}

/// What a sync did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    /// Rows read from Neon.
    pub rows: usize,
    /// Batches pushed to Convex.
    pub batches: usize,
    /// Rows that were new there.
    pub inserted: u32,
    /// Rows that were there already.
    pub updated: u32,
}

/// Never two syncs at once, whatever started them.
pub fn workflow() -> Workflow<Services> {
    Workflow::new("sync-databases", sync_databases)
        .on_schedule("0 */6 * * *")
        .on_event("databases/sync.requested")
        .concurrency(Concurrency::limit(1))
}

async fn sync_databases(ctx: Context<SyncRequested>, services: Services) -> Result<Synced> {
    let Services { neon, convex, slack } = &services;

    let rows = ctx.step("fetch-neon-data").retry(Retry::fixed(3, seconds(30))).run(|| neon.fetch()).await?;
    let batches = ctx.step("transform-data").run(async || Ok(batches(&rows))).await?;

    let mut synced = Synced { rows: rows.len(), batches: batches.len(), inserted: 0, updated: 0 };
    for batch in &batches {
        let backoff = Retry::exponential(5, seconds(1)).cap(minutes(1)).jitter(0.2);
        let pushed = ctx.step("sync-batch").retry(backoff).run(|| convex.push(batch)).await?;
        synced.inserted += pushed.inserted;
        synced.updated += pushed.updated;
    }

    let text = format!(
        "Database sync complete: {} rows in {} batches, {} new and {} updated",
        synced.rows, synced.batches, synced.inserted, synced.updated
    );
    ctx.step("notify-complete")
        .retry(Retry::exponential(5, seconds(5)).jitter(0.2))
        .run(|| slack.notify(&text))
        .await?;
    Ok(synced)
}
