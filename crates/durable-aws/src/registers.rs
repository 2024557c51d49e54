//! Of all runs of a key, only the newest goes on: an item a key. [`durable::singleton`] is the law.
//!
//! A claim is one conditional update. The newest run is kept as a list of one, since an update can append a list that the item
//! holds to another one: so whoever is superseded is noted by the request that supersedes it.

use aws_sdk_dynamodb::types::AttributeValue;
use durable::{
    Error, Result, RunId, after, seconds,
    singleton::{Claim, Claimant},
};

use crate::{
    Aws,
    items::{Change, Item, Key, n, s, text},
    table::Outcome,
};

/// How often an acknowledgement is written that others write as well.
const TRIES: u32 = 8;

fn key(name: &str) -> Key {
    Key::new(format!("singleton#{name}"), "register")
}

/// Sorts as claimants do.
fn rank(claimant: &Claimant) -> String {
    format!("{:013}#{}", claimant.at.as_millisecond(), claimant.run)
}

fn list(runs: impl IntoIterator<Item = String>) -> AttributeValue {
    AttributeValue::L(runs.into_iter().map(s).collect())
}

fn superseded(item: &Item) -> Vec<RunId> {
    let runs = item.get("superseded").and_then(|list| list.as_l().ok()).into_iter().flatten();
    runs.filter_map(|run| run.as_s().ok()).map(RunId::from_text).collect()
}

impl Aws {
    pub(crate) async fn claim_register(&self, name: &str, claimant: &Claimant) -> Result<Claim> {
        let rank = rank(claimant);
        let expires_at = after(self.clock.now(), self.settings.retention);
        let change = Change {
            key: key(name),
            update: "SET #superseded = list_append(if_not_exists(#superseded, :none), if_not_exists(#newest, :none)), \
                     #newest = :newest, #rank = :rank, #expires_at = :expires_at"
                .to_owned(),
            condition: "attribute_not_exists(#rank) OR #rank < :rank".to_owned(),
            values: vec![
                (":none", list([])),
                (":newest", list([claimant.run.to_string()])),
                (":rank", s(&rank)),
                (":expires_at", n(expires_at.as_second())),
            ],
        };
        match self.table.update(&change).await? {
            Outcome::Done(item) => Ok(Claim::Newest { superseded: superseded(&item) }),
            Outcome::Refused(Some(item)) if text(&item, "rank") == Some(&rank) => {
                Ok(Claim::Newest { superseded: superseded(&item) })
            }
            Outcome::Refused(_) => Ok(Claim::Superseded),
        }
    }

    pub(crate) async fn acknowledge_register(&self, name: &str, ended: &[RunId]) -> Result<()> {
        for _ in 0..TRIES {
            let Some(item) = self.table.get(&key(name)).await? else { return Ok(()) };
            let known = superseded(&item);
            let kept: Vec<_> =
                known.iter().filter(|run| !ended.contains(run)).map(RunId::to_string).collect();
            if kept.len() == known.len() {
                return Ok(());
            }
            let change = Change {
                key: key(name),
                update: "SET #superseded = :kept".to_owned(),
                condition: "#superseded = :known".to_owned(),
                values: vec![(":kept", list(kept)), (":known", list(known.iter().map(RunId::to_string)))],
            };
            if matches!(self.table.update(&change).await?, Outcome::Done(_)) {
                return Ok(());
            }
        }
        Err(Error::retry_after(seconds(1), format!("the singleton {name} is used by many at once")))
    }
}
