//! Which runs, and since when.

use std::time::Duration;

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use durable::{RunFilter, Status, hours};
use jiff::{SignedDuration, Timestamp};

use super::{STATUSES, status};

/// Which runs.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which runs")]
pub(crate) struct Matching {
    /// Only of this workflow; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Vec<String>,

    /// Only with this status; may be given several times.
    #[arg(long, value_parser = PossibleValuesParser::new(STATUSES.map(Status::as_str)).try_map(|name| status(&name).ok_or("no such status")))]
    pub(crate) status: Vec<Status>,

    /// Only those accepted since: so long ago (90m, 2h, 3d), or a time such as 2026-03-01T12:00:00Z.
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub(crate) since: Option<When>,

    /// Only those accepted before.
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub(crate) until: Option<When>,

    /// Only those started by the event with this id.
    #[arg(long, value_name = "ID")]
    pub(crate) event: Option<String>,

    /// Only those started by an event of this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) event_name: Option<String>,

    /// Only those with this flow-control key, such as build-agent:sharepoint.
    #[arg(long)]
    pub(crate) key: Option<String>,

    /// Only those whose id begins with this, or whose event's id or flow-control key it is, whole. What stands in data or
    /// errors is not looked at.
    #[arg(long)]
    pub(crate) text: Option<String>,
}

impl Matching {
    /// The filter, as of `now`.
    pub(crate) fn filter(self, now: Timestamp) -> RunFilter {
        RunFilter {
            workflows: self.workflow,
            statuses: self.status,
            from: self.since.map(|when| when.from(now)),
            before: self.until.map(|when| when.from(now)),
            event_id: self.event,
            event_name: self.event_name,
            key: self.key,
            text: self.text,
        }
    }
}

/// A time, or how long ago.
#[derive(Debug, Clone)]
pub(crate) enum When {
    At(Timestamp),
    Ago(Duration),
}

impl When {
    /// The time, as of `now`.
    pub(crate) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(time) => now.checked_sub(time).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }
}

/// Reads a time, or how long ago.
pub(crate) fn when(text: &str) -> Result<When, String> {
    if let Ok(time) = text.parse() {
        return Ok(When::At(time));
    }
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()).map(|days| hours(24) * days);
    let time = || text.parse::<SignedDuration>().ok().and_then(|time| time.try_into().ok());
    days.or_else(time).filter(|time: &Duration| !time.is_zero()).map(When::Ago).ok_or_else(|| {
        "expected how long ago (90m, 2h, 3d), or a time such as 2026-03-01T12:00:00Z".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_given_as_such_or_by_how_long_ago_it_was() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        let read = |text: &str| when(text).unwrap().from(now).to_string();
        assert_eq!(read("90m"), "2026-03-10T10:30:00Z");
        assert_eq!(read("3d"), "2026-03-07T12:00:00Z");
        assert_eq!(read("2026-03-01T12:00:00Z"), "2026-03-01T12:00:00Z");
        for wrong in ["", "soon", "-2h", "12"] {
            assert!(when(wrong).unwrap_err().starts_with("expected how long ago"), "{wrong}");
        }
    }
}
