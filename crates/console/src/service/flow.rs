//! Workflows and their keys.

use durable::{LARGEST_PAGE, Page, PageRequest, after, hours};
use jiff::Timestamp;

use crate::{
    console::Console,
    mask,
    problem::{Problem, Result},
    query::Query,
    views::{KeyItem, KeyLine, Paged, StatisticsItem, ThrottleItem, ThrottleLedger, WorkflowItem},
};

impl Console {
    /// The workflows there are.
    pub(crate) async fn workflows(&self) -> Result<Vec<WorkflowItem>> {
        Ok(self.desk().workflows().await?.into_iter().map(WorkflowItem::of).collect())
    }

    /// A workflow.
    pub(crate) async fn workflow(&self, name: &str) -> Result<WorkflowItem> {
        let found = self.workflows().await?.into_iter().find(|item| item.workflow == name);
        found.ok_or_else(|| Problem::missing("workflow", name))
    }

    /// Numbers about all workflows over the last so many hours.
    pub(crate) async fn statistics(&self, last_hours: u64) -> Result<Vec<StatisticsItem>> {
        let to = self.now();
        let from = to.checked_sub(hours(last_hours)).unwrap_or(Timestamp::MIN);
        // The hour that has begun counts, and so many whole ones before it.
        let from = after(durable::hour_of(from), hours(1));
        Ok(self.desk().statistics(from, to).await?.into_iter().map(StatisticsItem::of).collect())
    }

    /// Keeps a workflow from starting runs.
    pub(crate) async fn pause(&self, who: &str, workflow: &str) -> Result<WorkflowItem> {
        self.desk().pause(who, workflow).await?;
        self.workflow(workflow).await
    }

    /// Lets a workflow start runs again.
    pub(crate) async fn resume(&self, who: &str, workflow: &str) -> Result<WorkflowItem> {
        self.desk().resume(who, workflow).await?;
        self.workflow(workflow).await
    }

    /// Concurrency keys that are in use.
    pub(crate) async fn keys(&self, query: &Query) -> Result<Paged<KeyItem>> {
        let prefix = query.text("prefix").unwrap_or_default();
        Ok(Paged::of(self.desk().keys.lines(prefix, &query.page()?).await?, KeyItem::of))
    }

    /// The runs of concurrency keys that are shown as this: more than one when masked numbers look alike.
    pub(crate) async fn key(&self, shown: &str) -> Result<Vec<KeyLine>> {
        let mut lines = Vec::new();
        for key in self.keys_shown_as(shown).await? {
            let line = self.desk().keys.line(&key).await?;
            if !line.members.is_empty() {
                lines.push(KeyLine::of(&key, &line));
            }
        }
        if lines.is_empty() { Err(Problem::missing("concurrency key in use", shown)) } else { Ok(lines) }
    }

    /// Throttle keys that are in use.
    pub(crate) async fn throttles(&self, query: &Query) -> Result<Paged<ThrottleItem>> {
        let prefix = query.text("prefix").unwrap_or_default();
        Ok(Paged::of(self.desk().keys.ledgers(prefix, &query.page()?).await?, ThrottleItem::of))
    }

    /// The starts of throttle keys that are shown as this.
    pub(crate) async fn throttle(&self, shown: &str) -> Result<Vec<ThrottleLedger>> {
        let all = PageRequest::first(LARGEST_PAGE);
        let keys = match plain_part(shown) {
            None => vec![shown.to_owned()],
            Some(prefix) => {
                let page = self.desk().keys.ledgers(prefix, &all).await?;
                matching(page.items.into_iter().map(|ledger| ledger.key), shown)
            }
        };
        let mut ledgers = Vec::new();
        for key in keys {
            let starts = self.desk().keys.ledger(&key).await?;
            if !starts.is_empty() {
                ledgers.push(ThrottleLedger::of(&key, starts));
            }
        }
        if ledgers.is_empty() { Err(Problem::missing("throttle key in use", shown)) } else { Ok(ledgers) }
    }

    /// The concurrency keys in use that are shown as this. A key in which nothing is masked is itself.
    pub(crate) async fn keys_shown_as(&self, shown: &str) -> Result<Vec<String>> {
        let Some(prefix) = plain_part(shown) else { return Ok(vec![shown.to_owned()]) };
        let Page { items, .. } = self.desk().keys.lines(prefix, &PageRequest::first(LARGEST_PAGE)).await?;
        Ok(matching(items.into_iter().map(|line| line.key), shown))
    }
}

/// What stands before the first masked character; `None` when there is none.
fn plain_part(shown: &str) -> Option<&str> {
    shown.find('•').map(|end| &shown[..end])
}

fn matching(keys: impl Iterator<Item = String>, shown: &str) -> Vec<String> {
    keys.filter(|key| mask::text(key) == shown).take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_key_is_found_among_those_that_begin_like_it() {
        let shown = mask::text("send:27821234567");
        assert_eq!(plain_part(&shown), Some("send:278"));
        assert_eq!(plain_part("build:sharepoint"), None);
        let keys = ["send:27821234567", "send:27821239999", "send:2782"].map(str::to_owned);
        assert_eq!(matching(keys.into_iter(), &shown), ["send:27821234567"]);
    }
}
