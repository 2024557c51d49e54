//! Requests to the table. Each is repeated when another request was at work on the same items.

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata,
    operation::{
        put_item::PutItemError, transact_write_items::TransactWriteItemsError, update_item::UpdateItemError,
    },
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure, Select, TransactWriteItem},
};
use durable::{Clock, Error, Random, Result, after};

use crate::{
    Clients,
    failure::{Reason, failed, reason},
    items::{Change, Item, Key, names},
};

/// How often a request is repeated that met another one; with waits of 10 ms, doubled each time, about 2 s in all.
const MEETINGS: u32 = 8;

/// The table, and what it takes to wait before asking again.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) clients: Clients,
    pub(crate) name: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

/// What became of a conditional write.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was made; the item as it is now. Empty for an item that was put.
    Done(Item),
    /// Its condition does not hold; the item as it is, if there is one.
    Refused(Option<Item>),
}

/// What became of a transaction.
#[derive(Debug)]
pub(crate) enum Transacted {
    /// All of it was written.
    Done,
    /// None of it was: which parts stood in the way, and the items they found.
    Refused(Vec<(Reason, Option<Item>)>),
}

/// A query for the items of a partition or of an index's partition.
#[derive(Debug, Clone)]
pub(crate) struct Range<'a> {
    pub(crate) index: Option<&'a str>,
    pub(crate) condition: &'a str,
    pub(crate) filter: Option<&'a str>,
    pub(crate) values: Vec<(&'static str, aws_sdk_dynamodb::types::AttributeValue)>,
    pub(crate) consistent: bool,
    pub(crate) backwards: bool,
    /// At most so many items in all.
    pub(crate) limit: usize,
    /// At most so many requests, whatever is found.
    pub(crate) pages: usize,
}

/// A part of a range.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) items: Vec<Item>,
    /// The keys of the last item that was looked at, when more may follow.
    #[cfg_attr(not(feature = "console"), expect(dead_code, reason = "only lists for people go by pages"))]
    pub(crate) last: Option<Item>,
}

impl Table {
    pub(crate) async fn update(&self, change: &Change) -> Result<Outcome> {
        for meeting in 0..MEETINGS {
            let request = self.clients.dynamodb().update_item().table_name(&self.name);
            let request = request.set_key(Some(change.key.item())).update_expression(&change.update);
            let request = request
                .set_condition_expression((!change.condition.is_empty()).then(|| change.condition.clone()))
                .set_expression_attribute_names(Some(change.names()))
                .set_expression_attribute_values(Some(change.values()))
                .return_values(ReturnValue::AllNew)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            match request.send().await {
                Ok(output) => return Ok(Outcome::Done(output.attributes.unwrap_or_default())),
                Err(error) => match error.as_service_error() {
                    Some(UpdateItemError::ConditionalCheckFailedException(found)) => {
                        return Ok(Outcome::Refused(found.item.clone()));
                    }
                    Some(service) if is_meeting(service) => self.wait(meeting).await,
                    _ => return Err(failed("DynamoDB: UpdateItem", error)),
                },
            }
        }
        Err(crowded("UpdateItem"))
    }

