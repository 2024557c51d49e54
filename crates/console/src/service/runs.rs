//! Runs: listed, shown, ended, run again.

use durable::{Bulk, BulkAction, PageRequest, Rerun, RunFilter, RunId, StepId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    console::Console,
    problem::{Problem, Result},
    query::Query,
    views::{Paged, RunDetail, RunItem, RunStatus},
};

/// How a run is to be run again.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RerunOrder {
    /// The first step that is made again, `name` or `name#n`: the results of those before it are taken over. Without it
    /// every step is made again.
    #[schema(example = "store-result")]
    pub(crate) from: Option<String>,
    /// What that step is to have returned: then it is not made again either. Fields that are shown masked may stay so.
    pub(crate) output: Option<Value>,
    /// A text of one's own choice: the same request made again is the same rerun.
    pub(crate) request: Option<String>,
}

/// What is to be done to many runs.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkOrder {
    /// `cancel` or `rerun`.
    #[schema(value_type = BulkActionName)]
    pub(crate) action: BulkAction,
    /// Only of these workflows; empty for all.
    #[serde(default)]
    pub(crate) workflows: Vec<String>,
    /// Only with these statuses. Without any: those that have not ended are cancelled, those that failed or were cancelled
    /// are run again.
    #[serde(default)]
    pub(crate) statuses: Vec<RunStatus>,
    /// Only those created at this time or later.
    #[serde(default)]
    pub(crate) from: Option<Timestamp>,
    /// Only those created before this time.
    #[serde(default)]
    pub(crate) before: Option<Timestamp>,
    /// Only those started by an event of this name.
    #[serde(default)]
    pub(crate) event: Option<String>,
    /// Only those started by the event with this id, reruns included.
    #[serde(default)]
    pub(crate) event_id: Option<String>,
    /// Only those with this flow-control key.
    #[serde(default)]
    pub(crate) key: Option<String>,
    /// Only say which runs it would be done to. It is done only when this is false.
    #[serde(default = "yes")]
    pub(crate) dry_run: bool,
    /// To at most so many at once, from 1 to 200.
    #[serde(default = "hundred")]
    #[schema(minimum = 1, maximum = 200)]
    pub(crate) limit: usize,
    /// The `next` of the answer before, to go on.
    #[serde(default)]
    pub(crate) cursor: Option<String>,
    /// A text of one's own choice: the same request made again makes no second rerun of a run.
    #[serde(default)]
    pub(crate) request: Option<String>,
}

/// What is done to many runs.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "names the engine's values in the description of the API")]
pub(crate) enum BulkActionName {
    Cancel,
    Rerun,
}

fn yes() -> bool {
    true
}

fn hundred() -> usize {
    100
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct BulkOutcome {
    /// Whether nothing was done yet.
    pub(crate) dry_run: bool,
    /// The runs it was, or would be, done to.
    pub(crate) runs: Vec<String>,
    /// Those to which it could not be done.
    pub(crate) failed: Vec<BulkFailureItem>,
    /// The `cursor` with which to go on, when there may be more.
    pub(crate) next: Option<String>,
}

/// A run to which it could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct BulkFailureItem {
    /// Which.
    pub(crate) run_id: String,
    /// Why.
    pub(crate) reason: String,
}

impl Console {
    /// Runs, the newest first.
    pub(crate) async fn runs(&self, query: &Query) -> Result<Paged<RunItem>> {
        let now = self.now();
        let (filter, page) = (self.filter(query).await?, query.page()?);
        let page = self.desk().history.runs(&filter, &page).await?;
        Ok(Paged::of(page, |run| RunItem::of_run(&run, now)))
    }

    /// Which runs an address asks for, with the key that is shown as it says.
    async fn filter(&self, query: &Query) -> Result<RunFilter> {
        let mut filter = query.runs(self.now())?;
        if let Some(key) = filter.key.take() {
            filter.key = self.keys_shown_as(&key).await?.into_iter().next().or(Some(key));
        }
        Ok(filter)
    }

    /// A run with all that is known of it.
    pub(crate) async fn run(&self, id: &str) -> Result<RunDetail> {
        let view = self.desk().run(&RunId::from_text(id)).await?;
        let view = view.ok_or_else(|| Problem::missing("run", id))?;
        Ok(RunDetail::of(view, self.masked(), self.now()))
    }

