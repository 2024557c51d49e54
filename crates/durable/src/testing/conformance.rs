//! What every backend must do, as checks that any implementation of the ports is put to.
//!
//! All of them use times of their own, so they need no clock. Each panics with what does not hold.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a suite of checks fails by panicking")]

mod inspect;

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::json;

use crate::{
    Admission, Begin, Checkpoint, Envelope, Error, Lease, Outcome, Payload, Ports, Run, RunId, Slot, Status,
    StepId, StepKind, StepState, Suspended, Suspension, WaitingFor, Window, Written, after,
    callback::{Answer, Settled, Token},
    seconds,
    singleton::{Claim, Claimant},
};

pub use inspect::{inspect_suite, statistics_suite};

/// Puts a backend to all checks. Names are made from `prefix`, so that a shared backend can be checked again.
pub async fn suite(ports: &Ports, prefix: &str) {
    lease_is_exclusive_and_expires(ports, prefix).await;
    one_claimant_of_many_gets_the_lease(ports, prefix).await;
    a_step_has_one_result(ports, prefix).await;
    one_writer_of_many_records_the_step(ports, prefix).await;
    a_fenced_writer_changes_nothing(ports, prefix).await;
    a_suspension_is_kept(ports, prefix).await;
    an_answer_wakes_and_is_kept(ports, prefix).await;
    an_answer_that_was_not_seen_keeps_the_run_awake(ports, prefix).await;
    an_answer_to_what_is_over_is_late(ports, prefix).await;
    a_run_ends_once(ports, prefix).await;
    a_cancelled_run_is_fenced(ports, prefix).await;
    slots_go_out_in_order(ports, prefix).await;
    a_giver_wakes_its_own_and_who_left_joins_at_the_end(ports, prefix).await;
    one_claimant_of_many_gets_the_last_slot(ports, prefix).await;
    throttles_are_strict(ports, prefix).await;
    the_newest_run_supersedes(ports, prefix).await;
    blobs_read_back_equal(ports, prefix).await;
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn queued(prefix: &str, name: &str) -> Run {
    let event = Envelope {
        id: format!("{prefix}-{name}"),
        name: "test".into(),
        data: json!({"n": 1}),
        sent_at: at(0),
    };
    Run::queued(&format!("{prefix}-workflow"), event, at(0))
}

fn completed(step: &str, value: &str) -> Checkpoint {
    record(step, StepState::Completed { output: Payload::Json(value.into()) })
}

fn record(step: &str, state: StepState) -> Checkpoint {
    let step = StepId { name: step.into(), nth: 1 };
    Checkpoint { at: at(2), ..Checkpoint::new(step, StepKind::Run, state, at(1)) }
}

async fn begin(ports: &Ports, prefix: &str, name: &str) -> (Lease, Run) {
    let Begin::Leased(run) = ports.journal.begin(queued(prefix, name), at(0), at(30)).await.unwrap() else {
        panic!("a new run is leased")
    };
    (Lease { run: run.id.clone(), epoch: run.epoch }, *run)
}

async fn lease_is_exclusive_and_expires(ports: &Ports, prefix: &str) {
    let (lease, run) = begin(ports, prefix, "lease").await;
    assert_eq!((lease.epoch, run.status), (1, Status::Running));
    assert_eq!(run.event, queued(prefix, "lease").event, "the event is kept as it came");
    let again = ports.journal.begin(queued(prefix, "lease"), at(29), at(60)).await.unwrap();
    assert_eq!(again, Begin::Busy(at(30)), "a repeated delivery finds the run, held");
    ports.journal.renew(&lease, at(50)).await.unwrap();
    assert_eq!(ports.journal.resume(&lease.run, at(49), at(80)).await.unwrap(), Begin::Busy(at(50)));
    let Begin::Leased(next) = ports.journal.resume(&lease.run, at(50), at(80)).await.unwrap() else {
        panic!("an expired lease is free")
    };
    assert_eq!(next.epoch, 2, "each lease has an epoch of its own");
    let nobody = RunId::from_text(format!("{prefix}-nobody"));
    assert_eq!(ports.journal.resume(&nobody, at(0), at(1)).await.unwrap(), Begin::Missing);
}

async fn one_claimant_of_many_gets_the_lease(ports: &Ports, prefix: &str) {
    let claims = (0..64).map(|_| ports.journal.begin(queued(prefix, "claimed"), at(0), at(30)));
    let claims = join_all(claims).await.into_iter().map(Result::unwrap);
    assert_eq!(claims.filter(|claim| matches!(claim, Begin::Leased(_))).count(), 1);
}

async fn a_step_has_one_result(ports: &Ports, prefix: &str) {
    let (lease, _) = begin(ports, prefix, "steps").await;
    let retrying = record("a", StepState::Retrying { until: at(9), error: Error::new("x") });
    let write = async |record: &Checkpoint| ports.journal.checkpoint(&lease, record).await.unwrap();
    assert_eq!(write(&retrying).await, Written::Done(None));
    assert_eq!(write(&completed("b", "1")).await, Written::Done(None));
    assert_eq!(write(&completed("a", "2")).await, Written::Done(None), "what is not final is replaced");
    assert_eq!(
        write(&completed("a", "3")).await,
        Written::Done(Some(completed("a", "2"))),
        "what is final stays"
    );
    let kept = ports.journal.checkpoints(&lease.run).await.unwrap();
    assert_eq!(kept, [completed("a", "2"), completed("b", "1")], "in the order of their first record");
}

async fn one_writer_of_many_records_the_step(ports: &Ports, prefix: &str) {
    let (lease, _) = begin(ports, prefix, "raced").await;
    let records: Vec<_> = (0..64).map(|n| completed("raced", &n.to_string())).collect();
    let written = join_all(records.iter().map(|record| ports.journal.checkpoint(&lease, record))).await;
    let written: Vec<_> = written.into_iter().map(Result::unwrap).collect();
    assert_eq!(written.iter().filter(|written| **written == Written::Done(None)).count(), 1);
    let [kept] = &ports.journal.checkpoints(&lease.run).await.unwrap()[..] else { panic!("one record") };
    let told = written.iter().filter(|written| **written == Written::Done(Some(kept.clone()))).count();
    assert_eq!(told, 63, "all others are told the one result");
}

async fn a_fenced_writer_changes_nothing(ports: &Ports, prefix: &str) {
    let (old, _) = begin(ports, prefix, "fenced").await;
    ports.journal.resume(&old.run, at(40), at(70)).await.unwrap();
    let before = ports.journal.run(&old.run).await.unwrap();
    let journal = &ports.journal;
    assert_eq!(journal.checkpoint(&old, &completed("a", "1")).await.unwrap(), Written::Fenced);
    assert_eq!(journal.renew(&old, at(99)).await.unwrap(), Written::Fenced);
    let suspension = suspension(Some(at(50)));
    assert_eq!(journal.suspend(&old, suspension, &[completed("b", "1")]).await.unwrap(), Suspended::Fenced);
    let outcome = Outcome::Failed(Error::new("x"));
    assert_eq!(journal.finish(&old, &outcome, None, at(50)).await.unwrap(), Written::Fenced);
    assert_eq!(ports.journal.run(&old.run).await.unwrap(), before);
    assert_eq!(ports.journal.checkpoints(&old.run).await.unwrap(), []);
}

fn suspension(wake_at: Option<Timestamp>) -> Suspension {
    let step = StepId { name: "nap".into(), nth: 2 };
    Suspension {
        status: Status::Waiting,
        waiting_for: vec![WaitingFor::Sleep { step, until: at(50) }],
        wake_at,
        failures: 2,
        started_at: Some(at(1)),
        signals: 0,
    }
}

async fn a_suspension_is_kept(ports: &Ports, prefix: &str) {
    let (lease, _) = begin(ports, prefix, "suspended").await;
    let nap = record("nap", StepState::Sleeping { until: at(50) });
    let written =
        ports.journal.suspend(&lease, suspension(Some(at(50))), std::slice::from_ref(&nap)).await.unwrap();
    assert_eq!(written, Suspended::Done);
    let run = ports.journal.run(&lease.run).await.unwrap().unwrap();
    assert_eq!((run.status, run.failures, run.started_at), (Status::Waiting, 2, Some(at(1))));
    assert_eq!(run.waiting_for, suspension(None).waiting_for);
    let early = ports.journal.resume(&lease.run, at(49), at(80)).await.unwrap();
    assert_eq!(early, Begin::Early(at(50)), "a stray wake-up changes nothing");
    let Begin::Leased(resumed) = ports.journal.resume(&lease.run, at(50), at(80)).await.unwrap() else {
        panic!("a run that is due is leased")
    };
    assert_eq!((resumed.epoch, resumed.failures, resumed.started_at), (2, 2, Some(at(1))));
    assert_eq!(ports.journal.checkpoints(&lease.run).await.unwrap(), [nap]);
    let next = Lease { epoch: 2, ..lease };
    ports.journal.suspend(&next, suspension(None), &[]).await.unwrap();
    let handed = ports.journal.resume(&next.run, at(51), at(80)).await.unwrap();
    assert!(matches!(handed, Begin::Leased(_)), "a run that somebody else wakes is never early");
}

fn token(run: &RunId, step: &str, attempt: u32) -> Token {
    Token { run: run.clone(), step: StepId { name: step.into(), nth: 1 }, attempt }
}

fn listening(step: &str, attempts: u32, until: Timestamp) -> Checkpoint {
    let state = StepState::Listening { until, silence: Some(seconds(10)), alive_until: Some(at(12)) };
    Checkpoint { kind: StepKind::Callback, attempts, ..record(step, state) }
}

fn done() -> Answer {
    Answer::Done(Payload::Json("7".into()))
}

async fn an_answer_wakes_and_is_kept(ports: &Ports, prefix: &str) {
    let (lease, _) = begin(ports, prefix, "answered").await;
    let journal = &ports.journal;
    journal.checkpoint(&lease, &listening("ask", 1, at(90))).await.unwrap();
    let asleep = Suspension { wake_at: Some(at(90)), ..suspension(None) };
    assert_eq!(journal.suspend(&lease, asleep, &[]).await.unwrap(), Suspended::Done);
    let token = token(&lease.run, "ask", 1);
    assert_eq!(journal.settle(&token, &Answer::Alive, at(8)).await.unwrap(), Settled::Done(None));
    let early = journal.resume(&lease.run, at(9), at(80)).await.unwrap();
    assert_eq!(early, Begin::Early(at(90)), "a sign of life wakes nobody");
    let Settled::Done(Some(run)) = journal.settle(&token, &done(), at(20)).await.unwrap() else {
        panic!("an answer wakes the run")
    };
    assert_eq!((run.signals, run.workflow), (1, format!("{prefix}-workflow")));
    assert_eq!(journal.settle(&token, &done(), at(21)).await.unwrap(), Settled::Late, "one answer a step");
    let Begin::Leased(run) = journal.resume(&lease.run, at(21), at(80)).await.unwrap() else {
        panic!("it is due")
    };
    assert_eq!((run.epoch, run.signals), (2, 1));
    let [kept] = &journal.checkpoints(&lease.run).await.unwrap()[..] else { panic!("one record") };
    assert_eq!(kept.state, StepState::Completed { output: Payload::Json("7".into()) });
    assert_eq!((kept.started_at, kept.at, kept.attempts), (at(1), at(20), 1));
}

async fn an_answer_that_was_not_seen_keeps_the_run_awake(ports: &Ports, prefix: &str) {
    let (lease, _) = begin(ports, prefix, "unseen").await;
    let journal = &ports.journal;
    let refused = Answer::Failed(Error::new("no"));
    let settled = journal.settle(&token(&lease.run, "ask", 1), &refused, at(5)).await.unwrap();
    assert!(
        matches!(settled, Settled::Done(Some(_))),
        "an answer may be quicker than the record of the question"
    );
    let Written::Done(Some(standing)) =
        journal.checkpoint(&lease, &listening("ask", 1, at(90))).await.unwrap()
    else {
        panic!("the answer stands")
    };
    assert_eq!(standing.state, StepState::Refused { error: Error::new("no") });
    let unseen = journal.suspend(&lease, suspension(Some(at(90))), &[]).await.unwrap();
    assert_eq!(unseen, Suspended::Signalled(1));
    let seen = Suspension { signals: 1, ..suspension(Some(at(90))) };
    assert_eq!(journal.suspend(&lease, seen, &[]).await.unwrap(), Suspended::Done);
    let early = journal.resume(&lease.run, at(9), at(80)).await.unwrap();
    assert_eq!(early, Begin::Early(at(90)), "an answer that was seen wakes nobody");
}

async fn an_answer_to_what_is_over_is_late(ports: &Ports, prefix: &str) {
    let (lease, _) = begin(ports, prefix, "over").await;
    let journal = &ports.journal;
    journal.checkpoint(&lease, &listening("ask", 2, at(90))).await.unwrap();
    let settle = async |attempt| journal.settle(&token(&lease.run, "ask", attempt), &done(), at(5)).await;
    assert_eq!(settle(1).await.unwrap(), Settled::Late, "another attempt has begun");
    assert_eq!(settle(4).await.unwrap(), Settled::Late, "no such attempt has begun");
    journal.finish(&lease, &Outcome::Failed(Error::new("x")), None, at(6)).await.unwrap();
    assert_eq!(settle(2).await.unwrap(), Settled::Late, "the run has ended");
    let nobody = token(&RunId::from_text(format!("{prefix}-nobody")), "ask", 1);
    assert_eq!(journal.settle(&nobody, &done(), at(5)).await.unwrap(), Settled::Missing);
}

async fn a_run_ends_once(ports: &Ports, prefix: &str) {
    let (lease, _) = begin(ports, prefix, "ended").await;
    let output = Outcome::Completed(Payload::Json("42".into()));
    assert_eq!(ports.journal.finish(&lease, &output, Some(at(1)), at(3)).await.unwrap(), Written::Done(()));
    let outcome = Outcome::Failed(Error::fatal("late"));
    assert_eq!(ports.journal.finish(&lease, &outcome, None, at(4)).await.unwrap(), Written::Fenced);
    let Begin::Ended(run) = ports.journal.resume(&lease.run, at(90), at(99)).await.unwrap() else {
        panic!("it ended")
    };
    assert_eq!((run.status, run.started_at, run.ended_at), (Status::Completed, Some(at(1)), Some(at(3))));
    assert_eq!((run.output, run.error), (Some(Payload::Json("42".into())), None));
}

async fn a_cancelled_run_is_fenced(ports: &Ports, prefix: &str) {
    let (lease, _) = begin(ports, prefix, "cancelled").await;
    let run = ports.journal.cancel(&lease.run, at(3)).await.unwrap().unwrap();
    assert_eq!((run.status, run.ended_at), (Status::Cancelled, Some(at(3))));
    assert_eq!(ports.journal.checkpoint(&lease, &completed("a", "1")).await.unwrap(), Written::Fenced);
    let again = ports.journal.cancel(&lease.run, at(9)).await.unwrap().unwrap();
    assert_eq!(again.ended_at, Some(at(3)), "what has ended stays as it ended");
    let nobody = RunId::from_text(format!("{prefix}-nobody"));
    assert_eq!(ports.journal.cancel(&nobody, at(9)).await.unwrap(), None);
}

async fn slots_go_out_in_order(ports: &Ports, prefix: &str) {
    let key = format!("{prefix}-slots");
    let run = |n: u32| RunId::of(&key, &n.to_string());
    let acquire = async |n| ports.gate.acquire(&key, 1, &run(n)).await.unwrap();
    let release = async |n| ports.gate.release(&key, 1, &run(n)).await.unwrap();
    assert_eq!(acquire(1).await, Slot::Held);
    assert_eq!(acquire(1).await, Slot::Held, "asking again changes nothing");
    assert_eq!((acquire(2).await, acquire(3).await), (Slot::Waiting(1), Slot::Waiting(2)));
    assert_eq!(release(1).await, [run(2)]);
    assert_eq!(release(1).await, [run(2)], "whoever does not know of its slot is woken again");
    assert_eq!((acquire(3).await, acquire(2).await), (Slot::Waiting(1), Slot::Held));
    assert_eq!(release(3).await, [], "a run may leave the line");
    assert_eq!(release(2).await, []);
    assert_eq!(acquire(3).await, Slot::Held);
}

async fn a_giver_wakes_its_own_and_who_left_joins_at_the_end(ports: &Ports, prefix: &str) {
    let key = format!("{prefix}-givers");
    let run = |n: u32| RunId::of(&key, &n.to_string());
    let acquire = async |n| ports.gate.acquire(&key, 2, &run(n)).await.unwrap();
    let release = async |n| ports.gate.release(&key, 2, &run(n)).await.unwrap();
    assert_eq!((acquire(1).await, acquire(2).await), (Slot::Held, Slot::Held));
    for n in 3..=5 {
        assert_eq!(acquire(n).await, Slot::Waiting(n - 2));
    }
    assert_eq!((release(1).await, release(2).await), (vec![run(3)], vec![run(4)]));
    assert_eq!(
        (release(1).await, release(2).await),
        (vec![run(3)], vec![run(4)]),
        "each wakes its own again"
    );
    assert_eq!(acquire(3).await, Slot::Held);
    assert_eq!((release(1).await, release(2).await), (Vec::new(), vec![run(4)]), "who has come is not woken");
    assert_eq!(acquire(1).await, Slot::Waiting(2), "who stepped out stands behind those who stayed");
    assert_eq!(release(4).await, [run(5)], "who never came passes its slot on");
    assert_eq!(release(3).await, [run(1)]);
    assert_eq!((acquire(1).await, acquire(5).await), (Slot::Held, Slot::Held));
}

async fn one_claimant_of_many_gets_the_last_slot(ports: &Ports, prefix: &str) {
    let key = format!("{prefix}-last-slot");
    let runs: Vec<_> = (0..64).map(|n| RunId::of(&key, &n.to_string())).collect();
    let slots = join_all(runs.iter().map(|run| ports.gate.acquire(&key, 1, run))).await;
    let mut waiting: Vec<_> = slots
        .into_iter()
        .filter_map(|slot| match slot.unwrap() {
            Slot::Held => None,
            Slot::Waiting(position) => Some(position),
        })
        .collect();
    waiting.sort_unstable();
    assert!(waiting.iter().copied().eq(1..=63), "63 wait, each in a place of its own: {waiting:?}");
}

async fn the_newest_run_supersedes(ports: &Ports, prefix: &str) {
    let key = format!("{prefix}-singleton");
    let run = |name: &str| RunId::of(prefix, name);
    let claim = async |name: &str, second| {
        let claimant = Claimant { at: at(second), run: run(name) };
        ports.gate.claim(&key, &claimant).await.unwrap()
    };
    let newest =
        |superseded: &[&str]| Claim::Newest { superseded: superseded.iter().map(|name| run(name)).collect() };
    assert_eq!(claim("a", 1).await, newest(&[]));
    assert_eq!(claim("b", 2).await, newest(&["a"]));
    assert_eq!(claim("c", 3).await, newest(&["a", "b"]), "nobody has said that a run has ended");
    assert_eq!(claim("b", 2).await, Claim::Superseded);
    ports.gate.acknowledge(&key, &[run("a"), run("b")]).await.unwrap();
    ports.gate.acknowledge(&key, &[run("a")]).await.unwrap();
    assert_eq!(claim("c", 3).await, newest(&[]));
    let names: Vec<_> = (10..26).map(|name| name.to_string()).collect();
    let claims = join_all(names.iter().map(|name| claim(name, name.parse().unwrap()))).await;
    assert!(claims.iter().any(|claimed| *claimed != Claim::Superseded), "one of them is the newest");
    let Claim::Newest { superseded } = claim("25", 25).await else { panic!("the newest of all") };
    let mut told: Vec<_> = claims
        .into_iter()
        .flat_map(|claimed| if let Claim::Newest { superseded } = claimed { superseded } else { Vec::new() })
        .chain(superseded)
        .collect();
    told.push(run("25"));
    for (name, claimant) in names.iter().map(|name| (name, run(name))) {
        let is_late = ports.gate.claim(&key, &Claimant { at: at(0), run: claimant.clone() }).await.unwrap();
        assert!(told.contains(&claimant) || is_late == Claim::Superseded, "{name} was lost");
    }
}

async fn throttles_are_strict(ports: &Ports, prefix: &str) {
    let windows = [Window { limit: 2, period: seconds(60) }, Window { limit: 3, period: seconds(600) }];
    let key = format!("{prefix}-throttle");
    let admit = async |id: &str, second| ports.gate.admit(&key, &windows, id, at(second)).await.unwrap();
    let tick = |second| after(at(second), std::time::Duration::from_millis(1));
    assert_eq!((admit("a", 0).await, admit("b", 1).await), (Admission::Go, Admission::Go));
    assert_eq!(admit("b", 1).await, Admission::Go, "a start is a start once");
    assert_eq!(admit("a", 2).await, Admission::Go, "and counts from when it was admitted last");
    assert_eq!(admit("c", 2).await, Admission::At(tick(61)));
    assert_eq!(admit("d", 2).await, Admission::At(tick(601)));
    assert_eq!(admit("c", 3).await, Admission::At(tick(61)), "asking again changes nothing");
    ports.gate.withdraw(&key, "d").await.unwrap();
    assert_eq!(admit("e", 2).await, Admission::At(tick(601)), "a place given back is used");
    assert_eq!(admit("c", 62).await, Admission::Go);
    let other = ports.gate.admit(&format!("{key}-other"), &windows, "c", at(2)).await.unwrap();
    assert_eq!(other, Admission::Go, "keys are apart");
}

async fn blobs_read_back_equal(ports: &Ports, prefix: &str) {
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let key = format!("{prefix}/blob");
    ports.blobs.put(&key, bytes.clone()).await.unwrap();
    ports.blobs.put(&key, bytes.clone()).await.unwrap();
    assert!(ports.blobs.get(&key).await.unwrap() == bytes);
    assert!(ports.blobs.get(&format!("{key}-none")).await.is_err());
}
