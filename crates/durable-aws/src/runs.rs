//! A run as an item, and back; and who may take its lease.
//!
//! The item stays under 1 KB as long as the run is alive, since every checkpoint reads it (the fence, see `commit`) and pays
//! for its size: an event over [`EVENT_INLINE`] is an item of its own.

use durable::{Envelope, Error, Outcome, Payload, Result, Run, RunId, Status};
use jiff::Timestamp;

use crate::{
    answers,
    items::{Item, Key, json, ms, n, number, parsed, required, s, text, time},
};

/// The index of what the caretaker looks at, by the time to look.
pub(crate) const DUE: &str = "due";

/// How many partitions of an index the runs are spread over, since one takes a thousand writes a second.
pub(crate) const SHARDS: u32 = 4;

/// The largest event kept in the run's item, in bytes of JSON.
pub(crate) const EVENT_INLINE: usize = 1024;

/// What may still change: an expression's list of states that are not final.
pub(crate) const ALIVE: &str = "#status IN (:queued, :running, :waiting)";

pub(crate) fn alive() -> [(&'static str, aws_sdk_dynamodb::types::AttributeValue); 3] {
    [
        (":queued", s(Status::Queued.as_str())),
        (":running", s(Status::Running.as_str())),
        (":waiting", s(Status::Waiting.as_str())),
    ]
}

pub(crate) fn partition(run: &RunId) -> String {
    format!("run#{run}")
}

pub(crate) fn key(run: &RunId) -> Key {
    Key::new(partition(run), "run")
}

pub(crate) fn event_key(run: &RunId) -> Key {
    Key::new(partition(run), "event")
}

/// The partition of an index that an id falls into.
pub(crate) fn shard(id: &str) -> u32 {
    id.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % SHARDS
}

pub(crate) fn due_shard(run: &RunId) -> String {
    format!("run#{}", shard(run.as_str()))
}

pub(crate) fn ended_shard(run: &RunId) -> String {
    format!("ended#{}", shard(run.as_str()))
}

/// The item of a run that is created with its lease taken; and the event's item, when the event is large.
pub(crate) fn created(run: &Run, until: Timestamp, holder: &str) -> Result<(Item, Option<Item>)> {
    let mut item = key(&run.id).item();
    let event = serde_json::to_string(&run.event)?;
    let listed_at = format!("{:013}#{}", run.created_at.as_millisecond(), run.id);
    let attributes = [
        ("workflow", s(&run.workflow)),
        ("status", s(Status::Running.as_str())),
        ("epoch", n(1)),
        ("created_at", ms(run.created_at)),
        ("lease_until", ms(until)),
        ("holder", s(holder)),
        ("list_shard", s(format!("{}#{}", run.workflow, shard(run.id.as_str())))),
        ("list_at", s(listed_at)),
        ("due_shard", s(due_shard(&run.id))),
        ("due_at", ms(until)),
    ];
    item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    let optional = [("flow_key", run.key.as_deref()), ("rerun_of", run.rerun_of.as_ref().map(RunId::as_str))];
    item.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), s(value?)))));
    if event.len() <= EVENT_INLINE {
        item.insert("event".to_owned(), s(event));
        return Ok((item, None));
    }
    let mut apart = event_key(&run.id).item();
    apart.insert("event".to_owned(), s(event));
    Ok((item, Some(apart)))
}

/// Whether the run's event is an item of its own.
pub(crate) fn event_is_apart(item: &Item) -> bool {
    !item.contains_key("event")
}

/// The run of an item; `event` when it is kept apart.
pub(crate) fn run(item: &Item, event: Option<Envelope>) -> Result<Run> {
    let id = required(item, "pk")?.trim_start_matches("run#");
    let event = match event {
        Some(event) => event,
        None => parsed("event", required(item, "event")?)?,
    };
    Ok(Run {
        id: RunId::from_text(id),
        workflow: required(item, "workflow")?.to_owned(),
        event,
        status: status(item)?,
        created_at: time(item, "created_at").unwrap_or(Timestamp::UNIX_EPOCH),
        started_at: time(item, "started_at"),
        ended_at: time(item, "ended_at"),
        waiting_for: json(item, "waiting_for")?.unwrap_or_default(),
        waited_for: json(item, "waited_for")?.unwrap_or_default(),
        wake_at: time(item, "wake_at"),
        failures: number(item, "failures").and_then(|count| count.try_into().ok()).unwrap_or(0),
        epoch: epoch(item),
        signals: answers::signals(item),
        output: payload(item)?,
        error: json(item, "error")?,
        key: text(item, "flow_key").map(str::to_owned),
        rerun_of: text(item, "rerun_of").map(RunId::from_text),
    })
}

