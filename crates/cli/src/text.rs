//! Times and waits as people read them in a terminal; the rest is as the console shows it.

pub(crate) use console::{
    mask::text as masked,
    text::{duration, short, when},
};
use durable::{WaitingFor, until};
use jiff::Timestamp;

/// The time of day, in UTC: `12:00:01.250`.
pub(crate) fn clock(time: Timestamp) -> String {
    time.strftime("%H:%M:%S%.3f").to_string()
}

/// What a run waits for, and how long still.
pub(crate) fn waiting(wait: &WaitingFor, now: Timestamp) -> String {
    let left = |end: &Timestamp| duration(until(now, *end));
    let text = match wait {
        WaitingFor::Sleep { step, until } => format!("{step}, {} left", left(until)),
        WaitingFor::StepRetry { step, until, attempts, error } => {
            format!("{step} again in {}, attempt {attempts} failed: {error}", left(until))
        }
        WaitingFor::Retry { until, attempts, error } => {
            format!("the workflow again in {}, attempt {attempts} failed: {error}", left(until))
        }
        WaitingFor::Callback { step, until } => format!("an answer to {step}, {} left", left(until)),
        WaitingFor::Event { event, until, .. } => format!("the event {event}, {} left", left(until)),
        WaitingFor::Slot { key, position } => format!("a slot of {key}, place {position} in line"),
        WaitingFor::Throttle { key, until } => format!("the throttle of {key}, {} left", left(until)),
        WaitingFor::Paused => "the end of its workflow's pause".to_owned(),
        WaitingFor::Aside { key, until } => {
            format!("the throttle of {key}, out of line, {} left", left(until))
        }
        WaitingFor::Handover => "a fresh invocation".to_owned(),
    };
    masked(&text)
}

#[cfg(test)]
mod tests {
    use durable::{after, seconds};

    use super::*;

    #[test]
    fn a_wait_says_how_long_still_and_shows_no_phone() {
        let now = Timestamp::UNIX_EPOCH;
        let throttle =
            WaitingFor::Throttle { key: "send:27821234567".into(), until: after(now, seconds(90)) };
        assert_eq!(waiting(&throttle, now), "the throttle of send:278••••4567, 1 min 30 s left");
    }
}
