//! What an address asks for.

use std::time::Duration;

use axum::{extract::FromRequestParts, http::request::Parts};
use durable::{AuditFilter, Cursor, EventFilter, LARGEST_PAGE, PageRequest, RunFilter};
use jiff::Timestamp;

use crate::{
    problem::{Problem, Result},
    views::RunStatus,
};

/// How many entries a page has when nobody says how many.
const PAGE: usize = 50;

/// The parameters of an address, in their order. Empty ones count as not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Ok(Self::of(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    pub(crate) fn of(query: &str) -> Self {
        let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned();
        Self(pairs.filter(|(_, value)| !value.trim().is_empty()).collect())
    }

    /// The value of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.trim())
    }

    /// All values of a parameter that may be repeated, or hold several with commas between.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let given = self.0.iter().filter(|(given, _)| given == name);
        given
            .flat_map(|(_, value)| value.split(','))
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// The address's parameters with these ones changed; an empty value takes one out.
    pub(crate) fn with(&self, changes: &[(&str, &str)]) -> String {
        let kept = self.0.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(kept);
        query.extend_pairs(changes.iter().filter(|(_, value)| !value.is_empty()));
        query.finish()
    }

    fn own(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    fn time(&self, name: &str) -> Result<Option<Timestamp>> {
        let wrong = || Problem::parameter(name, "a time such as 2026-03-01T12:00:00Z");
        self.text(name).map(|text| text.parse().map_err(|_| wrong())).transpose()
    }

    /// The earliest time: `from`, or so long before `now` as `since` says.
    fn from(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let Some(since) = self.text("since") else { return self.time("from") };
        let wrong =
            || Problem::parameter("since", "a number of minutes, hours or days such as 30m, 24h or 7d");
        let ago = span(since).ok_or_else(wrong)?;
        Ok(Some(now.checked_sub(ago).unwrap_or(Timestamp::MIN)))
    }

    /// Over how many hours.
    pub(crate) fn hours(&self) -> Result<u64> {
        let Some(text) = self.text("hours") else { return Ok(24) };
        let hours = text.parse().ok().filter(|hours| (1..=168).contains(hours));
        hours.ok_or_else(|| Problem::parameter("hours", "a number from 1 to 168"))
    }

    /// Which page of a list.
    pub(crate) fn page(&self) -> Result<PageRequest> {
        let limit = match self.text("limit") {
            None => PAGE,
            Some(text) => {
                text.parse().ok().filter(|limit| (1..=LARGEST_PAGE).contains(limit)).ok_or_else(|| {
                    Problem::parameter("limit", format!("a number from 1 to {LARGEST_PAGE}"))
                })?
            }
        };
        let after = self.text("cursor").map(Cursor::from_text);
        if let Some(cursor) = &after {
            cursor.parts().map_err(|_| Problem::parameter("cursor", "the `next` of an earlier page"))?;
        }
        Ok(PageRequest { limit, after })
    }

    /// The statuses that are asked for.
    pub(crate) fn statuses(&self) -> Result<Vec<RunStatus>> {
        let read = |name: &str| {
            let known = RunStatus::ALL.into_iter().find(|status| status.as_str() == name);
            known.ok_or_else(|| {
                Problem::parameter("status", "queued, running, waiting, completed, failed or cancelled")
            })
        };
        self.all("status").into_iter().map(read).collect()
    }

    /// Which runs.
    pub(crate) fn runs(&self, now: Timestamp) -> Result<RunFilter> {
        Ok(RunFilter {
            workflows: self.all("workflow").into_iter().map(str::to_owned).collect(),
            statuses: self.statuses()?.into_iter().map(RunStatus::engine).collect(),
            from: self.from(now)?,
            before: self.time("before")?,
            event_id: self.own("event_id"),
            event_name: self.own("event"),
            key: self.own("key"),
            text: self.own("q"),
        })
    }

    /// Which events.
    pub(crate) fn events(&self, now: Timestamp) -> Result<EventFilter> {
        Ok(EventFilter { name: self.own("name"), from: self.from(now)?, before: self.time("before")? })
    }

    /// Which lines of the audit trail.
    pub(crate) fn audit(&self, now: Timestamp) -> Result<AuditFilter> {
        Ok(AuditFilter { target: self.own("target"), from: self.from(now)?, before: self.time("before")? })
    }

    /// Whether anything narrows the list.
    pub(crate) fn narrows(&self) -> bool {
        self.0.iter().any(|(name, _)| !matches!(name.as_str(), "cursor" | "limit" | "notice"))
    }
}

/// `30m`, `24h`, `7d`.
fn span(text: &str) -> Option<Duration> {
    let unit = match text.chars().next_back()? {
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u32 = text.get(..text.len() - 1)?.parse().ok()?;
    Some(Duration::from_secs(u64::from(number) * unit))
}

#[cfg(test)]
mod tests {
    use durable::Status;

    use super::*;

    #[test]
    fn a_filter_is_read_from_the_address() {
        let now: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
        let query =
            Query::of("status=failed&status=running,waiting&workflow=&q=+dr1733758&since=24h&key=a%3Ab");
        let filter = query.runs(now).unwrap();
        assert_eq!(filter.statuses, [Status::Failed, Status::Running, Status::Waiting]);
        assert_eq!((filter.workflows.len(), filter.text.as_deref()), (0, Some("dr1733758")));
        assert_eq!(filter.from, Some("2026-03-01T00:00:00Z".parse().unwrap()));
        assert_eq!(filter.key.as_deref(), Some("a:b"));
        assert!(query.narrows() && !Query::of("cursor=0-61&status=").narrows());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, field) in [
            ("status=lost", "status"),
            ("since=soon", "since"),
            ("since=d", "since"),
            ("since=9999999999d", "since"),
            ("before=yesterday", "before"),
            ("from=x", "from"),
        ] {
            assert_eq!(Query::of(query).runs(Timestamp::MAX).unwrap_err().field(), Some(field), "{query}");
        }
        for (query, field) in [("limit=0", "limit"), ("limit=1001", "limit"), ("cursor=abc", "cursor")] {
            assert_eq!(Query::of(query).page().unwrap_err().field(), Some(field), "{query}");
        }
        assert!(Query::of("since=4000000d").runs(Timestamp::UNIX_EPOCH).is_ok());
    }

    #[test]
    fn an_address_is_changed_in_part() {
        let query = Query::of("status=failed&q=a%26b&cursor=1");
        assert_eq!(query.with(&[("cursor", "2-61")]), "status=failed&q=a%26b&cursor=2-61");
        assert_eq!(query.with(&[("cursor", ""), ("status", "")]), "q=a%26b");
    }
}
