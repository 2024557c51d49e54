//! What Convex can hold exactly. It knows no decimals and no whole numbers beyond a double's; its objects take plain names.

use serde_json::{Number, Value};

/// The largest whole number up to which a double holds each one: 2⁵³ − 1.
pub const LARGEST_WHOLE: i64 = (1 << 53) - 1;

/// How deep values may lie in each other, how many entries an array and how many fields an object may have.
const DEPTH: usize = 60;
const ENTRIES: usize = 8192;
const FIELDS: usize = 1024;

/// A whole number, if a double holds it and its neighbours.
pub fn whole(number: i64) -> Result<Value, String> {
    if (-LARGEST_WHOLE..=LARGEST_WHOLE).contains(&number) {
        return Ok(Value::from(number));
    }
    Err("a whole number beyond 2^53 - 1".to_owned())
}

/// A double; there are no JSON numbers for infinities and what is no number.
pub fn double(number: f64) -> Result<Value, String> {
    Number::from_f64(number).map(Value::Number).ok_or_else(|| format!("{number} is no finite number"))
}

/// A decimal as a number, if it is what a double that is written in the shortest way shows.
pub fn decimal(text: &str) -> Result<Value, String> {
    let number: f64 = text.parse().map_err(|_| "no number".to_owned())?;
    if !number.is_finite() || digits(text) != digits(&number.to_string()) {
        return Err("a number with more digits than a double holds".to_owned());
    }
    // A whole one stays one, so that it looks the same as where a column is of whole numbers.
    if number.fract() == 0.0
        && let Ok(number) = format!("{number:.0}").parse::<i64>()
        && let Ok(number) = whole(number)
    {
        return Ok(number);
    }
    double(number)
}

/// A decimal's sign, its digits without those that say nothing, and its exponent.
fn digits(text: &str) -> (bool, String, i64) {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0').trim_end_matches('0').to_owned();
    if significant.is_empty() {
        return (false, significant, 0);
    }
    let dropped = i64::try_from(all.len() - all.trim_end_matches('0').len()).unwrap_or(i64::MAX);
    let fraction = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    (negative, significant, exponent.parse::<i64>().unwrap_or(i64::MAX).saturating_add(dropped - fraction))
}

/// A JSON text as a value.
pub fn json(text: &str) -> Result<Value, String> {
    numbers(text).try_for_each(|number| decimal(number).map(drop))?;
    let value = serde_json::from_str(text).map_err(|error| format!("JSON: {error}"))?;
    check(&value, 0)?;
    Ok(value)
}

/// The numbers in a JSON text, as they are written.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let (mut in_text, mut escaped) = (false, false);
    let outside = move |c: char| {
        let was_in_text = in_text;
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ => {}
        }
        // Whatever is within a text ends a number, and so does each mark around one.
        was_in_text || !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')
    };
    text.split(outside).filter(|part| part.starts_with(|c: char| c == '-' || c.is_ascii_digit()))
}

fn check(value: &Value, depth: usize) -> Result<(), String> {
    match value {
        _ if depth > DEPTH => Err(format!("JSON that is more than {DEPTH} levels deep")),
        Value::Array(entries) if entries.len() > ENTRIES => Err(format!("more than {ENTRIES} entries")),
        Value::Array(entries) => entries.iter().try_for_each(|entry| check(entry, depth + 1)),
        Value::Object(fields) if fields.len() > FIELDS => Err(format!("more than {FIELDS} fields")),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii() && !c.is_ascii_control());
            if !is_plain || name.starts_with(['$', '_']) {
                return Err("JSON with a field name that Convex does not take".to_owned());
            }
            check(value, depth + 1)
        }),
        _ => Ok(()),
    }
}

/// Checks an array that was put together here.
pub fn array(entries: Vec<Value>) -> Result<Value, String> {
    let array = Value::Array(entries);
    check(&array, 0)?;
    Ok(array)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_is_exact_or_refused() {
        for (text, number) in [
            ("0.10", json!(0.1)),
            ("-26.383731", json!(-26.383_731)),
            ("12.00", json!(12)),
            ("1e3", json!(1000)),
            ("-0", json!(0)),
            ("9007199254740991", json!(9_007_199_254_740_991_i64)),
        ] {
            assert_eq!(decimal(text).unwrap(), number, "{text}");
        }
        for text in ["0.1000000000000000000001", "9007199254740993", "1e400", "NaN", "Infinity"] {
            assert!(decimal(text).is_err(), "{text}");
        }
        assert_eq!(json("1.6677341186090325e196").unwrap(), json!(1.667_734_118_609_032_5e196));
        assert!(whole(LARGEST_WHOLE).is_ok() && whole(LARGEST_WHOLE + 1).is_err());
        assert!(double(f64::NAN).is_err());
    }

    #[test]
    fn json_is_taken_as_it_is_or_refused() {
        let kept = json!({"a": [1, 2.5, null, "0.1000000000000000000001", "\"7"], "b": {"c d": false}});
        assert_eq!(json(&kept.to_string()).unwrap(), kept);
        for refused in [
            r#"{"_a": 1}"#,
            r#"{"$a": 1}"#,
            r#"{"naïve": 1}"#,
            r#"{"": 1}"#,
            r#"{"a": [0.1000000000000000000001]}"#,
            r#"["\\", 12345678901234567890]"#,
        ] {
            assert!(json(refused).is_err(), "{refused}");
        }
        assert!(json(&format!("{}{}", "[".repeat(70), "]".repeat(70))).is_err());
    }

    proptest! {
        #[test]
        fn every_double_is_exact_as_it_is_written(number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
            // There is one zero in JSON.
            let bits = |number: f64| (number + 0.0).to_bits();
            let is_it = |value: Value| bits(value.as_f64().unwrap()) == bits(number);
            prop_assert!(is_it(decimal(&number.to_string()).unwrap()));
            let written = format!("{number:e}");
            prop_assert!(is_it(decimal(&written).unwrap()));
            prop_assert!(is_it(json(&written).unwrap()));
        }
    }
}
