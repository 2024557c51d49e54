//! The hours in which nobody is sent anything.

use std::{fmt, str::FromStr, time::Duration};

use durable::{Error, after};
use jiff::Timestamp;

/// South Africa's time: UTC+2, all year.
const SAST_MS: i64 = 2 * 3600 * 1000;

const MINUTE_MS: i64 = 60 * 1000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A part of each day, in South African time, that may go over midnight: `20:00-06:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// When it begins, in milliseconds since midnight.
    from: i64,
    /// When it is over.
    to: i64,
}

impl QuietHours {
    /// When they are over, if `now` lies within them. Their first moment does, their last does not.
    pub fn end(&self, now: Timestamp) -> Option<Timestamp> {
        let of_day = (now.as_millisecond() + SAST_MS).rem_euclid(DAY_MS);
        let since = (of_day - self.from).rem_euclid(DAY_MS);
        let length = (self.to - self.from).rem_euclid(DAY_MS);
        let left = u64::try_from(length - since).ok().filter(|left| *left > 0)?;
        // Whole milliseconds count: what is finer than one is of the millisecond that has begun.
        let now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        Some(after(now, Duration::from_millis(left)))
    }
}

impl FromStr for QuietHours {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let time = |text: &str| {
            let (hours, minutes) = text.trim().split_once(':')?;
            let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
            (hours < 24 && minutes < 60).then(|| (i64::from(hours) * 60 + i64::from(minutes)) * MINUTE_MS)
        };
        text.split_once('-')
            .and_then(|(from, to)| Some(Self { from: time(from)?, to: time(to)? }))
            .filter(|hours| hours.from != hours.to)
            .ok_or_else(|| Error::fatal("expected two times of the day in South Africa, such as 20:00-06:00"))
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |ms: i64| format!("{:02}:{:02}", ms / MINUTE_MS / 60, ms / MINUTE_MS % 60);
        write!(f, "{}-{}", time(self.from), time(self.to))
    }
}

#[cfg(test)]
mod tests {
    use durable::{hours, until};
    use jiff::tz::Offset;
    use proptest::prelude::*;

    use super::*;

    fn night() -> QuietHours {
        "20:00-06:00".parse().unwrap()
    }

    #[test]
    fn the_night_begins_and_ends_to_the_millisecond() {
        let end = |text: &str| night().end(text.parse().unwrap()).map(|end| end.to_string());
        let morning = Some("2026-03-02T04:00:00Z".to_owned());
        assert_eq!(end("2026-03-01T19:59:59.999+02:00"), None);
        assert_eq!(end("2026-03-01T20:00:00+02:00"), morning);
        assert_eq!(end("2026-03-01T23:59:59.999+02:00"), morning);
        assert_eq!(end("2026-03-02T00:00:00+02:00"), morning, "the day changes in South Africa");
        assert_eq!(end("2026-03-02T00:00:00Z"), morning, "and two hours later in UTC");
        assert_eq!(end("2026-03-02T05:59:59.999+02:00"), morning);
        assert_eq!(end("2026-03-02T06:00:00+02:00"), None);
    }

    #[test]
    fn hours_are_read_and_written() {
        assert_eq!(night().to_string().parse(), Ok(night()));
        for text in ["", "20:00", "20:00-20:00", "24:00-06:00", "20:60-06:00", "8pm-6am", "20:00-06:00-07:00"]
        {
            assert!(text.parse::<QuietHours>().is_err(), "{text}");
        }
    }

    fn clock(minute: u32) -> String {
        format!("{:02}:{:02}", minute / 60, minute % 60)
    }

    proptest! {
        /// At any time, of any year, with any hours: they end at their end by a South African clock, and within a day; and
        /// whether they hold agrees with the calendar's account of the time of day.
        #[test]
        fn quiet_hours_are_south_african_time_of_day(
            ms in 0_i64..4_102_444_800_000,
            from in 0_u32..1440,
            length in 1_u32..1440,
        ) {
            let to = (from + length) % 1440;
            let quiet: QuietHours = format!("{}-{}", clock(from), clock(to)).parse().unwrap();
            let now = Timestamp::from_millisecond(ms).unwrap();
            let sast = Offset::constant(2);
            let local = sast.to_datetime(now).time();
            let minute = u32::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap();
            let within = (minute + 1440 - from) % 1440 < length;
            let end = quiet.end(now);
            prop_assert_eq!(end.is_some(), within);
            if let Some(end) = end {
                prop_assert!(end > now && until(now, end) < hours(24));
                let morning = sast.to_datetime(end).time();
                prop_assert_eq!(format!("{:02}:{:02}", morning.hour(), morning.minute()), clock(to));
                prop_assert_eq!((morning.second(), morning.subsec_nanosecond()), (0, 0));
                prop_assert_eq!(quiet.end(end), None, "their end is no longer theirs");
            }
        }
    }
}
