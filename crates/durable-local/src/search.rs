//! The query behind a list of runs.
//!
//! It takes the runs from one or several streams, each of which an index yields in the order of the list, merges these, and
//! looks up the runs of the page alone. A page of n runs so reads at most n + 1 rows of each stream, where the filter names
//! nothing but what the index begins with; what else it names is looked at row by row.

use durable::{RunFilter, Status};
use rusqlite::types::Value;

use crate::store::ms;

const STATUSES: [Status; 6] =
    [Status::Queued, Status::Running, Status::Waiting, Status::Completed, Status::Failed, Status::Cancelled];

/// From this length on, a start of an id is had by so few runs that all of them are read: 1 of 65,536.
const NARROW: usize = 4;

/// SQL and its values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
}

/// A condition and its values.
type Condition = (String, Vec<Value>);

/// The runs of a page: at most `limit`, after the run created at `after.0` ms with the id `after.1`. `workflows` are those
/// that any run is of.
pub(crate) fn runs(
    filter: &RunFilter,
    after: Option<(i64, String)>,
    workflows: &[String],
    limit: usize,
) -> Query {
    let limit = Value::from(i64::try_from(limit).unwrap_or(i64::MAX));
    let mut all = conditions(filter);
    if let Some((at, id)) = after {
        all.push(("(created_at, id) < (?, ?)".to_owned(), vec![at.into(), id.into()]));
    }
    let mut values = Vec::new();
    let streams: Vec<_> = streams(filter, workflows)
        .into_iter()
        .map(|(index, condition)| {
            let conditions: Vec<_> = condition.into_iter().chain(all.iter().cloned()).collect();
            let texts: Vec<_> = conditions.iter().map(|(text, _)| text.as_str()).collect();
            let texts = if texts.is_empty() { "true".to_owned() } else { texts.join(" and ") };
            values.extend(conditions.into_iter().flat_map(|(_, values)| values));
            values.push(limit.clone());
            format!(
                "select * from (select created_at, id from runs indexed by {index} where {texts} \
                 order by created_at desc, id desc limit ?)"
            )
        })
        .collect();
    values.push(limit);
    // `union` drops a run that two streams have found.
    let sql = format!(
        "select run from (select * from ({}) order by created_at desc, id desc limit ?) as page \
         join runs on runs.id = page.id order by page.created_at desc, page.id desc",
        streams.join(" union ")
    );
    Query { sql, values }
}

/// What holds of every run of the list, whatever stream it comes from.
fn conditions(filter: &RunFilter) -> Vec<Condition> {
    let mut all = Vec::new();
    let mut one_of = |column: &str, values: Vec<Value>| {
        if !values.is_empty() {
            all.push((format!("{column} in ({})", vec!["?"; values.len()].join(", ")), values));
        }
    };
    one_of("workflow", filter.workflows.iter().cloned().map(Value::from).collect());
    one_of("status", filter.statuses.iter().map(|status| text(status.as_str())).collect());
    let equal = [("event_id", &filter.event_id), ("event_name", &filter.event_name), ("key", &filter.key)];
    for (column, value) in equal {
        all.extend(value.iter().map(|value| (format!("{column} = ?"), vec![text(value)])));
    }
    all.extend(filter.from.map(|from| ("created_at >= ?".to_owned(), vec![ms(from).into()])));
    all.extend(filter.before.map(|before| ("created_at < ?".to_owned(), vec![ms(before).into()])));
    all
}

/// The streams that hold every run of the list: the index of each, and the condition that the index begins with.
fn streams(filter: &RunFilter, workflows: &[String]) -> Vec<(&'static str, Option<Condition>)> {
    if let Some(text) = &filter.text {
        return found_by(text, filter, workflows);
    }
    if let Some(id) = &filter.event_id {
        return vec![("runs_by_event", Some(("event_id = ?".to_owned(), vec![text(id)])))];
    }
    if let Some(key) = &filter.key {
        return by_status(filter, "runs_by_key", "key", std::slice::from_ref(key));
    }
    if let Some(name) = &filter.event_name {
        return by_status(filter, "runs_by_event_name", "event_name", std::slice::from_ref(name));
    }
    if filter.workflows.is_empty() {
        let statuses = statuses(filter);
        let stream =
            |status: Status| ("runs_by_status", Some(("status = ?".to_owned(), vec![text(status.as_str())])));
        return statuses.into_iter().map(stream).collect();
    }
    by_status(filter, "runs_by_workflow", "workflow", &filter.workflows)
}

fn by_status(
    filter: &RunFilter,
    index: &'static str,
    column: &str,
    values: &[String],
) -> Vec<(&'static str, Option<Condition>)> {
    let pairs =
        values.iter().flat_map(|value| statuses(filter).into_iter().map(move |status| (value, status)));
    pairs
        .map(|(value, status)| {
            let condition =
                (format!("{column} = ? and status = ?"), vec![text(value), text(status.as_str())]);
            (index, Some(condition))
        })
        .collect()
}

fn statuses(filter: &RunFilter) -> Vec<Status> {
    if filter.statuses.is_empty() { STATUSES.to_vec() } else { filter.statuses.clone() }
}

/// The runs whose id begins with a text, whose event has it for an id, or whose key it is.
fn found_by(
    wanted: &str,
    filter: &RunFilter,
    workflows: &[String],
) -> Vec<(&'static str, Option<Condition>)> {
    // The text after all that start alike: ids are ASCII.
    let begins =
        ("id >= ? and id < ?".to_owned(), vec![text(wanted), Value::from(format!("{wanted}\u{7f}"))]);
    let mut streams = vec![("runs_by_event", Some(("event_id = ?".to_owned(), vec![text(wanted)])))];
    if wanted.len() >= NARROW {
        // The index of the ids, which SQLite made for `unique`.
        streams.push(("sqlite_autoindex_runs_1", Some(begins)));
    } else {
        streams.extend(statuses(filter).into_iter().map(|status| {
            let (condition, mut values) = begins.clone();
            values.insert(0, text(status.as_str()));
            ("runs_by_status", Some((format!("status = ? and {condition}"), values)))
        }));
    }
    let keys: Vec<_> = [wanted.to_owned()]
        .into_iter()
        .chain(workflows.iter().map(|workflow| format!("{workflow}:{wanted}")))
        .collect();
    streams.extend(by_status(filter, "runs_by_key", "key", &keys));
    streams
}

fn text(text: &str) -> Value {
    Value::from(text.to_owned())
}
