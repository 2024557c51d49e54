//! Times, durations and values as people read them. Numbers that may be phones are masked.

use std::time::Duration;

use durable::{WaitingFor, until};
use fibreflow::phone;
use jiff::Timestamp;

/// `7 ms`, `1.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {part}"),
    };
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86400 => two(seconds / 3600, "h", seconds / 60 % 60, "min"),
        _ => two(seconds / 86400, "d", seconds / 3600 % 24, "h"),
    }
}

/// `5 min ago`, `in 2 h`.
pub(crate) fn when(time: Timestamp, now: Timestamp) -> String {
    if time > now {
        format!("in {}", rough(until(now, time)))
    } else {
        format!("{} ago", rough(until(time, now)))
    }
}

/// The time of day, in UTC: `12:00:01.250`.
pub(crate) fn clock(time: Timestamp) -> String {
    time.strftime("%H:%M:%S%.3f").to_string()
}

fn rough(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86400),
    }
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
        WaitingFor::Slot { key, position } => format!("a slot of {key}, place {position} in line"),
        WaitingFor::Throttle { key, until } => format!("the throttle of {key}, {} left", left(until)),
        WaitingFor::Paused => "the end of its workflow's pause".to_owned(),
        WaitingFor::Handover => "a fresh invocation".to_owned(),
    };
    masked(&text)
}

/// The first line of a text, of at most so many characters.
pub(crate) fn short(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= most && line.len() == text.len() {
        return line.to_owned();
    }
    let kept: String = line.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// The fewest digits that are taken for a phone number.
const PHONE_DIGITS: usize = 9;

/// The text with every number masked that may be a phone's.
pub(crate) fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let number = number_at(rest);
        let length = number.len().max(first.len_utf8());
        let (part, tail) = rest.split_at(length);
        let stands_alone = !before.is_alphanumeric() && !tail.starts_with(char::is_alphanumeric);
        let digits = part.bytes().filter(u8::is_ascii_digit).count();
        if stands_alone && digits >= PHONE_DIGITS {
            masked.push_str(&phone::masked(part));
        } else {
            masked.push_str(part);
        }
        before = part.chars().next_back().unwrap_or(' ');
        rest = tail;
    }
    masked
}

/// The number a text begins with: digits, and between the digits of what is written like a phone's (`+27 82 …`, `082-…`) a
/// blank or a hyphen.
fn number_at(text: &str) -> &str {
    let spaced = text.starts_with(['+', '0']);
    let mut end = 0;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => end = index + 1,
            b'+' if index == 0 => {}
            b' ' | b'-' if spaced && end == index => {}
            _ => break,
        }
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_at_most_two_units() {
        let text = |seconds| duration(Duration::from_secs_f64(seconds));
        let texts = [0.44, 1.44, 12.9, 60.0, 200.0, 7500.0, 356_400.0].map(text);
        assert_eq!(texts, ["440 ms", "1.4 s", "12 s", "1 min", "3 min 20 s", "2 h 5 min", "4 d 3 h"]);
    }

    #[test]
    fn times_are_relative() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        assert_eq!([when(at(0), at(59)), when(at(7200), at(0))], ["59 s ago", "in 2 h"]);
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!([short("abc", 3), short("abcd", 3), short("a\nb", 3)], ["abc", "ab…", "a…"]);
    }

    #[test]
    fn phone_numbers_are_masked_however_they_are_written() {
        for (text, expected) in [
            ("send-whatsapp:27821234567@s.whatsapp.net", "send-whatsapp:278••••4567@s.whatsapp.net"),
            (r#"{"phone":"+27821234567"}"#, r#"{"phone":"+27•••••4567"}"#),
            ("to 082 123 4567.", "to 082•••••4567."),
            ("DR1733758 at 2026-03-01T12:00:00Z", "DR1733758 at 2026-03-01T12:00:00Z"),
            ("127.0.0.1:8288", "127.0.0.1:8288"),
            ("run 3f2a91c0d3123456789012", "run 3f2a91c0d3123456789012"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }
}
