//! Capacity units, worked out from what is really asked of the table and what really lies in it: the stand-ins answer
//! made-up figures. The rules are those of the DynamoDB Developer Guide, "Read and write operations" and "Item sizes":
//! a write unit is 1 KB of the larger of the item before and after, twice that in a transaction; an entry of an index is
//! a write of its own, two when it moves; a read unit is 4 KB read consistently, half of one otherwise.

use std::{future::Future, pin::Pin};

use serde_json::{Map, Value, json};

/// An item in DynamoDB's JSON.
pub(crate) type Item = Map<String, Value>;

/// What a request consumes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Units {
    pub(crate) write: f64,
    pub(crate) read: f64,
}

impl std::ops::AddAssign for Units {
    fn add_assign(&mut self, more: Self) {
        self.write += more.write;
        self.read += more.read;
    }
}

/// An index of the template's table: its own key, and what else it holds.
struct Index {
    key: [&'static str; 2],
    projected: &'static [&'static str],
}

const INDEXES: [Index; 3] = [
    Index { key: ["list_shard", "list_at"], projected: &["status"] },
    Index { key: ["due_shard", "due_at"], projected: &["status", "workflow"] },
    Index { key: ["pk", "ticket"], projected: &[] },
];

/// One operation of the protocol: its name and its JSON in, its JSON out.
pub(crate) type Ask<'a> =
    &'a (dyn Fn(&'static str, Value) -> Pin<Box<dyn Future<Output = Value> + Send + 'a>> + Sync);

/// The items that a request writes: table, key, and whether in a transaction.
pub(crate) struct Writes {
    keys: Vec<Value>,
    transacted: bool,
    before: Vec<Option<Item>>,
}

impl Writes {
    /// Looks at what a request is about to write.
    pub(crate) async fn of(operation: &str, request: &Value, ask: Ask<'_>) -> Self {
        let transacted = operation == "TransactWriteItems";
        let parts: Vec<&Value> = match operation {
            "PutItem" | "UpdateItem" | "DeleteItem" => vec![request],
            "TransactWriteItems" => {
                let parts = request["TransactItems"].as_array().unwrap();
                parts.iter().flat_map(|part| part.as_object().unwrap().values()).collect()
            }
            _ => Vec::new(),
        };
        let keys: Vec<_> = parts.into_iter().map(key_of).collect();
        let before = items(&keys, ask).await;
        Self { keys, transacted, before }
    }

    /// What was consumed, now that it is written.
    pub(crate) async fn units(self, ask: Ask<'_>) -> f64 {
        let after = items(&self.keys, ask).await;
        let times = if self.transacted { 2.0 } else { 1.0 };
        let units = |(before, after): (&Option<Item>, &Option<Item>)| {
            let larger = size(before.as_ref()).max(size(after.as_ref()));
            let entries: f64 =
                INDEXES.iter().map(|index| entry_units(index, before.as_ref(), after.as_ref())).sum();
            times * blocks(larger, 1024) + entries
        };
        self.before.iter().zip(&after).map(units).sum()
    }
}

/// What a read consumed that was answered like this.
pub(crate) fn read_units(operation: &str, request: &Value, answer: &Value) -> f64 {
    let is_consistent = |asked: &Value| if asked["ConsistentRead"] == true { 1.0 } else { 0.5 };
    let of_list = |items: &Value| -> usize {
        items.as_array().into_iter().flatten().map(|item| size(item.as_object())).sum()
    };
    match operation {
        "GetItem" => is_consistent(request) * blocks(size(answer["Item"].as_object()), 4096),
        "Query" => is_consistent(request) * blocks(of_list(&answer["Items"]), 4096),
        "BatchGetItem" => {
            let tables = answer["Responses"].as_object().into_iter().flatten();
            let items = tables.flat_map(|(table, items)| {
                let times = is_consistent(&request["RequestItems"][table]);
                items.as_array().into_iter().flatten().map(move |item| (times, item))
            });
            items.map(|(times, item)| times * blocks(size(item.as_object()), 4096)).sum()
        }
        _ => 0.0,
    }
}

fn key_of(part: &Value) -> Value {
    let key = if part["Key"].is_object() { &part["Key"] } else { &part["Item"] };
    json!({"TableName": part["TableName"], "Key": {"pk": key["pk"], "sk": key["sk"]}, "ConsistentRead": true})
}

