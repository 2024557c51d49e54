//! Times, durations and sizes as people read them.

use std::time::Duration;

use durable::until;
use jiff::Timestamp;

/// `7 ms`, `1.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`.
pub fn duration(duration: Duration) -> String {
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
pub fn when(time: Timestamp, now: Timestamp) -> String {
    if time > now {
        format!("in {}", rough(until(now, time)))
    } else {
        format!("{} ago", rough(until(time, now)))
    }
}

fn rough(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86400),
    }
}

/// `2026-03-01 12:00:00.250 UTC`; without the fraction when there is none.
pub fn utc(time: Timestamp) -> String {
    let seconds = time.strftime("%Y-%m-%d %H:%M:%S");
    match time.subsec_millisecond() {
        0 => format!("{seconds} UTC"),
        milliseconds => format!("{seconds}.{milliseconds:03} UTC"),
    }
}

/// `512 bytes`, `1.5 KB`, `12 MB`: powers of 1000.
pub fn bytes(bytes: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    let scaled = |unit: f64, name: &str| match bytes as f64 / unit {
        small if small < 9.95 => format!("{small:.1} {name}"),
        large => format!("{large:.0} {name}"),
    };
    match bytes {
        1 => "1 byte".to_owned(),
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => scaled(1e3, "KB"),
        _ => scaled(1e6, "MB"),
    }
}

/// `1 234 567`: groups of three, set apart by a thin space that does not break.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// The first line of a text, of at most so many characters.
pub fn short(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= most && line.len() == text.len() {
        return line.to_owned();
    }
    let kept: String = line.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
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
    fn times_are_relative_or_exact() {
        let at = |ms: i64| Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap();
        assert_eq!([when(at(0), at(59_000)), when(at(7_200_000), at(0))], ["59 s ago", "in 2 h"]);
        assert_eq!([utc(at(0)), utc(at(7))], ["2027-01-15 08:00:00 UTC", "2027-01-15 08:00:00.007 UTC"]);
    }

    #[test]
    fn sizes_and_counts_have_few_digits() {
        let sizes = [0, 1, 999, 1_540, 12_400, 1_000_000, 64_300_000].map(bytes);
        assert_eq!(sizes, ["0 bytes", "1 byte", "999 bytes", "1.5 KB", "12 KB", "1.0 MB", "64 MB"]);
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(count),
            ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]
        );
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!([short("abc", 3), short("abcd", 3), short("a\nb", 3)], ["abc", "ab…", "a…"]);
    }
}
