//! What comes to a workflow's queue, or with a direct invocation, and what it means.

use durable::{
    Delivery, Envelope, Error, Payload, Ports, Result, RunId,
    callback::{self, Answer, Settled, Token},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The source of the events that this engine publishes.
pub(crate) const SOURCE: &str = "durable";

/// What is told to whoever sent something else.
const EXPECTED: &str = r#"expected an EventBridge event, {"durable":"schedule","workflow":…,"time":…}, {"durable":"wake","run":…} or {"durable":"answer","token":…,"answer":…}"#;

/// A message of ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "durable", rename_all = "snake_case")]
pub(crate) enum Own {
    /// A time of a workflow's schedule has come.
    Schedule {
        /// The workflow.
        workflow: String,
        /// Which time, as the schedule names it: a repeated delivery names the same.
        time: String,
    },
    /// A run is to be looked at.
    Wake {
        /// The run.
        run: RunId,
        /// When it was to come. One that does not say is never taken for left over.
        #[serde(default = "ever")]
        due: Timestamp,
    },
    /// Whoever has work of a run says something.
    Answer {
        /// With what the work was handed over.
        token: Token,
        /// What.
        answer: Answer,
    },
}

/// What a message asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Message {
    /// A run is to be started, or looked at.
    Deliver(Delivery),
    /// An answer is to be recorded, and its run to be looked at.
    Answer(Token, Answer),
}

impl Message {
    /// What is left to deliver once an answer is on record. The message itself wakes the run: should this process die, it
    /// comes again.
    pub(crate) async fn settled(self, ports: &Ports) -> Result<Option<Delivery>> {
        let (token, answer) = match self {
            Self::Deliver(delivery) => return Ok(Some(delivery)),
            Self::Answer(token, answer) => (token, answer),
        };
        let answer = match answer {
            // What has come is told by whoever records events, and by nobody who has a queue to write to.
            Answer::Received(_) => {
                tracing::warn!(%token, "an answer that says an event has come");
                return Ok(None);
            }
            // What is large came by way of the worker's own corner of the bucket. Among the run's values it is kept, and
            // deleted, with the run.
            Answer::Done(output @ Payload::Blob { .. }) => {
                callback::done(ports, &token, output.json(&*ports.blobs).await?).await?
            }
            answer => answer,
        };
        match ports.journal.settle(&token, &answer, ports.clock.now()).await? {
            Settled::Done(None) => Ok(None),
            Settled::Done(Some(_)) | Settled::Late => {
                Ok(Some(Delivery::Resume { run: token.run, due: ports.clock.now() }))
            }
            Settled::Missing => {
                tracing::warn!(%token, "an answer to a run that does not exist");
                Ok(None)
            }
        }
    }

    /// The run it is about.
    pub(crate) fn run(&self, workflow: &str) -> RunId {
        match self {
            Self::Deliver(Delivery::Start(event)) => RunId::of(workflow, &event.id),
            Self::Deliver(Delivery::Resume { run, .. }) => run.clone(),
            Self::Answer(token, _) => token.run.clone(),
        }
    }
}

/// The message that brings an answer to its workflow's queue: `{"durable":"answer","token":…,"answer":…}`.
pub fn answer_message(token: &Token, answer: &Answer) -> Result<String> {
    Ok(serde_json::to_string(&Own::Answer { token: token.clone(), answer: answer.clone() })?)
}

fn ever() -> Timestamp {
    Timestamp::MAX
}

impl Own {
    pub(crate) fn wake(run: &RunId, due: Timestamp) -> Result<String> {
        Ok(serde_json::to_string(&Self::Wake { run: run.clone(), due })?)
    }
}

/// What EventBridge makes of an event.
#[derive(Debug, Deserialize)]
struct BridgeEvent {
    id: String,
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    time: Timestamp,
    detail: Value,
}

/// An event as a person writes it down to try something.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BareEvent {
    name: String,
    data: Value,
    id: Option<String>,
}

/// What to put on a queue for a delivery to come again.
pub(crate) fn body_of(delivery: &Delivery) -> Result<String> {
    match delivery {
        Delivery::Resume { run, due } => Own::wake(run, *due),
        Delivery::Start(event) => Ok(serde_json::json!({
            "id": event.id, "source": SOURCE, "detail-type": event.name, "time": event.sent_at, "detail": event,
        })
        .to_string()),
    }
}

/// Reads the body of a queue's message.
pub(crate) fn of_text(body: &str, workflow: &str) -> Result<Message> {
    let body = serde_json::from_str(body)
        .map_err(|error| Error::fatal(format!("the message is not JSON ({error}); {EXPECTED}")))?;
    of_value(body, workflow)
}