    /// Puts an item, if the condition holds for the one with its key.
    pub(crate) async fn put(
        &self,
        item: Item,
        condition: &str,
        values: Vec<(&'static str, aws_sdk_dynamodb::types::AttributeValue)>,
    ) -> Result<Outcome> {
        let names = Some(names(&[condition])).filter(|names| !names.is_empty());
        let values: Item = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let values = Some(values).filter(|values| !values.is_empty());
        for meeting in 0..MEETINGS {
            let request = self.clients.dynamodb().put_item().table_name(&self.name);
            let request = request
                .set_item(Some(item.clone()))
                .set_condition_expression((!condition.is_empty()).then(|| condition.to_owned()))
                .set_expression_attribute_names(names.clone())
                .set_expression_attribute_values(values.clone())
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            match request.send().await {
                Ok(_) => return Ok(Outcome::Done(Item::new())),
                Err(error) => match error.as_service_error() {
                    Some(PutItemError::ConditionalCheckFailedException(found)) => {
                        return Ok(Outcome::Refused(found.item.clone()));
                    }
                    Some(service) if is_meeting(service) => self.wait(meeting).await,
                    _ => return Err(failed("DynamoDB: PutItem", error)),
                },
            }
        }
        Err(crowded("PutItem"))
    }

    pub(crate) async fn transact(&self, parts: Vec<TransactWriteItem>) -> Result<Transacted> {
        for meeting in 0..MEETINGS {
            let request =
                self.clients.dynamodb().transact_write_items().set_transact_items(Some(parts.clone()));
            let Err(error) = request.send().await else { return Ok(Transacted::Done) };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
                error.as_service_error()
            else {
                return Err(failed("DynamoDB: TransactWriteItems", error));
            };
            let found: Vec<_> = cancelled
                .cancellation_reasons()
                .iter()
                .map(|found| (reason(found), found.item.clone()))
                .collect();
            let has = |reason| found.iter().any(|(found, _)| *found == reason);
            if has(Reason::Condition) {
                return Ok(Transacted::Refused(found));
            }
            if has(Reason::Other) || !has(Reason::Busy) {
                let messages = cancelled.cancellation_reasons().iter().filter_map(|found| found.message());
                let messages: Vec<_> = messages.collect();
                return Err(Error::new(format!("DynamoDB: TransactWriteItems: {}", messages.join("; "))));
            }
            self.wait(meeting).await;
        }
        Err(crowded("TransactWriteItems"))
    }

    /// An item as it is at this moment.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Item>> {
        let request = self.clients.dynamodb().get_item().table_name(&self.name).set_key(Some(key.item()));
        let output = request.consistent_read(true).send().await;
        Ok(output.map_err(|error| failed("DynamoDB: GetItem", error))?.item)
    }

    /// All items of a range, page by page.
    pub(crate) async fn query(&self, range: &Range<'_>) -> Result<Vec<Item>> {
        Ok(self.query_part(range).await?.items)
    }

    /// Items of a range, page by page, and how far it was looked through.
    pub(crate) async fn query_part(&self, range: &Range<'_>) -> Result<Part> {
        let mut items = Vec::new();
        let mut from = None;
        for _ in 0..range.pages {
            let left = range.limit - items.len();
            let names = names(&[range.condition, range.filter.unwrap_or_default()]);
            let values = range.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            let request = self.clients.dynamodb().query().table_name(&self.name);
            let request = request
                .set_index_name(range.index.map(str::to_owned))
                .key_condition_expression(range.condition)
                .set_filter_expression(range.filter.map(str::to_owned))
                .set_expression_attribute_names(Some(names))
                .set_expression_attribute_values(Some(values.collect()))
                .consistent_read(range.consistent)
                .scan_index_forward(!range.backwards)
                // A filter is applied after the limit.
                .set_limit(if range.filter.is_some() { None } else { i32::try_from(left).ok() })
                .select(if range.index.is_some() {
                    Select::AllProjectedAttributes
                } else {
                    Select::AllAttributes
                })
                .set_exclusive_start_key(from);
            let output = request.send().await.map_err(|error| failed("DynamoDB: Query", error))?;
            let found = output.items.unwrap_or_default();
            let cut = found.len() > left;
            items.extend(found.into_iter().take(left));
            from = output.last_evaluated_key.filter(|key| !key.is_empty());
            if cut {
                from = items.last().cloned();
            }
            if from.is_none() || items.len() >= range.limit {
                break;
            }
        }
        Ok(Part { items, last: from })
    }

    /// Waits a little, and not as long as whoever else waits.
    async fn wait(&self, meeting: u32) {
        let longest = 10_u64 << meeting.min(6);
        let pause = longest / 2 + self.random.bits() % longest;
        self.clock.sleep_until(after(self.clock.now(), Duration::from_millis(pause))).await;
    }
}

fn is_meeting(error: &impl ProvideErrorMetadata) -> bool {
    error.code() == Some("TransactionConflictException")
}

fn crowded(request: &str) -> Error {
    Error::new(format!(
        "DynamoDB: {request}: other requests were at work on the same items, {MEETINGS} times"
    ))
}
