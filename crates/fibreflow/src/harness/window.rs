//! When nothing is deployed.

use std::str::FromStr;

use durable::{Error, Result};
use jiff::{
    Timestamp, ToSpan,
    civil::{Time, Weekday},
    tz::{Offset, TimeZone},
};

/// Hours of some days of the week, in a time zone without daylight saving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    days: (Weekday, Weekday),
    from: Time,
    to: Time,
    zone: TimeZone,
}

const EXPECTED: &str = "expected days, hours and an offset, such as Mon-Fri 08:00-17:00 +02:00";

impl Closed {
    /// When it is open: now, or at the end of the hours that `now` lies in.
    pub fn opens(&self, now: Timestamp) -> Timestamp {
        let local = self.zone.to_datetime(now);
        let time = local.time();
        if !self.has(local.weekday()) || time < self.from || time >= self.to {
            return now;
        }
        let end = local.date().to_datetime(self.to);
        self.zone.to_timestamp(end).unwrap_or(now)
    }

    fn has(&self, day: Weekday) -> bool {
        let (first, last) = self.days;
        first.until(day) <= first.until(last)
    }
}

impl FromStr for Closed {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let read = || {
            let mut parts = text.split_whitespace();
            let (days, hours, offset) = (parts.next()?, parts.next()?, parts.next()?);
            let (first, last) = days.split_once('-').unwrap_or((days, days));
            let (from, to) = hours.split_once('-')?;
            let zone = TimeZone::fixed(offset_of(offset)?);
            let closed = Self {
                days: (day(first)?, day(last)?),
                from: from.parse().ok()?,
                to: to.parse().ok()?,
                zone,
            };
            (parts.next().is_none() && closed.from < closed.to).then_some(closed)
        };
        read().ok_or_else(|| Error::fatal(EXPECTED))
    }
}

fn day(name: &str) -> Option<Weekday> {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let place = days.iter().position(|day| *day == name.to_ascii_lowercase())?;
    Weekday::from_monday_zero_offset(i8::try_from(place).ok()?).ok()
}

fn offset_of(text: &str) -> Option<Offset> {
    let (sign, rest) = (if text.starts_with('-') { -1 } else { 1 }, text.strip_prefix(['+', '-'])?);
    let time: Time = rest.parse().ok()?;
    let span = (i64::from(time.hour()) * 60 + i64::from(time.minute())) * sign;
    Offset::UTC.checked_add(span.minutes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(closed: &str, now: &str) -> String {
        closed.parse::<Closed>().unwrap().opens(now.parse().unwrap()).to_string()
    }

    #[test]
    fn working_hours_are_waited_out_and_nothing_else_is() {
        let office = "Mon-Fri 08:00-17:00 +02:00";
        // 2026-01-05 is a Monday.
        assert_eq!(opens(office, "2026-01-05T05:59:59Z"), "2026-01-05T05:59:59Z");
        assert_eq!(opens(office, "2026-01-05T06:00:00Z"), "2026-01-05T15:00:00Z");
        assert_eq!(opens(office, "2026-01-09T14:59:59Z"), "2026-01-09T15:00:00Z");
        assert_eq!(opens(office, "2026-01-09T15:00:00Z"), "2026-01-09T15:00:00Z");
        assert_eq!(opens(office, "2026-01-10T10:00:00Z"), "2026-01-10T10:00:00Z");
        assert_eq!(opens("Sat-Mon 00:00-12:00 -05:30", "2026-01-04T06:00:00Z"), "2026-01-04T17:30:00Z");
        assert_eq!(opens("sun 10:00-11:00 +00:00", "2026-01-04T10:30:00Z"), "2026-01-04T11:00:00Z");
    }

    #[test]
    fn what_cannot_be_read_says_what_was_expected() {
        for text in [
            "",
            "Mon-Fri",
            "Mon-Fri 8-17 +02:00",
            "Mon-Fri 17:00-08:00 +02:00",
            "Foo 08:00-17:00 +02:00",
            "Mon 08:00-17:00 SAST",
            "Mon 08:00-17:00 +02:00 x",
        ] {
            assert_eq!(text.parse::<Closed>().unwrap_err().message(), EXPECTED, "{text}");
        }
    }
}