async fn items(keys: &[Value], ask: Ask<'_>) -> Vec<Option<Item>> {
    let mut items = Vec::with_capacity(keys.len());
    for key in keys {
        let mut answer = ask("GetItem", key.clone()).await;
        items.push(serde_json::from_value(answer["Item"].take()).ok());
    }
    items
}

/// What an index charges for an item that became another.
fn entry_units(index: &Index, before: Option<&Item>, after: Option<&Item>) -> f64 {
    let entry = |item: Option<&Item>| -> Option<(Item, Item)> {
        let item = item?;
        let some = |names: &[&str]| -> Item {
            names.iter().filter_map(|name| Some(((*name).to_owned(), item.get(*name)?.clone()))).collect()
        };
        let key = some(&index.key);
        let rest: Item = some(index.projected);
        (key.len() == index.key.len()).then_some((key, rest))
    };
    let written = |(key, rest): &(Item, Item)| blocks(size(Some(key)) + size(Some(rest)), 1024);
    match (entry(before), entry(after)) {
        (None, None) => 0.0,
        (Some(gone), None) => written(&gone),
        (None, Some(new)) => written(&new),
        (Some(old), Some(new)) if old == new => 0.0,
        (Some(old), Some(new)) if old.0 == new.0 => written(&old).max(written(&new)),
        (Some(old), Some(new)) => written(&old) + written(&new),
    }
}

/// Units are whole, and nothing is free: looking for what is not there is one.
#[allow(clippy::cast_precision_loss, reason = "an item has at most 400 KB")]
fn blocks(bytes: usize, block: usize) -> f64 {
    bytes.div_ceil(block).max(1) as f64
}

fn size(item: Option<&Item>) -> usize {
    item.into_iter().flatten().map(|(name, value)| name.len() + value_size(value)).sum()
}

fn value_size(value: &Value) -> usize {
    let (kind, value) = value.as_object().and_then(|typed| typed.iter().next()).unwrap();
    let texts = || value.as_array().into_iter().flatten();
    let number = |text: &Value| text.as_str().unwrap().len().div_ceil(2) + 1;
    match kind.as_str() {
        "S" => value.as_str().unwrap().len(),
        "N" => number(value),
        "SS" => texts().map(|text| text.as_str().unwrap().len()).sum(),
        "NS" => texts().map(number).sum(),
        "BOOL" | "NULL" => 1,
        "L" => 3 + texts().map(|value| 1 + value_size(value)).sum::<usize>(),
        "M" => {
            let entries = value.as_object().into_iter().flatten();
            3 + entries.map(|(name, value)| 1 + name.len() + value_size(value)).sum::<usize>()
        }
        other => panic!("no item here has a value of type {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(value: Value) -> Item {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "halves of whole numbers are exact")]
    fn an_item_has_the_size_the_guide_gives_it() {
        let of = item(
            json!({"pk": {"S": "run#1"}, "n": {"N": "1234"}, "on": {"BOOL": true}, "all": {"SS": ["ab", "c"]}}),
        );
        assert_eq!(size(Some(&of)), (2 + 5) + (1 + 3) + (2 + 1) + (3 + 3));
        assert_eq!((blocks(0, 1024), blocks(1024, 1024), blocks(1025, 1024)), (1.0, 1.0, 2.0));
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "halves of whole numbers are exact")]
    fn an_entry_of_an_index_costs_what_changes_of_it() {
        let listed = &INDEXES[0];
        let run = |at: &str, status: &str| {
            item(
                json!({"list_shard": {"S": "w#0"}, "list_at": {"S": at}, "status": {"S": status}, "x": {"N": "1"}}),
            )
        };
        let (old, same, other, moved) = (run("1", "a"), run("1", "a"), run("1", "b"), run("2", "a"));
        let units = |before, after| entry_units(listed, before, after);
        assert_eq!(units(None, Some(&old)), 1.0);
        assert_eq!(units(Some(&old), Some(&same)), 0.0);
        assert_eq!(units(Some(&old), Some(&other)), 1.0);
        assert_eq!(units(Some(&old), Some(&moved)), 2.0);
        assert_eq!(units(Some(&old), None), 1.0);
        assert_eq!(units(None, Some(&item(json!({"status": {"S": "a"}})))), 0.0, "no run");
    }
}
