//! PostgreSQL's values as Convex's, from their binary form: that depends on no setting of the session's.
//!
//! | PostgreSQL | Convex |
//! | --- | --- |
//! | `boolean` | boolean |
//! | `smallint`, `integer` | number |
//! | `bigint` | number up to 2⁵³ − 1, beyond that refused; as text with `"as": "text"` |
//! | `real`, `double precision` | number, as PostgreSQL prints it; infinities and NaN refused |
//! | `numeric` | text with all its digits; with `"as": "number"` a number, refused when a double is not exact |
//! | `text`, `varchar`, `char`, `name`, `citext`, enumerations | text |
//! | `uuid` | text, lower case |
//! | `timestamp` | `2026-01-06T07:30:00.123456`, without a zone |
//! | `timestamptz` | `2026-01-06T05:30:00.123456Z`, in UTC |
//! | `date`, `time` | `2026-01-06`, `07:30:00`; infinite ones and years beyond 1 to 9999 refused |
//! | `json`, `jsonb` | what it says, refused where Convex cannot hold it; with `"as": "text"` its text |
//! | arrays of these | array; refused with a NULL in it, or one that does not begin at 1 |
//! | domains | as what they are made of |
//! | NULL | nothing: the field is left out, unless the column has a default |
//!
//! All other types are an error of the table's configuration.

use std::error::Error as StdError;

use jiff::{SignedDuration, civil};
use serde_json::Value;
use tokio_postgres::types::{FromSql, Kind, Type};

use crate::mirror::{Form, exact};

/// A value as it came.
pub(super) struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl Raw<'_> {
    /// The value; `None` for NULL.
    pub(super) fn value(&self, ty: &Type, form: Form) -> Result<Option<Value>, String> {
        let Some(bytes) = self.0 else { return Ok(None) };
        // JSON has a null of its own, which no optional field takes either.
        value(ty, bytes, form).map(|value| Some(value).filter(|value| !value.is_null()))
    }
}

/// Whether there is something in Convex for the values of a type.
pub(super) fn is_supported(ty: &Type) -> bool {
    match ty.kind() {
        Kind::Array(element) => is_supported(element),
        _ => [
            Type::BOOL,
            Type::INT2,
            Type::INT4,
            Type::INT8,
            Type::FLOAT4,
            Type::FLOAT8,
            Type::NUMERIC,
            Type::TEXT,
            Type::VARCHAR,
            Type::BPCHAR,
            Type::NAME,
            Type::UUID,
            Type::TIMESTAMP,
            Type::TIMESTAMPTZ,
            Type::DATE,
            Type::TIME,
            Type::JSON,
            Type::JSONB,
        ]
        .contains(ty),
    }
}

fn value(ty: &Type, bytes: &[u8], form: Form) -> Result<Value, String> {
    if let Kind::Array(element) = ty.kind() {
        return array(element, bytes, form);
    }
    let mut rest = bytes;
    Ok(match *ty {
        Type::BOOL => Value::Bool(take::<1>(&mut rest)? != [0]),
        Type::INT2 => Value::from(i16::from_be_bytes(take(&mut rest)?)),
        Type::INT4 => Value::from(i32::from_be_bytes(take(&mut rest)?)),
        Type::INT8 => match (i64::from_be_bytes(take(&mut rest)?), form) {
            (number, Form::Text) => Value::from(number.to_string()),
            (number, _) => exact::whole(number)?,
        },
        // In between lies the shortest decimal: 0.1 is to be 0.1, not what its 32 bits are.
        Type::FLOAT4 => exact::decimal(&f32::from_be_bytes(take(&mut rest)?).to_string())?,
        Type::FLOAT8 => exact::double(f64::from_be_bytes(take(&mut rest)?))?,
        Type::NUMERIC => match (numeric(bytes)?, form) {
            (text, Form::Number) => exact::decimal(&text)?,
            (text, _) => Value::from(text),
        },
        Type::UUID => {
            let hex = hex::encode(take::<16>(&mut rest)?);
            let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            Value::from(parts.join("-"))
        }
        Type::TIMESTAMP => Value::from(timestamp(bytes)?.to_string()),
        Type::TIMESTAMPTZ => Value::from(format!("{}Z", timestamp(bytes)?)),
        Type::DATE => {
            let days = i64::from(i32::from_be_bytes(take(&mut rest)?));
            let since = SignedDuration::from_hours(days.saturating_mul(24));
            Value::from(in_years(midnight().checked_add(since))?.date().to_string())
        }
        Type::TIME => {
            let time = SignedDuration::from_micros(i64::from_be_bytes(take(&mut rest)?));
            // 24:00:00 is a time of PostgreSQL's and of nobody else's.
            let time = civil::Time::midnight().checked_add(time).map_err(|_| "the time 24:00".to_owned())?;
            Value::from(time.to_string())
        }
        Type::JSON => json(text(bytes)?, form)?,
        Type::JSONB => json(text(bytes.get(1..).unwrap_or_default())?, form)?,
        _ => Value::from(text(bytes)?),
    })
}

