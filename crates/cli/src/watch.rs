//! What stays and shows what changes: `fibreflow runs --watch`, `show --follow` and `tail`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use durable::{
    Clock, Desk, EventFilter, PageRequest, Run, RunFilter, RunId, RunSummary, Status, after, seconds,
};
use durable_local::SystemClock;
use futures::future::try_join_all;
use jiff::Timestamp;
use serde_json::json;

use crate::{
    args,
    changes::{Change, Seen},
    failure::{Failure, Result},
    place::{Place, now},
    runs,
    terminal::{Screen, alarming, complain, faint, say},
    text,
};

/// How often is looked: each look is a handful of requests.
fn pause(place: &Place) -> Duration {
    match place {
        Place::Here(_) => Duration::from_millis(250),
        Place::Aws => seconds(2),
    }
}

async fn wait(place: &Place) {
    SystemClock.sleep_until(after(now(), pause(place))).await;
}

/// Shows the list again each time it has changed.
pub(crate) async fn runs(
    place: &Place,
    desk: &Desk,
    filter: &RunFilter,
    limit: usize,
    json: bool,
) -> Result<()> {
    let mut screen = Screen::new();
    let mut known: HashMap<RunId, serde_json::Value> = HashMap::new();
    loop {
        let found = runs::newest(desk, filter, limit).await?;
        if json {
            for run in &found {
                let summary = serde_json::to_value(RunSummary::of(run))?;
                if known.get(&run.id) != Some(&summary) {
                    say(&summary);
                    known.insert(run.id.clone(), summary);
                }
            }
        } else {
            screen.show(&runs::listed(&found, now()));
        }
        wait(place).await;
    }
}

/// Shows a run until it has ended; fails unless it completed.
pub(crate) async fn follow(place: &Place, desk: &Desk, id: &RunId, json: bool) -> Result<()> {
    let mut screen = Screen::new();
    let mut before: Option<Seen> = None;
    loop {
        let Some(seen) = look(desk, id).await? else { return Err(crate::place::unknown(id.as_str())) };
        if !json && Screen::is_live() {
            screen.show(&runs::shown(desk, id, now()).await?);
        } else {
            for change in seen.since(before.as_ref(), now()) {
                tell(&change, json)?;
            }
        }
        if seen.run.status.is_final() {
            return match seen.run.status {
                Status::Completed => Ok(()),
                status => Err(Failure::new(format!("run {id} is {status}"))),
            };
        }
        before = Some(seen);
        wait(place).await;
    }
}

async fn look(desk: &Desk, id: &RunId) -> Result<Option<Seen>> {
    let Some(run) = desk.ports.journal.run(id).await? else { return Ok(None) };
    let records = desk.ports.journal.checkpoints(id).await?;
    Ok(Some(Seen { run, records }))
}

fn tell(change: &Change, json: bool) -> Result<()> {
    if json {
        say(serde_json::to_string(change)?);
        return Ok(());
    }
    let told = if change.error.is_some() { alarming(&change.told) } else { change.told.clone() };
    let run = faint(runs::short_id(&change.run_id));
    say(format_args!("{}  {:<14} {run}  {told}", faint(text::clock(change.at)), change.workflow));
    Ok(())
}

/// How many of the newest runs and events are looked at each time, and how many that have not ended.
const LOOKED_AT: usize = 100;

/// Tells all that happens from now on, until stopped.
pub(crate) async fn tail(place: &Place, order: args::Tail) -> Result<()> {
    let desk = place.desk().await?;
    let mut tail = Tail { known: HashMap::new(), events: HashSet::new(), order };
    tail.learn(&desk).await?;
    complain(faint("all that happens from now on; Ctrl-C ends it"));
    loop {
        wait(place).await;
        tail.tell(&desk, now()).await?;
    }
}

struct Tail {
    known: HashMap<RunId, Seen>,
    events: HashSet<String>,
    order: args::Tail,
}

impl Tail {
    /// What there is already is no news.
    async fn learn(&mut self, desk: &Desk) -> Result<()> {
        let events = desk.history.events(&EventFilter::default(), &PageRequest::first(LOOKED_AT)).await?;
        self.events = events.items.into_iter().map(|event| event.id).collect();
        for seen in self.look(desk).await? {
            self.known.insert(seen.run.id.clone(), seen);
        }
        Ok(())
    }

    /// The newest runs, and those that have not ended, as they are now. The steps of those that changed alone are read.
    async fn look(&self, desk: &Desk) -> Result<Vec<Seen>> {
        let page = PageRequest::first(LOOKED_AT);
        let newest = RunFilter { workflows: self.order.workflow.clone(), ..RunFilter::default() };
        let alive = vec![Status::Queued, Status::Running, Status::Waiting];
        let alive = RunFilter { statuses: alive, ..newest.clone() };
        let (newest, alive) =
            futures::try_join!(desk.history.runs(&newest, &page), desk.history.runs(&alive, &page))?;
        let found: BTreeMap<_, _> =
            newest.items.into_iter().chain(alive.items).map(|run| (run.id.clone(), run)).collect();
        let changed = found.into_values().filter(|run| self.may_have_changed(run));
        let seen = changed.map(|run| async move {
            let records = desk.ports.journal.checkpoints(&run.id).await?;
            Ok::<_, durable::Error>(Seen { run, records })
        });
        Ok(try_join_all(seen).await?)
    }

    /// A run that runs may have made a step without any change of its own.
    fn may_have_changed(&self, run: &Run) -> bool {
        run.status == Status::Running || self.known.get(&run.id).is_none_or(|known| known.run != *run)
    }

    async fn tell(&mut self, desk: &Desk, now: Timestamp) -> Result<()> {
        let json = self.order.json;
        if self.order.workflow.is_empty() {
            let events = desk.history.events(&EventFilter::default(), &PageRequest::first(LOOKED_AT)).await?;
            let new = events.items.iter().rev().filter(|event| !self.events.contains(&event.id));
            for event in new {
                if json {
                    say(
                        json!({ "at": event.sent_at, "what": "event", "name": event.name, "event_id": event.id }),
                    );
                } else {
                    let at = faint(text::clock(event.sent_at));
                    say(format_args!("{at}  {:<14} {}  {}", "event", event.name, faint(&event.id)));
                }
            }
            self.events = events.items.into_iter().map(|event| event.id).collect();
        }
        let seen = self.look(desk).await?;
        let changes = seen.iter().flat_map(|seen| seen.since(self.known.get(&seen.run.id), now));
        let mut changes: Vec<_> = changes.collect();
        changes.sort_by_key(|change| change.at);
        for change in &changes {
            tell(change, json)?;
        }
        for seen in seen {
            self.known.insert(seen.run.id.clone(), seen);
        }
        Ok(())
    }
}