pub(crate) fn status(item: &Item) -> Result<Status> {
    let name = required(item, "status")?;
    serde_json::from_value(name.into())
        .map_err(|_| Error::fatal(format!("a stored run has the status {name}")))
}

pub(crate) fn epoch(item: &Item) -> u64 {
    number(item, "epoch").and_then(|epoch| epoch.try_into().ok()).unwrap_or(0)
}

/// JSON is kept as it is: within JSON, its quotes would make it up to twice as long.
pub(crate) fn payload_attribute(payload: &Payload) -> Result<(&'static str, String)> {
    Ok(match payload {
        Payload::Json(json) => ("output", json.clone()),
        Payload::Blob { .. } => ("output_ref", serde_json::to_string(payload)?),
    })
}

pub(crate) fn payload(item: &Item) -> Result<Option<Payload>> {
    Ok(match text(item, "output") {
        Some(text) => Some(Payload::Json(text.to_owned())),
        None => json(item, "output_ref")?,
    })
}

/// The status, and the attribute that says how the run ended.
pub(crate) fn outcome_attribute(outcome: &Outcome) -> Result<(Status, &'static str, String)> {
    Ok(match outcome {
        Outcome::Completed(output) => {
            let (name, text) = payload_attribute(output)?;
            (Status::Completed, name, text)
        }
        Outcome::Failed(error) => (Status::Failed, "error", serde_json::to_string(error)?),
    })
}

/// Who may have the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Free,
    /// The caller has it: an answer was lost, and the SDK asked again.
    Mine,
    Busy(Timestamp),
    Early(Timestamp),
    Ended,
}

/// What the condition of [`LEASABLE`] decides, told from the item.
pub(crate) fn standing(item: &Item, now: Timestamp, holder: &str) -> Result<Standing> {
    let status = status(item)?;
    if status.is_final() {
        return Ok(Standing::Ended);
    }
    if text(item, "holder") == Some(holder) {
        return Ok(Standing::Mine);
    }
    if let Some(until) = time(item, "lease_until").filter(|until| *until > now) {
        return Ok(Standing::Busy(until));
    }
    match time(item, "wake_at").filter(|wake_at| status != Status::Running && *wake_at > now) {
        Some(wake_at) => Ok(Standing::Early(wake_at)),
        None => Ok(Standing::Free),
    }
}

/// The condition of a lease.
pub(crate) const LEASABLE: &str = "#status IN (:queued, :running, :waiting) \
     AND (attribute_not_exists(#lease_until) OR #lease_until <= :now) \
     AND (#status = :running OR attribute_not_exists(#wake_at) OR #wake_at <= :now)";

#[cfg(test)]
mod tests {
    use durable::seconds;

    use super::*;

    fn at(second: u64) -> Timestamp {
        durable::after(Timestamp::UNIX_EPOCH, seconds(second))
    }

    fn queued(data: serde_json::Value) -> Run {
        let event = Envelope { id: "e".into(), name: "go".into(), data, sent_at: at(0) };
        Run::queued("flow", event, at(1))
    }

    #[test]
    fn a_run_reads_back_as_it_was() {
        let run = queued(serde_json::json!({"n": 1}));
        let (item, apart) = created(&run, at(9), "me").unwrap();
        assert_eq!(apart, None);
        let read = super::run(&item, None).unwrap();
        assert_eq!(read, Run { status: Status::Running, epoch: 1, ..run });
    }

    #[test]
    fn a_large_event_is_an_item_of_its_own() {
        let run = queued("x".repeat(5000).into());
        let (item, apart) = created(&run, at(9), "me").unwrap();
        assert!(event_is_apart(&item));
        let event = json(&apart.unwrap(), "event").unwrap();
        assert_eq!(super::run(&item, event).unwrap().event, run.event);
    }

    #[test]
    fn the_standing_of_a_run_says_who_may_have_it() {
        let (mut item, _) = created(&queued(1.into()), at(9), "me").unwrap();
        assert_eq!(standing(&item, at(8), "you").unwrap(), Standing::Busy(at(9)));
        assert_eq!(standing(&item, at(8), "me").unwrap(), Standing::Mine);
        assert_eq!(standing(&item, at(9), "you").unwrap(), Standing::Free);
        item.insert("wake_at".into(), ms(at(20)));
        assert_eq!(standing(&item, at(9), "you").unwrap(), Standing::Free, "it runs; nothing is early");
        item.insert("status".into(), s("waiting"));
        assert_eq!(standing(&item, at(9), "you").unwrap(), Standing::Early(at(20)));
        item.insert("status".into(), s("failed"));
        assert_eq!(standing(&item, at(9), "me").unwrap(), Standing::Ended);
    }
}
