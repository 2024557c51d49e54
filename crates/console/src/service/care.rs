//! Dead letters, health, and the audit trail.

use durable::Redriven;

use crate::{
    console::Console,
    problem::Result,
    query::Query,
    views::{AuditItem, DeadLetterItem, HealthItem, Paged},
};

impl Console {
    /// Dead letters.
    pub(crate) async fn dead_letters(&self, query: &Query) -> Result<Paged<DeadLetterItem>> {
        let page = query.page()?;
        let letters = self.desk().dead_letters.dead_letters(query.text("workflow"), &page).await?;
        Ok(Paged::of(letters, DeadLetterItem::of))
    }

    /// Gives a dead letter another chance; the run that goes on where its own stood, if that had ended.
    pub(crate) async fn redrive(&self, who: &str, id: &str) -> Result<Option<String>> {
        Ok(match self.desk().redrive(who, id).await? {
            Redriven::Sent => None,
            Redriven::Rerun { run } => Some(run.as_str().to_owned()),
        })
    }

    /// Gives all of a workflow another chance; how many.
    pub(crate) async fn redrive_all(&self, who: &str, workflow: &str) -> Result<u64> {
        Ok(self.desk().redrive_all(who, workflow).await?)
    }

    /// Drops a dead letter.
    pub(crate) async fn discard(&self, who: &str, id: &str) -> Result<()> {
        Ok(self.desk().discard(who, id).await?)
    }

    /// How things stand.
    pub(crate) async fn health(&self) -> Result<HealthItem> {
        let now = self.now();
        Ok(HealthItem::of(self.desk().vitals.health(now).await?, now))
    }

    /// Lines of the audit trail, the newest first.
    pub(crate) async fn audit(&self, query: &Query) -> Result<Paged<AuditItem>> {
        let page = self.desk().history.audit(&query.audit(self.now())?, &query.page()?).await?;
        Ok(Paged::of(page, AuditItem::of))
    }
}
