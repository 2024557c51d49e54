//! Whether a message may go out now, as a plain decision.

use std::time::Duration;

use durable::until;
use fibreflow::whatsapp::{Pairing, Rules, Setting};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Whether a message may go out now, and if not, what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "clearance", rename_all = "snake_case")]
pub(crate) enum Clearance {
    /// It may.
    Go,
    /// It is too old, and never will.
    Expired {
        /// How old it may be.
        limit: String,
    },
    /// Somebody has switched sending off.
    SwitchedOff {
        /// Why, as far as is known.
        why: String,
    },
    /// Nothing is sent at night.
    Night {
        /// When it is over.
        until: Timestamp,
    },
    /// The service cannot send.
    Unpaired {
        /// How it is.
        pairing: Pairing,
    },
}

/// What the rules say of a message that was queued at a time, whatever the service is like. Age comes first: what is too old
/// has nothing to wait for.
pub(crate) fn by_the_rules(rules: &Rules, switch: Setting, queued: Timestamp, now: Timestamp) -> Clearance {
    if let Some(limit) = rules.time_to_live.filter(|limit| until(queued, now) > *limit) {
        return Clearance::Expired { limit: words(limit) };
    }
    if let Setting::Off(why) = switch {
        return Clearance::SwitchedOff { why };
    }
    match rules.quiet_hours.and_then(|quiet| quiet.end(now)) {
        Some(until) => Clearance::Night { until },
        None => Clearance::Go,
    }
}

/// `24 h`, `90 min`, `45 s`.
fn words(span: Duration) -> String {
    match span.as_secs() {
        seconds if seconds > 0 && seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        seconds if seconds > 0 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn age_comes_before_the_switch_and_the_switch_before_the_night() {
        let (rules, off) = (Rules::default(), || Setting::Off("why".into()));
        let queued = at("2026-03-01T12:00:00+02:00");
        let say = |switch, now| by_the_rules(&rules, switch, queued, at(now));
        assert_eq!(say(Setting::On, "2026-03-01T12:00:00+02:00"), Clearance::Go);
        assert_eq!(say(Setting::On, "2026-03-02T12:00:00+02:00"), Clearance::Go, "to the last moment");
        let expired = Clearance::Expired { limit: "24 h".into() };
        assert_eq!(say(off(), "2026-03-02T12:00:00.001+02:00"), expired);
        assert_eq!(say(off(), "2026-03-01T23:00:00+02:00"), Clearance::SwitchedOff { why: "why".into() });
        let night = Clearance::Night { until: at("2026-03-02T06:00:00+02:00") };
        assert_eq!(say(Setting::On, "2026-03-01T23:00:00+02:00"), night);
    }

    #[test]
    fn a_span_is_said_in_its_unit() {
        let said = [3600, 86_400, 5400, 45].map(|seconds| words(Duration::from_secs(seconds)));
        assert_eq!(said, ["1 h", "24 h", "90 min", "45 s"]);
    }
}
