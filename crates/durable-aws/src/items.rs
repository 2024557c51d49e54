//! DynamoDB items: reading attributes, and one write with its condition.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};
use durable::{Error, Result};
use jiff::Timestamp;
use serde::de::DeserializeOwned;

/// An item: its attributes by name.
pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

#[expect(clippy::needless_pass_by_value, reason = "numbers")]
pub(crate) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A time, in milliseconds.
pub(crate) fn ms(time: Timestamp) -> AttributeValue {
    n(time.as_millisecond())
}

/// A set. DynamoDB has no empty ones.
pub(crate) fn ss(members: impl IntoIterator<Item = String>) -> AttributeValue {
    AttributeValue::Ss(members.into_iter().collect())
}

pub(crate) fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(crate) fn number(item: &Item, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

pub(crate) fn time(item: &Item, name: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(number(item, name)?).ok()
}

/// The members of a set, in order, so that equal sets look equal.
pub(crate) fn members(item: &Item, name: &str) -> Vec<String> {
    let mut members = item.get(name).and_then(|set| set.as_ss().ok()).cloned().unwrap_or_default();
    members.sort_unstable();
    members
}

/// An attribute that holds JSON.
pub(crate) fn json<T: DeserializeOwned>(item: &Item, name: &str) -> Result<Option<T>> {
    text(item, name).map(|json| parsed(name, json)).transpose()
}

pub(crate) fn parsed<T: DeserializeOwned>(name: &str, json: &str) -> Result<T> {
    serde_json::from_str(json)
        .map_err(|error| Error::fatal(format!("the stored {name} cannot be read: {error}")))
}

pub(crate) fn required<'a>(item: &'a Item, name: &str) -> Result<&'a str> {
    text(item, name).ok_or_else(|| Error::fatal(format!("a stored item lacks {name}")))
}

/// The key of an item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) pk: String,
    pub(crate) sk: String,
}

impl Key {
    pub(crate) fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    pub(crate) fn item(&self) -> Item {
        HashMap::from([("pk".to_owned(), s(&self.pk)), ("sk".to_owned(), s(&self.sk))])
    }
}

/// One conditional change of one item. In its expressions every attribute is written `#attribute`, so that reserved words
/// need no care, and every value `:value`.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) key: Key,
    pub(crate) update: String,
    pub(crate) condition: String,
    pub(crate) values: Vec<(&'static str, AttributeValue)>,
}

const OLD: ReturnValuesOnConditionCheckFailure = ReturnValuesOnConditionCheckFailure::AllOld;

impl Change {
    pub(crate) fn names(&self) -> HashMap<String, String> {
        names(&[&self.update, &self.condition])
    }

    pub(crate) fn values(&self) -> HashMap<String, AttributeValue> {
        self.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn values_if_any(&self) -> Option<HashMap<String, AttributeValue>> {
        (!self.values.is_empty()).then(|| self.values())
    }

    /// As a part of a transaction: an update, or without one a check.
    pub(crate) fn part(&self, table: &str) -> Result<TransactWriteItem> {
        let (key, names, values) = (self.key.item(), self.names(), self.values_if_any());
        let part = TransactWriteItem::builder();
        Ok(if self.update.is_empty() {
            let check = ConditionCheck::builder()
                .table_name(table)
                .set_key(Some(key))
                .condition_expression(&self.condition);
            let check =
                check.set_expression_attribute_names(Some(names)).set_expression_attribute_values(values);
            part.condition_check(check.return_values_on_condition_check_failure(OLD).build()?)
        } else {
            let update =
                Update::builder().table_name(table).set_key(Some(key)).update_expression(&self.update);
            let update = update.condition_expression(&self.condition);
            let update =
                update.set_expression_attribute_names(Some(names)).set_expression_attribute_values(values);
            part.update(update.return_values_on_condition_check_failure(OLD).build()?)
        }
        .build())
    }

    /// As a part of a transaction: the item goes, if the condition holds.
    pub(crate) fn deletion(&self, table: &str) -> Result<TransactWriteItem> {
        let delete = Delete::builder()
            .table_name(table)
            .set_key(Some(self.key.item()))
            .condition_expression(&self.condition);
        let delete = delete
            .set_expression_attribute_names(Some(self.names()).filter(|names| !names.is_empty()))
            .set_expression_attribute_values(self.values_if_any());
        Ok(TransactWriteItem::builder()
            .delete(delete.return_values_on_condition_check_failure(OLD).build()?)
            .build())
    }
}

/// As a part of a transaction: a new item.
pub(crate) fn creation(table: &str, item: Item) -> Result<TransactWriteItem> {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk)");
    Ok(TransactWriteItem::builder().put(put.return_values_on_condition_check_failure(OLD).build()?).build())
}

/// The attributes that expressions name.
pub(crate) fn names(expressions: &[&str]) -> HashMap<String, String> {
    let mut names = HashMap::new();
    for expression in expressions {
        for part in expression.split('#').skip(1) {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
            names.insert(format!("#{}", &part[..end]), part[..end].to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_an_expression_are_found() {
        let found = names(&["SET #status = :a, #lease_until=:b", "size(#held) < :c AND #status IN (:d)"]);
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_unstable();
        let expected = ["held", "lease_until", "status"].map(|name| (format!("#{name}"), name.to_owned()));
        assert_eq!(found, expected);
    }
}