    /// What a step of a run returned, or with no step what the run did: however large, sensitive fields masked.
    pub(crate) async fn output(&self, id: &str, step: Option<&str>) -> Result<Value> {
        Ok(self.masked().value(&self.unmasked_output(id, step).await?))
    }

    async fn unmasked_output(&self, id: &str, step: Option<&str>) -> Result<Value> {
        let run = RunId::from_text(id);
        let (output, what) = match step {
            Some(step) => (self.desk().step_output(&run, &step_id(step)).await?, "output of step"),
            None => (self.desk().output(&run).await?, "output of run"),
        };
        let output = output.ok_or_else(|| Problem::missing(what, step.unwrap_or(id)))?;
        serde_json::from_str(&output).map_err(|error| durable::Error::from(error).into())
    }

    /// Ends a run.
    pub(crate) async fn cancel(&self, who: &str, id: &str) -> Result<RunItem> {
        let run = self.desk().cancel(who, &RunId::from_text(id)).await?;
        Ok(RunItem::of_run(&run, self.now()))
    }

    /// Runs a run again; the new run's id.
    pub(crate) async fn rerun(&self, who: &str, id: &str, order: RerunOrder) -> Result<String> {
        let output = match (order.output, &order.from) {
            (Some(output), Some(step)) => {
                let original = self.unmasked_output(id, Some(step)).await.unwrap_or_default();
                Some(self.masked().restore(output, &original))
            }
            (output, _) => output,
        };
        let request = order.request.unwrap_or_else(|| self.fresh());
        let rerun = Rerun { from: order.from.as_deref().map(step_id), output, request };
        let run = self.desk().rerun(who, &RunId::from_text(id), &rerun).await?;
        Ok(run.as_str().to_owned())
    }

    /// Does the same to many runs, or says to which it would be done.
    pub(crate) async fn bulk(&self, who: &str, order: BulkOrder) -> Result<BulkOutcome> {
        if !(1..=200).contains(&order.limit) {
            return Err(Problem::body("limit: expected a number from 1 to 200", "limit"));
        }
        let filter = RunFilter {
            workflows: order.workflows,
            statuses: order.statuses.into_iter().map(RunStatus::engine).collect(),
            from: order.from,
            before: order.before,
            event_name: order.event,
            event_id: order.event_id,
            key: order.key,
            ..RunFilter::default()
        };
        let after = order.cursor.map(durable::Cursor::from_text);
        if after.as_ref().is_some_and(|cursor| cursor.parts().is_err()) {
            return Err(Problem::body("cursor: expected the `next` of an earlier answer", "cursor"));
        }
        let page = PageRequest { limit: order.limit, after };
        let request = order.request.unwrap_or_else(|| self.fresh());
        let bulk = Bulk { action: order.action, filter, dry_run: order.dry_run, page, request };
        self.act(who, &bulk).await
    }

    /// Does the same to the runs of a page of a list.
    pub(crate) async fn bulk_of(
        &self,
        who: &str,
        action: BulkAction,
        query: &Query,
        request: String,
    ) -> Result<BulkOutcome> {
        let (filter, page) = (self.filter(query).await?, query.page()?);
        self.act(who, &Bulk { action, filter, dry_run: false, page, request }).await
    }

    async fn act(&self, who: &str, bulk: &Bulk) -> Result<BulkOutcome> {
        let done = self.desk().bulk(who, bulk).await?;
        let failure = |failure: durable::BulkFailure| BulkFailureItem {
            run_id: failure.run_id.as_str().to_owned(),
            reason: failure.reason,
        };
        Ok(BulkOutcome {
            dry_run: bulk.dry_run,
            runs: done.runs.iter().map(|run| run.as_str().to_owned()).collect(),
            failed: done.failed.into_iter().map(failure).collect(),
            next: done.next.map(|next| next.as_str().to_owned()),
        })
    }
}

/// `name` or `name#n`, as steps are shown.
pub(super) fn step_id(text: &str) -> StepId {
    let numbered = text.rsplit_once('#').and_then(|(name, nth)| Some((name, nth.parse().ok()?)));
    let (name, nth) = numbered.filter(|(_, nth)| *nth > 1).unwrap_or((text, 1));
    StepId { name: name.to_owned(), nth }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_read_as_it_is_shown() {
        for (name, nth) in [("build", 1), ("build", 2), ("a#b", 1), ("a#b", 3), ("a#1", 1)] {
            let step = StepId { name: name.into(), nth };
            assert_eq!(step_id(&step.to_string()), step);
        }
    }
}
