//! What is not for every eye: values of fields that are named as sensitive, and numbers in texts that may be phones.

use serde_json::Value;

/// Fields whose values are masked unless somebody says otherwise.
const SENSITIVE: [&str; 10] = [
    "phone",
    "message",
    "token",
    "secret",
    "password",
    "authorization",
    "cookie",
    "api_key",
    "deploy_key",
    "email",
];

/// What stands for a value that is not shown.
const HIDDEN: &str = "••••";

/// Which fields of payloads are shown masked.
///
/// A field is sensitive when its name is one of these or ends with one: `phone` means `contractor_phone` and
/// `contractorPhone` as well, and neither `phone_model` nor `message_id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    fields: Vec<String>,
}

impl Default for Mask {
    /// Phones, messages, e-mail addresses and whatever is named like a secret.
    fn default() -> Self {
        Self::of(SENSITIVE)
    }
}

impl Mask {
    /// Masks these fields and no others.
    pub fn of<S: AsRef<str>>(fields: impl IntoIterator<Item = S>) -> Self {
        Self { fields: fields.into_iter().map(|field| snake(field.as_ref())).collect() }
    }

    /// Masks these fields as well.
    #[must_use]
    pub fn and<S: AsRef<str>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.fields.extend(fields.into_iter().map(|field| snake(field.as_ref())));
        self
    }

    /// The value as it is shown.
    pub fn value(&self, value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let shown = fields.iter().map(|(name, value)| {
                    let value = if self.hides(name) { hidden(value) } else { self.value(value) };
                    (name.clone(), value)
                });
                Value::Object(shown.collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(|item| self.value(item)).collect()),
            Value::String(string) => Value::String(text(string)),
            other => other.clone(),
        }
    }

    /// Undoes the mask where somebody edited a value as it was shown: what still reads as it was shown is what it was.
    pub fn restore(&self, edited: Value, original: &Value) -> Value {
        if edited == self.value(original) {
            return original.clone();
        }
        match (edited, original) {
            (Value::Object(edited), Value::Object(original)) => {
                let restored = edited.into_iter().map(|(name, value)| {
                    let value = match original.get(&name) {
                        Some(original) if self.hides(&name) && value == hidden(original) => original.clone(),
                        Some(original) if !self.hides(&name) => self.restore(value, original),
                        _ => value,
                    };
                    (name, value)
                });
                Value::Object(restored.collect())
            }
            (Value::Array(edited), Value::Array(original)) => {
                let none = Value::Null;
                let restored = edited
                    .into_iter()
                    .enumerate()
                    .map(|(index, value)| self.restore(value, original.get(index).unwrap_or(&none)));
                Value::Array(restored.collect())
            }
            (edited, _) => edited,
        }
    }

    fn hides(&self, name: &str) -> bool {
        let name = snake(name);
        self.fields.iter().any(|field| {
            name.strip_suffix(field.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
        })
    }
}

fn hidden(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        // The ends of a number tell who it is to somebody who knows, and to nobody else.
        Value::String(string) if digits(string) >= PHONE_DIGITS && digits(string) + 4 >= string.len() => {
            Value::String(ends(string))
        }
        _ => Value::String(HIDDEN.to_owned()),
    }
}

/// `accessToken` and `access-token` are `access_token`.
fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    let mut after_small = false;
    for character in name.chars() {
        if character.is_uppercase() && after_small {
            snake.push('_');
        }
        after_small = character.is_lowercase() || character.is_ascii_digit();
        match character {
            '-' | ' ' | '.' => snake.push('_'),
            _ => snake.extend(character.to_lowercase()),
        }
    }
    snake
}

/// The fewest digits that are taken for a phone number.
const PHONE_DIGITS: usize = 9;

fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// Keeps the first three and the last four characters: `+27•••••4567`.
fn ends(number: &str) -> String {
    let count = number.chars().count();
    let hide = |(index, character)| if index >= 3 && index + 4 < count { '•' } else { character };
    number.chars().enumerate().map(hide).collect()
}

/// The text with every number masked that may be a phone's.
pub fn text(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let number = number_at(rest);
        let length = number.len().max(first.len_utf8());
        let (part, tail) = rest.split_at(length);
        let stands_alone = !before.is_alphanumeric() && !tail.starts_with(char::is_alphanumeric);
        if stands_alone && digits(part) >= PHONE_DIGITS {
            masked.push_str(&ends(part));
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
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_known_by_its_name_or_the_end_of_it() {
        let mask = Mask::default();
        for name in ["phone", "contractor_phone", "contractorPhone", "Access-Token", "x.api_key", "PHONE"] {
            assert!(mask.hides(name), "{name}");
        }
        for name in ["phone_model", "message_id", "telephone", "tokens", ""] {
            assert!(!mask.hides(name), "{name}");
        }
        assert!(Mask::default().and(["drNumber"]).hides("dr_number"));
        assert!(!Mask::of(["drNumber"]).hides("phone"));
    }

    #[test]
    fn values_are_hidden_wherever_they_are() {
        let value = json!({
            "contractor_phone": "+27821234567", "message": {"text": "hello"}, "token": null, "id": 7,
            "rows": [{"secret": 12}, "call 082 123 4567"],
        });
        let shown = json!({
            "contractor_phone": "+27•••••4567", "message": "••••", "token": null, "id": 7,
            "rows": [{"secret": "••••"}, "call 082•••••4567"],
        });
        assert_eq!(Mask::default().value(&value), shown);
    }

    #[test]
    fn what_was_not_edited_is_what_it_was() {
        let mask = Mask::default();
        let original = json!({"phone": "+27821234567", "rows": [{"secret": "s", "n": 1}], "note": "x"});
        let mut edited = mask.value(&original);
        assert_eq!(mask.restore(edited.clone(), &original), original);
        edited["rows"][0]["n"] = json!(2);
        edited["note"] = json!("y");
        let expected = json!({"phone": "+27821234567", "rows": [{"secret": "s", "n": 2}], "note": "y"});
        assert_eq!(mask.restore(edited.clone(), &original), expected);
        edited["phone"] = json!("+27830000000");
        assert_eq!(mask.restore(edited, &original)["phone"], "+27830000000");
    }

    #[test]
    fn numbers_that_may_be_phones_are_masked_however_they_are_written() {
        for (given, expected) in [
            ("send-whatsapp:27821234567@s.whatsapp.net", "send-whatsapp:278••••4567@s.whatsapp.net"),
            (r#"{"phone":"+27821234567"}"#, r#"{"phone":"+27•••••4567"}"#),
            ("to 082 123 4567.", "to 082•••••4567."),
            ("127.0.0.1:8288", "127.0.0.1:8288"),
            ("DR1733758 at 2026-03-01T12:00:00Z", "DR1733758 at 2026-03-01T12:00:00Z"),
            ("run 3f2a91c0d3123456789012", "run 3f2a91c0d3123456789012"),
        ] {
            assert_eq!(text(given), expected);
        }
    }
}