fn array(element: &Type, bytes: &[u8], form: Form) -> Result<Value, String> {
    let mut rest = bytes;
    let dimensions = number(&mut rest)?;
    let has_nulls = number(&mut rest)? != 0;
    take::<4>(&mut rest)?;
    let mut sizes = Vec::new();
    for _ in 0..dimensions {
        sizes.push(usize::try_from(number(&mut rest)?).map_err(|_| "a broken array".to_owned())?);
        if number(&mut rest)? != 1 {
            return Err("an array that does not begin at 1".to_owned());
        }
    }
    if has_nulls {
        return Err("an array with a NULL in it".to_owned());
    }
    if sizes.is_empty() {
        return exact::array(Vec::new());
    }
    entries(element, &mut rest, &sizes, form)
}

fn entries(element: &Type, rest: &mut &[u8], sizes: &[usize], form: Form) -> Result<Value, String> {
    let Some((size, inner)) = sizes.split_first() else {
        let length = usize::try_from(number(rest)?).map_err(|_| "an array with a NULL in it".to_owned())?;
        let (entry, after) = rest.split_at_checked(length).ok_or("a broken array")?;
        *rest = after;
        return value(element, entry, form);
    };
    exact::array((0..*size).map(|_| entries(element, rest, inner, form)).collect::<Result<_, _>>()?)
}

fn json(text: &str, form: Form) -> Result<Value, String> {
    if form == Form::Text { Ok(Value::from(text)) } else { exact::json(text) }
}

/// A decimal with all its digits, from groups of four.
fn numeric(bytes: &[u8]) -> Result<String, String> {
    let mut rest = bytes;
    let groups = i16::from_be_bytes(take(&mut rest)?);
    let weight = i16::from_be_bytes(take(&mut rest)?);
    let sign = u16::from_be_bytes(take(&mut rest)?);
    let scale = usize::from(u16::from_be_bytes(take(&mut rest)?));
    let negative = match sign {
        0 => false,
        0x4000 => true,
        _ => return Err("a numeric that is infinite or no number".to_owned()),
    };
    let groups: Vec<u16> =
        (0..groups).map(|_| take(&mut rest).map(u16::from_be_bytes)).collect::<Result<_, _>>()?;
    // The four digits at a place, where 0 is that of the units.
    let group = |place: i32| {
        let index = usize::try_from(i32::from(weight) - place).ok();
        let group = index.and_then(|index| groups.get(index)).copied().unwrap_or(0);
        format!("{group:04}")
    };
    let whole: Vec<_> = (0..=i32::from(weight)).rev().map(group).collect();
    let whole = whole.concat();
    let whole = whole.trim_start_matches('0');
    let mut text =
        format!("{}{}", if negative { "-" } else { "" }, if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let places = i32::try_from(scale.div_ceil(4)).unwrap_or(i32::MAX);
        let fraction: Vec<_> = (1..=places).map(|place| group(-place)).collect();
        text.push('.');
        text.extend(fraction.concat().chars().take(scale));
    }
    Ok(text)
}

fn timestamp(bytes: &[u8]) -> Result<civil::DateTime, String> {
    let mut rest = bytes;
    let since = SignedDuration::from_micros(i64::from_be_bytes(take(&mut rest)?));
    in_years(midnight().checked_add(since))
}

/// The beginning of 2000, from where PostgreSQL counts.
fn midnight() -> civil::DateTime {
    civil::date(2000, 1, 1).at(0, 0, 0, 0)
}

fn in_years(time: Result<civil::DateTime, jiff::Error>) -> Result<civil::DateTime, String> {
    time.ok()
        .filter(|time| time.year() >= 1)
        .ok_or_else(|| "a time that is infinite or beyond the years 1 to 9999".to_owned())
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "text that is not UTF-8".to_owned())
}

fn number(rest: &mut &[u8]) -> Result<i32, String> {
    take(rest).map(i32::from_be_bytes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let (first, after) = rest.split_first_chunk().ok_or("a value that is cut off")?;
    *rest = after;
    Ok(*first)
}
