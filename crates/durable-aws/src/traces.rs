//! Traces as X-Ray's daemon takes them: all invocations of a run in one trace, whose id is made of the run's.
//!
//! A function's own trace, which Lambda makes, ends with the invocation. Here each invocation of a run is a segment of the
//! run's trace, and each attempt of a step that was recorded a part of its invocation:
//! <https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html>.

use std::{
    collections::HashMap,
    net::{SocketAddr, UdpSocket},
    sync::{Mutex, PoisonError},
};

use durable::{Checkpoint, Clock, Happening, Observer, Outcome, Run, StepState};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::SystemClock;

/// What the daemon wants before each document.
const HEADER: &str = "{\"format\": \"json\", \"version\": 1}\n";

/// Tells X-Ray's daemon of invocations and steps.
#[derive(Debug)]
pub struct Traces {
    socket: UdpSocket,
    daemon: SocketAddr,
    /// When the invocations that are at work began.
    began: Mutex<HashMap<String, Timestamp>>,
}

impl Traces {
    /// Traces for the daemon that Lambda names where tracing is on: `AWS_XRAY_DAEMON_ADDRESS`.
    #[expect(clippy::disallowed_methods, reason = "read once, at start")]
    pub fn from_env() -> Option<Self> {
        Self::to(std::env::var("AWS_XRAY_DAEMON_ADDRESS").ok()?.parse().ok()?)
    }

    /// Traces for a daemon.
    pub fn to(daemon: SocketAddr) -> Option<Self> {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(Self { socket, daemon, began: Mutex::default() })
    }

    fn send(&self, document: &Value) {
        // A trace that is lost must not end a run, nor hold it up.
        let _ = self.socket.send_to(format!("{HEADER}{document}").as_bytes(), self.daemon);
    }
}

impl Observer for Traces {
    fn observe(&self, run: &Run, happened: &Happening<'_>) {
        let now = SystemClock.now();
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = match happened {
            Happening::Started => {
                began.insert(segment_id(run), now);
                return;
            }
            Happening::StepRecorded(record) => {
                let attempted = began.get(&segment_id(run)).copied().unwrap_or(record.started_at);
                if let Some(document) = step(run, record, attempted.max(record.started_at)) {
                    self.send(&document);
                }
                return;
            }
            Happening::StepStarted(..) | Happening::Cancelled => return,
            Happening::Suspended(_) => false,
            Happening::Finished(outcome) => matches!(outcome, Outcome::Failed(_)),
        };
        let start = began.remove(&segment_id(run)).unwrap_or(now);
        drop(began);
        self.send(&invocation(run, start, now, failed));
    }
}

/// The run's trace: the second of its creation, and 96 bits of its id.
pub(crate) fn trace_id(run: &Run) -> String {
    let id: String = run.id.as_str().chars().filter(char::is_ascii_hexdigit).take(24).collect();
    format!("1-{:08x}-{id:0>24}", run.created_at.as_second().max(0))
}

/// The segment of an invocation: 64 bits that run and epoch determine.
fn segment_id(run: &Run) -> String {
    id_of(&format!("{}/{}", run.id, run.epoch))
}

fn id_of(text: &str) -> String {
    let mut id = hex::encode(Sha256::digest(text));
    id.truncate(16);
    id
}

fn invocation(run: &Run, start: Timestamp, end: Timestamp, failed: bool) -> Value {
    json!({
        "name": run.workflow,
        "id": segment_id(run),
        "trace_id": trace_id(run),
        "start_time": seconds(start),
        "end_time": seconds(end),
        "fault": failed,
        "annotations": { "run": run.id, "workflow": run.workflow, "invocation": run.epoch },
    })
}

/// An attempt of a step that ended. What it returned and why it failed stay out: they may be anybody's data.
fn step(run: &Run, record: &Checkpoint, start: Timestamp) -> Option<Value> {
    let failed = match &record.state {
        StepState::Completed { .. } => false,
        StepState::Retrying { .. } | StepState::Failed { .. } => true,
        _ => return None,
    };
    Some(json!({
        "type": "subsegment",
        "name": record.step.to_string(),
        "id": id_of(&format!("{}/{}/{}", run.id, record.step, record.attempts)),
        "parent_id": segment_id(run),
        "trace_id": trace_id(run),
        "start_time": seconds(start.min(record.at)),
        "end_time": seconds(record.at),
        "fault": failed,
        "annotations": { "run": run.id, "attempt": record.attempts },
    }))
}

/// Seconds since 1970, with milliseconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of this century are below 2^53")]
fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use durable::{Envelope, Payload, RunId, StepId, StepKind};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn run(epoch: u64) -> Run {
        let event = Envelope { id: "1".into(), name: "go".into(), data: json!({}), sent_at: at(0) };
        Run { epoch, ..Run::queued("build-agent", event, at(0)) }
    }

    fn built() -> Checkpoint {
        Checkpoint {
            at: at(9),
            ..Checkpoint::new(
                StepId { name: "build-feature".into(), nth: 2 },
                StepKind::Run,
                StepState::Completed { output: Payload::Json("\"secret\"".into()) },
                at(5),
            )
        }
    }

    #[test]
    fn all_invocations_of_a_run_share_a_trace_of_the_form_that_is_taken() {
        assert_eq!(trace_id(&run(1)), trace_id(&run(7)));
        assert_ne!(segment_id(&run(1)), segment_id(&run(7)));
        let id = trace_id(&run(1));
        let parts: Vec<_> = id.split('-').collect();
        assert_eq!((parts[0], parts[1], parts[2].len()), ("1", "6b49d200", 24));
        assert!(RunId::of("build-agent", "1").as_str().starts_with(parts[2]));
    }

    #[test]
    fn a_daemon_is_told_of_steps_and_of_the_invocation_they_are_part_of() {
        let daemon = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        daemon.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let traces = Traces::to(daemon.local_addr().unwrap()).unwrap();
        traces.observe(&run(2), &Happening::Started);
        traces.observe(&run(2), &Happening::StepRecorded(&built()));
        traces.observe(&run(2), &Happening::Finished(&Outcome::Failed(durable::Error::new("x"))));
        let receive = || {
            let mut datagram = [0; 2048];
            let length = daemon.recv(&mut datagram).unwrap();
            let text = String::from_utf8(datagram[..length].to_vec()).unwrap();
            assert!(!text.contains("secret"), "{text}");
            serde_json::from_str::<Value>(text.strip_prefix(HEADER).unwrap()).unwrap()
        };
        let (step, invocation) = (receive(), receive());
        assert_eq!((&step["name"], &step["type"]), (&json!("build-feature#2"), &json!("subsegment")));
        assert_eq!((&step["parent_id"], &step["trace_id"]), (&invocation["id"], &invocation["trace_id"]));
        assert_eq!((&invocation["name"], &invocation["fault"]), (&json!("build-agent"), &json!(true)));
    }
}
