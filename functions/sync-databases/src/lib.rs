//! sync-databases: mirrors Neon's tables to Convex every six hours, and when an import into Neon has finished.
//!
//! Which tables is configuration ([`fibreflow::mirror::Tables`]). A table is read page by page and compared with the hashes
//! that Convex keeps beside its documents; what differs is pushed. Then Convex's keys are looked up in Neon, and rows that are
//! gone are marked. No step records rows, only from which key to which there is something to do: a run's records stay small,
//! and nobody's phone number is among them.

mod mirror;
mod removals;
mod report;

use std::sync::Arc;

use durable::{Concurrency, Context, Result, Retry, Workflow, minutes, seconds};
use fibreflow::{
    config::Settings, convex::Convex, events::SyncRequested, mirror::Tables, neon::Neon, slack::Slack,
};

use mirror::Mirror;
use removals::Removals;
pub use report::{Refusals, Synced, TableSynced};

/// What a sync takes.
#[derive(Debug, Clone)]
pub struct Services {
    /// The source of truth.
    pub neon: Arc<dyn Neon>,
    /// The mirror.
    pub convex: Convex,
    /// What is mirrored.
    pub tables: Arc<Tables>,
    /// Who is told.
    pub slack: Slack,
}

impl Services {
    /// The services that the settings name; one error says all that is missing.
    pub fn from_settings(settings: Settings<'_>) -> Result<Self> {
        settings.make(|settings| {
            let (neon, convex, slack) = (settings.neon(), settings.convex(), settings.slack());
            let tables = settings.tables().map(Arc::new);
            Some(Self { neon: neon?, convex: convex?, tables: tables?, slack: slack? })
        })
    }
}

/// Never two syncs at once, whatever started them.
pub fn workflow(tables: &Tables) -> Workflow<Services> {
    let workflow = Workflow::new("sync-databases", sync_databases)
        .on_schedule("0 */6 * * *")
        .on_event("databases/sync.requested")
        .concurrency(Concurrency::limit(1));
    tables.start_on.iter().fold(workflow, Workflow::on_event)
}

async fn sync_databases(ctx: Context<SyncRequested>, services: Services) -> Result<Synced> {
    let Services { neon, convex, tables, slack } = &services;
    // A database that sleeps, and one that is busy, need time; Convex is asked again sooner.
    let patiently = || Retry::fixed(3, seconds(30));
    let backoff = || Retry::exponential(5, seconds(1)).cap(minutes(1)).jitter(0.2);

    let mut synced = Synced::default();
    'tables: for table in &tables.tables {
        let mirror = Mirror::new(&**neon, convex, table);
        let mut counted = TableSynced::new(table.target());

        let mut after = None;
        loop {
            let fetch = ctx.step("fetch-neon-data").retry(patiently()).timeout(minutes(2));
            let page = fetch.run(|| mirror.fetch(after)).await?;
            mirror.expect(&page)?;
            if page.absent {
                synced.tables_absent.push(table.target().to_owned());
                continue 'tables;
            }
            let transform = ctx.step("transform-data").retry(backoff()).timeout(minutes(2));
            let changes = transform.run(|| mirror.compare(&page)).await?;
            for batch in &changes.batches {
                let push = ctx.step("sync-batch").retry(backoff()).timeout(minutes(5));
                counted.pushed(batch, push.run(|| mirror.push(batch)).await?);
            }
            counted.compared(&page, &changes);
            if !page.more || counted.is_hopeless() {
                break;
            }
            after = page.last();
        }

        let (mut after, mut removals) = (None, Removals::default());
        loop {
            let find = ctx.step("find-removed").retry(backoff()).timeout(minutes(2));
            let gone = find.run(|| mirror.find_removed(after)).await?;
            after = removals.add(gone);
            if after.is_none() {
                break;
            }
        }
        if removals.are_plausible(table.may_lose_percent) {
            for batch in &removals.batches {
                ctx.step("mark-removed").retry(backoff()).run(|| mirror.mark_removed(batch)).await?;
                counted.removed(batch);
            }
        } else {
            counted.left(&removals);
        }

        ctx.step("record-sync").retry(backoff()).run(|| mirror.record(&counted)).await?;
        synced.add(counted);
    }

    let text = synced.text();
    ctx.step("notify-complete")
        .retry(Retry::exponential(5, seconds(5)).jitter(0.2))
        .run(|| slack.notify(&text))
        .await?;
    Ok(synced)
}
