//! Cron schedules: which times they name.

use std::str::FromStr;

use croner::Cron;
use jiff::Timestamp;

use crate::{Error, Result};

/// A cron expression of five fields, in UTC.
#[derive(Debug, Clone)]
pub struct Schedule(Cron);

impl Schedule {
    /// Reads an expression.
    pub fn parse(expression: &str) -> Result<Self> {
        Cron::from_str(expression).map(Self).map_err(|error| {
            Error::fatal(format!("schedule: {expression}: {error}; expected five fields of cron"))
        })
    }

    /// The first time after this one.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let next = self.0.find_next_occurrence(&to_chrono(now)?, false).ok()?;
        Timestamp::from_millisecond(next.timestamp_millis()).ok()
    }

    /// The last time up to this one.
    pub fn latest(&self, now: Timestamp) -> Option<Timestamp> {
        let latest = self.0.find_previous_occurrence(&to_chrono(now)?, true).ok()?;
        Timestamp::from_millisecond(latest.timestamp_millis()).ok()
    }
}

/// The cron crate reckons in chrono's times.
fn to_chrono(time: Timestamp) -> Option<chrono::DateTime<chrono::Utc>> {
    chrono::DateTime::from_timestamp_millis(time.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_six_hours_in_utc() {
        let schedule = Schedule::parse("0 */6 * * *").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(schedule.latest(at("2026-03-01T11:59:59Z")), Some(at("2026-03-01T06:00:00Z")));
        assert_eq!(schedule.latest(at("2026-03-01T12:00:00Z")), Some(at("2026-03-01T12:00:00Z")));
        assert_eq!(schedule.next(at("2026-03-01T12:00:00Z")), Some(at("2026-03-01T18:00:00Z")));
    }

    #[test]
    fn what_is_no_schedule_is_named() {
        let error = Schedule::parse("soon").unwrap_err();
        assert!(error.message().starts_with("schedule: soon: "), "{error}");
    }
}
