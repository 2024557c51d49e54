//! What may be sent when: limits, quiet hours, how old a message may be.

use std::time::Duration;

use durable::{Error, Result, Window, hours, minutes, seconds};

use super::QuietHours;

/// What may be sent when. [`Rules::default`] is what the company holds itself to since it was banned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// What the sending account is called in keys: accounts are counted apart.
    pub account: String,
    /// How many messages reach one chat.
    pub phone_limits: Vec<Window>,
    /// How many messages the account sends.
    pub account_limits: Vec<Window>,
    /// How long a group is not told of a drop again.
    pub cooldown: Option<Duration>,
    /// When nothing is sent.
    pub quiet_hours: Option<QuietHours>,
    /// How old a message may become before it is not sent any more.
    pub time_to_live: Option<Duration>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            account: "account".to_owned(),
            phone_limits: vec![Window { limit: 10, period: minutes(1) }],
            account_limits: vec![
                Window { limit: 2, period: minutes(1) },
                Window { limit: 20, period: hours(1) },
                Window { limit: 100, period: hours(24) },
            ],
            cooldown: Some(hours(1)),
            quiet_hours: "20:00-06:00".parse().ok(),
            time_to_live: Some(hours(24)),
        }
    }
}

impl Rules {
    /// The cooldown as a window.
    pub fn cooldown_window(&self) -> Vec<Window> {
        self.cooldown.map(|period| Window { limit: 1, period }).into_iter().collect()
    }
}

/// Reads limits: `2/1m, 20/1h, 100/1d`.
pub(crate) fn limits(text: &str) -> Result<Vec<Window>> {
    let window = |text: &str| {
        let (limit, period) = text.trim().split_once('/')?;
        let limit = limit.trim().parse().ok().filter(|limit| *limit > 0)?;
        Some(Window { limit, period: span(period).ok()? })
    };
    text.split(',').map(window).collect::<Option<Vec<_>>>().ok_or_else(|| {
        Error::fatal("expected how many messages in which time, such as 2/1m, 20/1h, 100/1d, or off")
    })
}

/// Reads a time span: `30s`, `5m`, `1h`, `2d`.
pub(crate) fn span(text: &str) -> Result<Duration> {
    let text = text.trim();
    let read = || {
        let unit = text.chars().last()?;
        let count: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        let unit = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 24 * 3600,
            _ => return None,
        };
        count.checked_mul(unit).filter(|span| *span > 0).map(seconds)
    };
    read().ok_or_else(|| Error::fatal("expected a time span such as 30s, 5m, 1h or 2d, or off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_said() {
        assert_eq!(limits("2/1m, 20/1h,100/1d").unwrap(), Rules::default().account_limits);
        for text in ["", "2", "2/1", "0/1m", "2/0m", "2/1m,", "two/1m", "2/1y"] {
            assert!(limits(text).is_err(), "{text}");
        }
        assert_eq!(span("90s").unwrap(), seconds(90));
        assert!(span("é").is_err() && span("").is_err());
    }
}