/// Reads a message.
pub(crate) fn of_value(body: Value, workflow: &str) -> Result<Message> {
    if body.get("durable").is_some() {
        return own(body, workflow);
    }
    if body.get("detail-type").is_none() {
        return Err(Error::fatal(format!("the message is {}; {EXPECTED}", shape(&body))));
    }
    let event: BridgeEvent =
        serde_json::from_value(body).map_err(|error| Error::fatal(format!("EventBridge event: {error}")))?;
    let envelope = if event.source == SOURCE {
        let envelope: Envelope = serde_json::from_value(event.detail).map_err(|error| {
            Error::fatal(format!(
                "detail: {error}; expected {{id, name, data, sent_at}} from source {SOURCE}"
            ))
        })?;
        Envelope::untyped(envelope.id, envelope.name, envelope.data, envelope.sent_at)?
    } else {
        Envelope::untyped(event.id, event.detail_type, event.detail, event.time)?
    };
    Ok(Message::Deliver(Delivery::Start(envelope)))
}

/// Reads what a function was invoked with directly: a message, or a bare event `{"name", "data", "id"?}`. Without an id, it
/// has that of the request, so that Lambda's own retries start one run.
pub(crate) fn of_invocation(body: Value, workflow: &str, request: &str, now: Timestamp) -> Result<Message> {
    let bare =
        body.get("name").is_some() && body.get("detail-type").is_none() && body.get("durable").is_none();
    if !bare {
        return of_value(body, workflow)
            .map_err(|error| Error::fatal(format!(r#"{error}; or {{"name":…,"data":…,"id"?:…}}"#)));
    }
    let event: BareEvent =
        serde_json::from_value(body).map_err(|error| Error::fatal(format!("event: {error}")))?;
    let id = event.id.unwrap_or_else(|| request.to_owned());
    Ok(Message::Deliver(Delivery::Start(Envelope::untyped(id, event.name, event.data, now)?)))
}

fn own(body: Value, workflow: &str) -> Result<Message> {
    let own = serde_json::from_value(body).map_err(|error| Error::fatal(format!("{error}; {EXPECTED}")))?;
    match own {
        Own::Wake { run, due } => Ok(Message::Deliver(Delivery::Resume { run, due })),
        Own::Answer { token, answer } => Ok(Message::Answer(token, answer)),
        Own::Schedule { workflow: named, .. } if named != workflow => {
            Err(Error::fatal(format!("workflow: the schedule of {named} sends to the queue of {workflow}")))
        }
        Own::Schedule { workflow, time } => {
            let sent_at = time.parse().map_err(|error| {
                Error::fatal(format!("time: {error}; expected a time such as 2026-01-01T06:00:00Z"))
            })?;
            let (id, name) = (format!("{workflow}@{time}"), format!("schedule/{workflow}"));
            let event = Envelope::untyped(id, name, Value::Object(Map::new()), sent_at)?;
            Ok(Message::Deliver(Delivery::Start(event)))
        }
    }
}

/// What kind of thing a value is, without its contents: these may be personal.
fn shape(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let names: Vec<_> = fields.keys().take(8).map(String::as_str).collect();
            format!("an object with the fields [{}]", names.join(", "))
        }
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::String(_) => "a string".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use durable::StepId;
    use serde_json::json;

    use super::*;

    fn start(body: &Value) -> Envelope {
        match of_text(&body.to_string(), "sync").unwrap() {
            Message::Deliver(Delivery::Start(event)) => event,
            other => panic!("{other:?}"),
        }
    }

    fn refused(body: &str) -> String {
        of_text(body, "sync").unwrap_err().message().to_owned()
    }

    fn bridge(source: &str, detail: &Value) -> Value {
        json!({"version": "0", "id": "b-1", "source": source, "detail-type": "agent/build.requested", "account": "1",
               "time": "2026-01-02T03:04:05Z", "region": "x", "resources": [], "detail": detail})
    }

    #[test]
    fn our_own_events_keep_their_id() {
        let envelope = json!({"id": "r/s", "name": "agent/build.requested", "data": {"n": 1}, "sent_at": "2026-01-01T00:00:00Z"});
        let event = start(&bridge("durable", &envelope));
        assert_eq!((event.id.as_str(), event.data), ("r/s", json!({"n": 1})));
        assert!(
            refused(&bridge("durable", &json!({"n": 1})).to_string())
                .starts_with("detail: missing field `id`")
        );
    }

    #[test]
    fn an_event_from_elsewhere_has_the_id_of_the_bus() {
        let event = start(&bridge("shop", &json!({"n": 1})));
        assert_eq!((event.id.as_str(), event.name.as_str()), ("b-1", "agent/build.requested"));
        assert_eq!(
            (event.data, event.sent_at.to_string().as_str()),
            (json!({"n": 1}), "2026-01-02T03:04:05Z")
        );
    }

    #[test]
    fn a_scheduled_time_is_one_event() {
        let event =
            start(&json!({"durable": "schedule", "workflow": "sync", "time": "2026-01-02T06:00:00Z"}));
        assert_eq!(event.id, "sync@2026-01-02T06:00:00Z");
        assert_eq!((event.name.as_str(), event.data), ("schedule/sync", json!({})));
        let other = refused(r#"{"durable":"schedule","workflow":"other","time":"2026-01-02T06:00:00Z"}"#);
        assert_eq!(other, "workflow: the schedule of other sends to the queue of sync");
        assert!(refused(r#"{"durable":"schedule","workflow":"sync","time":"six"}"#).starts_with("time: "));
    }

    #[test]
    fn a_delivery_that_is_put_off_comes_again_as_it_was() {
        let event =
            Envelope { id: "e".into(), name: "go".into(), data: json!([1]), sent_at: Timestamp::UNIX_EPOCH };
        let body = body_of(&Delivery::Start(event.clone())).unwrap();
        assert_eq!(start(&serde_json::from_str(&body).unwrap()), event);
    }

    #[test]
    fn a_wake_up_names_its_run_and_when_it_was_due() {
        let run = RunId::of("sync", "1");
        let read = |body: &str| match of_text(body, "sync").unwrap() {
            Message::Deliver(Delivery::Resume { run, due }) => (run, due),
            other => panic!("{other:?}"),
        };
        let due = Timestamp::UNIX_EPOCH;
        assert_eq!(read(&Own::wake(&run, due).unwrap()), (run.clone(), due));
        let by_hand = format!(r#"{{"durable":"wake","run":"{run}"}}"#);
        assert_eq!(read(&by_hand), (run, Timestamp::MAX), "never left over");
    }

    #[test]
    fn an_answer_comes_with_its_token() {
        let step = StepId { name: "vlm-evaluate/1.1".into(), nth: 1 };
        let token = Token { run: RunId::of("sync", "1"), step, attempt: 1 };
        let done = Answer::Done(Payload::Json("[1]".into()));
        for answer in [done, Answer::Failed(Error::no_effect("busy")), Answer::Alive] {
            let body = answer_message(&token, &answer).unwrap();
            assert_eq!(of_text(&body, "sync").unwrap(), Message::Answer(token.clone(), answer));
        }
        assert!(
            refused(r#"{"durable":"answer","token":"x","answer":"alive"}"#).starts_with("token: expected")
        );
    }

    /// Whoever may answer a step may not say that an event has come.
    #[test]
    fn nobody_is_believed_that_an_event_has_come() {
        #[derive(serde::Serialize, Deserialize)]
        struct Approved {}
        impl durable::Event for Approved {
            const NAME: &'static str = "approved";
        }
        async fn waits(ctx: durable::Context<Value>, (): ()) -> Result<bool> {
            Ok(ctx.wait_for_event::<Approved>("approval").receive().await?.is_some())
        }
        let workflow = durable::Workflow::new("deploy", waits).on_event("go");
        let mut simulation = durable::testing::Simulation::of(workflow.with(()));
        let run = simulation.send("go", json!({})).remove(0);
        simulation.run_for(durable::seconds(1));
        let token = Token { run: run.clone(), step: StepId { name: "approval".into(), nth: 1 }, attempt: 1 };
        let event = json!({"id": "e", "name": "approved", "data": {}, "sent_at": "2026-01-01T00:00:00Z"});
        let forged = Message::Answer(token, Answer::Received(Payload::Json(event.to_string())));
        let settled = futures::executor::block_on(forged.settled(simulation.ports()));
        assert_eq!(settled.unwrap(), None);
        simulation.run_until_idle();
        assert_eq!(simulation.output(&run), false, "its time was up, and nothing had come");
    }

    #[test]
    fn what_is_none_of_these_is_told_what_was_expected() {
        for (body, says) in [
            ("{", "not JSON"),
            ("[1]", "an array of 1"),
            (r#"{"phone":"+27820000000"}"#, "an object with the fields [phone]"),
            (r#"{"durable":"dance"}"#, "unknown variant `dance`"),
        ] {
            let error = refused(body);
            assert!(error.contains(says) && error.contains(EXPECTED), "{error}");
            assert!(!error.contains("27820000000"), "{error}");
        }
    }

    #[test]
    fn a_bare_event_starts_a_run_directly() {
        let invoked = |body| of_invocation(body, "sync", "request-1", Timestamp::UNIX_EPOCH);
        let Message::Deliver(Delivery::Start(event)) = invoked(json!({"name": "go", "data": {}})).unwrap()
        else {
            panic!()
        };
        assert_eq!((event.id.as_str(), event.name.as_str()), ("request-1", "go"));
        let Message::Deliver(Delivery::Start(event)) =
            invoked(json!({"name": "go", "data": {}, "id": "mine"})).unwrap()
        else {
            panic!()
        };
        assert_eq!(event.id, "mine");
        let error = invoked(json!({"name": "go", "dat": {}})).unwrap_err();
        assert!(error.message().starts_with("event: unknown field `dat`"), "{error}");
        assert!(invoked(json!({})).unwrap_err().message().contains(r#"or {"name""#));
    }
}
