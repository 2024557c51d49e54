//! What every backend must let people see and steer.

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::json;

use super::{at, begin, completed, queued, record, suspension};
use crate::{
    Action, ActionResult, AuditEntry, AuditFilter, Counts, Cursor, Desk, Envelope, Error, EventFilter,
    Outcome, Page, PageRequest, Pause, Payload, Run, RunFilter, RunId, Slot, Status, StepState, Suspended,
    WaitingFor, Window, Written,
    line::{Member, Place},
    seconds,
};

/// Puts what a backend shows to all checks. Names are made from `prefix`, so that a shared backend can be checked again.
pub async fn inspect_suite(desk: &Desk, prefix: &str) {
    runs_are_found_by_whatever_is_known_of_them(desk, prefix).await;
    a_list_does_not_move_under_its_reader(desk, prefix).await;
    a_run_is_created_once_with_its_records(desk, prefix).await;
    the_runs_of_an_event_are_found(desk, prefix).await;
    events_are_kept_once_and_listed_newest_first(desk, prefix).await;
    the_audit_trail_is_listed_newest_first(desk, prefix).await;
    a_line_is_shown_as_it_stands(desk, prefix).await;
    a_ledger_is_shown_as_it_stands(desk, prefix).await;
    a_pause_is_one_until_it_ends(desk, prefix).await;
    what_nobody_made_is_no_cursor(desk).await;
}

/// Puts the numbers of a backend that counts by itself to the check.
pub async fn statistics_suite(desk: &Desk, prefix: &str) {
    numbers_are_counted_by_the_hour(desk, prefix).await;
}

/// All pages of a list, each of so many.
async fn all<T>(size: usize, page: impl AsyncFn(PageRequest) -> Page<T>) -> Vec<T> {
    let (mut items, mut after) = (Vec::new(), None);
    for _ in 0..100 {
        let Page { items: found, next } = page(PageRequest { limit: size, after }).await;
        assert!(found.len() <= size, "a page holds no more than asked for");
        items.extend(found);
        let Some(next) = next else { return items };
        after = Some(next);
    }
    panic!("a list that does not end")
}

/// Runs of two workflows with every status, several created at one time, in two hours.
async fn many(desk: &Desk, prefix: &str) -> Vec<Run> {
    let journal = &desk.ports.journal;
    for n in 0..14_i64 {
        let name = format!("{prefix}-{}", n % 2);
        let event = Envelope {
            id: format!("{prefix}-event-{}", n / 2),
            name: format!("test/{}", n % 3),
            data: json!({"n": n}),
            sent_at: at(n),
        };
        let key = (n % 4 != 3).then(|| format!("{name}:{prefix}-key-{}", n % 4));
        let created_at = at(n / 3 * 1800);
        let run = Run { key, ..Run::queued(&name, event, created_at) };
        if n % 5 == 0 {
            desk.history.create(&run, &[]).await.unwrap();
            continue;
        }
        journal.begin(run.clone(), created_at, at(90_000)).await.unwrap();
        let lease = crate::Lease { run: run.id.clone(), epoch: 1 };
        match n % 5 {
            1 => {
                let output = Outcome::Completed(Payload::Json("1".into()));
                journal.finish(&lease, &output, Some(created_at), at(90_000)).await.unwrap();
            }
            2 => {
                let failed = Outcome::Failed(Error::new("x"));
                journal.finish(&lease, &failed, None, at(90_000)).await.unwrap();
            }
            3 => assert_eq!(
                journal.suspend(&lease, suspension(Some(at(99_000))), &[]).await.unwrap(),
                Suspended::Done
            ),
            _ if n == 4 => {}
            _ => drop(journal.cancel(&run.id, at(90_000)).await.unwrap()),
        }
    }
    let ids =
        (0..14_i64).map(|n| RunId::of(&format!("{prefix}-{}", n % 2), &format!("{prefix}-event-{}", n / 2)));
    let mut runs: Vec<_> = join_all(ids.map(async |id| journal.run(&id).await.unwrap().unwrap())).await;
    runs.sort_by_key(|run| std::cmp::Reverse((run.created_at, run.id.clone())));
    runs
}

fn filters(prefix: &str, runs: &[Run]) -> Vec<RunFilter> {
    let one = || RunFilter { workflows: vec![format!("{prefix}-0")], ..RunFilter::default() };
    let both = || RunFilter { workflows: vec![format!("{prefix}-0"), format!("{prefix}-1")], ..one() };
    let text = |text: String| RunFilter { text: Some(text), ..both() };
    vec![
        one(),
        both(),
        RunFilter { statuses: vec![Status::Failed], ..both() },
        RunFilter { statuses: vec![Status::Queued, Status::Waiting, Status::Cancelled], ..one() },
        RunFilter { statuses: vec![Status::Completed, Status::Running], from: Some(at(1800)), ..both() },
        RunFilter { from: Some(at(1800)), before: Some(at(5400)), ..both() },
        RunFilter { before: Some(at(1)), ..one() },
        RunFilter { event_id: Some(format!("{prefix}-event-3")), ..both() },
        RunFilter { event_id: Some(format!("{prefix}-event-3")), ..one() },
        RunFilter { event_name: Some("test/1".into()), ..both() },
        RunFilter { event_name: Some("test/1".into()), statuses: vec![Status::Waiting], ..both() },
        RunFilter { key: Some(format!("{prefix}-0:{prefix}-key-2")), ..both() },
        RunFilter {
            key: Some(format!("{prefix}-0:{prefix}-key-2")),
            statuses: vec![Status::Failed],
            ..both()
        },
        text(runs[3].id.to_string()),
        text(runs[5].id.as_str()[..6].to_owned()),
        text(runs[5].id.as_str()[..1].to_owned()),
        text(format!("{prefix}-event-2")),
        text(format!("{prefix}-key-1")),
        text(format!("{prefix}-1:{prefix}-key-1")),
        RunFilter { statuses: vec![Status::Completed], ..text(format!("{prefix}-key-1")) },
        text("nothing is called so".into()),
    ]
}

async fn runs_are_found_by_whatever_is_known_of_them(desk: &Desk, prefix: &str) {
    let prefix = &format!("{prefix}-found");
    let runs = many(desk, prefix).await;
    for filter in filters(prefix, &runs) {
        let expected: Vec<_> = runs.iter().filter(|run| filter.matches(run)).cloned().collect();
        for size in [1, 3, 100] {
            let found = all(size, async |page| desk.history.runs(&filter, &page).await.unwrap()).await;
            assert_eq!(found, expected, "by pages of {size}: {filter:?}");
        }
    }
}

async fn a_list_does_not_move_under_its_reader(desk: &Desk, prefix: &str) {
    let prefix = &format!("{prefix}-moving");
    let runs = many(desk, prefix).await;
    let filter =
        RunFilter { workflows: vec![format!("{prefix}-0"), format!("{prefix}-1")], ..RunFilter::default() };
    let first = desk.history.runs(&filter, &PageRequest::first(5)).await.unwrap();
    let mut late = queued(prefix, "late");
    (late.workflow, late.created_at) = (format!("{prefix}-0"), at(80_000));
    desk.history.create(&late, &[]).await.unwrap();
    let second = PageRequest { limit: 100, after: first.next };
    let rest = desk.history.runs(&filter, &second).await.unwrap();
    assert_eq!(
        [first.items, rest.items].concat(),
        runs,
        "what came later is not in it, and nothing is missing"
    );

    let alive = vec![Status::Queued, Status::Running, Status::Waiting];
    let filter = RunFilter { statuses: alive, ..filter };
    let first = desk.history.runs(&filter, &PageRequest::first(2)).await.unwrap();
    let next = PageRequest { limit: 100, after: first.next };
    let rest = desk.history.runs(&filter, &next).await.unwrap();
    for run in &first.items {
        desk.ports.journal.cancel(&run.id, at(99_000)).await.unwrap();
    }
    let after = desk.history.runs(&filter, &next).await.unwrap();
    assert!(rest.items.len() > 1, "there are more");
    assert_eq!(after.items, rest.items, "a page goes on though the one before it is in the list no more");
}

async fn a_run_is_created_once_with_its_records(desk: &Desk, prefix: &str) {
    let run = Run { rerun_of: Some(RunId::of("x", "y")), key: Some("k".into()), ..queued(prefix, "created") };
    let records = [completed("a", "1"), completed("b", "2")];
    assert!(desk.history.create(&run, &records).await.unwrap());
    assert!(!desk.history.create(&run, &[completed("c", "3")]).await.unwrap(), "there is one");
    let journal = &desk.ports.journal;
    assert_eq!(journal.checkpoints(&run.id).await.unwrap(), records);
    assert_eq!(journal.run(&run.id).await.unwrap().as_ref(), Some(&run));
    let crate::Begin::Leased(leased) = journal.resume(&run.id, at(1), at(30)).await.unwrap() else {
        panic!("it waits for its first wake-up")
    };
    assert_eq!((leased.epoch, leased.rerun_of, leased.key), (1, run.rerun_of, run.key));
}

async fn the_runs_of_an_event_are_found(desk: &Desk, prefix: &str) {
    let (_, run) = begin(&desk.ports, prefix, "of-event").await;
    let again = crate::run_again(&run, "1", at(5));
    desk.history.create(&again, &[]).await.unwrap();
    let ids = [run.event.id.clone(), format!("{prefix}-unheard-of")];
    let found = desk.history.runs_of_events(&ids).await.unwrap();
    let found: Vec<Vec<_>> =
        found.into_iter().map(|runs| runs.into_iter().map(|run| run.id).collect()).collect();
    assert_eq!(found, [vec![run.id, again.id], vec![]], "reruns included, the oldest first");
}

async fn events_are_kept_once_and_listed_newest_first(desk: &Desk, prefix: &str) {
    let event = |n: i64| Envelope {
        id: format!("{prefix}-kept-{n}"),
        name: format!("{prefix}/{}", n % 2),
        data: json!({"n": n, "text": "x".repeat(if n == 3 { 9_000 } else { 5 })}),
        sent_at: at(n / 2),
    };
    let events: Vec<_> = (0..6).map(event).collect();
    desk.history.record(&events).await.unwrap();
    let changed = Envelope { data: json!("another"), ..event(3) };
    desk.history.record(&[changed]).await.unwrap();
    assert_eq!(desk.history.event(&event(3).id).await.unwrap(), Some(event(3)), "the first stays");
    assert_eq!(desk.history.event(&format!("{prefix}-none")).await.unwrap(), None);
    for (filter, expected) in [
        (EventFilter { name: Some(format!("{prefix}/1")), ..EventFilter::default() }, vec![5, 3, 1]),
        (EventFilter { name: Some(format!("{prefix}/0")), from: Some(at(1)), before: Some(at(2)) }, vec![2]),
        (EventFilter { name: Some(format!("{prefix}/2")), ..EventFilter::default() }, vec![]),
    ] {
        let found = all(2, async |page| desk.history.events(&filter, &page).await.unwrap()).await;
        let expected: Vec<_> = expected.into_iter().map(event).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    let every = EventFilter { from: Some(at(0)), before: Some(at(3)), ..EventFilter::default() };
    let found = all(100, async |page| desk.history.events(&every, &page).await.unwrap()).await;
    let ours: Vec<_> =
        found.into_iter().filter(|found| found.id.starts_with(&format!("{prefix}-kept"))).collect();
    let expected: Vec<_> = (0..6).rev().map(event).collect();
    assert_eq!(ours, expected, "of whatever name");
}

async fn the_audit_trail_is_listed_newest_first(desk: &Desk, prefix: &str) {
    let entry = |n: i64| AuditEntry {
        id: format!("{prefix}-deed-{n}"),
        at: at(n),
        who: "somebody".into(),
        action: Action::Cancel,
        target: format!("{prefix}-target-{}", n % 2),
        detail: json!({"n": n}),
        result: ActionResult::Asked,
    };
    for n in 0..5 {
        desk.history.note(&entry(n)).await.unwrap();
    }
    let done = AuditEntry { result: ActionResult::Failed("too late".into()), ..entry(2) };
    desk.history.note(&done).await.unwrap();
    let filter = AuditFilter { target: Some(format!("{prefix}-target-0")), ..AuditFilter::default() };
    let found = all(2, async |page| desk.history.audit(&filter, &page).await.unwrap()).await;
    assert_eq!(found, [entry(4), done.clone(), entry(0)]);
    let filter = AuditFilter { from: Some(at(1)), before: Some(at(4)), ..AuditFilter::default() };
    let found = all(100, async |page| desk.history.audit(&filter, &page).await.unwrap()).await;
    let ours: Vec<_> =
        found.into_iter().filter(|found| found.id.starts_with(&format!("{prefix}-deed"))).collect();
    assert_eq!(ours, [entry(3), done, entry(1)]);
}

async fn a_line_is_shown_as_it_stands(desk: &Desk, prefix: &str) {
    let (gate, keys) = (&desk.ports.gate, &desk.keys);
    let key = |n: u32| format!("{prefix}-shown-{n}");
    let run = |n: u32| RunId::of(prefix, &n.to_string());
    for n in 1..=4 {
        gate.acquire(&key(1), 2, &run(n)).await.unwrap();
    }
    assert_eq!(gate.acquire(&key(2), 1, &run(5)).await.unwrap(), Slot::Held);
    gate.acquire(&key(3), 1, &run(6)).await.unwrap();
    gate.release(&key(3), 1, &run(6)).await.unwrap();
    let line = keys.line(&key(1)).await.unwrap();
    let member = |n, place| Member { run: run(n), place };
    let (holding, waiting) = (Place::Holding, Place::Waiting);
    let mut members = line.members.clone();
    // Those that hold it may be shown in any order: it says nothing about them.
    members[..2].sort_by_key(|member| member.run != run(1));
    assert_eq!(members, [member(1, holding), member(2, holding), member(3, waiting), member(4, waiting)]);
    assert_eq!(line.slots, 2);
    assert_eq!(keys.line(&format!("{prefix}-no-line")).await.unwrap().members, []);
    let found = all(1, async |page| keys.lines(&format!("{prefix}-shown-"), &page).await.unwrap()).await;
    let found: Vec<_> =
        found.into_iter().map(|line| (line.key, line.slots, line.held, line.waiting)).collect();
    assert_eq!(found, [(key(1), 2, 2, 2), (key(2), 1, 1, 0)]);
}

async fn a_ledger_is_shown_as_it_stands(desk: &Desk, prefix: &str) {
    let windows = [Window { limit: 1, period: seconds(60) }];
    let key = |n: u32| format!("{prefix}-ledger-{n}");
    for (n, id) in [(1, "a"), (1, "b"), (1, "c"), (2, "d")] {
        desk.ports.gate.admit(&key(n), &windows, id, at(0)).await.unwrap();
    }
    let starts = desk.keys.ledger(&key(1)).await.unwrap();
    let shown: Vec<_> = starts.iter().map(|start| (start.id.as_str(), start.started)).collect();
    assert_eq!(shown, [("a", true), ("b", false), ("c", false)]);
    let found =
        all(1, async |page| desk.keys.ledgers(&format!("{prefix}-ledger-"), &page).await.unwrap()).await;
    let found: Vec<_> =
        found.into_iter().map(|ledger| (ledger.key, ledger.started, ledger.reserved, ledger.next)).collect();
    assert_eq!(found, [(key(1), 1, 2, Some(starts[1].at)), (key(2), 1, 0, None)]);
    assert_eq!(desk.keys.ledger(&format!("{prefix}-no-ledger")).await.unwrap(), []);
}

async fn a_pause_is_one_until_it_ends(desk: &Desk, prefix: &str) {
    let (pauses, workflow) = (&desk.ports.pauses, format!("{prefix}-workflow"));
    let pause = Pause { workflow: workflow.clone(), since: at(1), by: "somebody".into() };
    assert!(!pauses.is_paused(&workflow, true).await.unwrap());
    assert!(pauses.pause(&pause).await.unwrap());
    let again = Pause { since: at(2), by: "another".into(), ..pause.clone() };
    assert!(!pauses.pause(&again).await.unwrap(), "it was paused");
    assert!(pauses.is_paused(&workflow, true).await.unwrap());
    assert!(!pauses.is_paused(&format!("{prefix}-other"), true).await.unwrap());
    assert!(pauses.pauses().await.unwrap().contains(&pause), "the first stays");
    assert!(pauses.unpause(&workflow, at(3)).await.unwrap());
    assert!(!pauses.unpause(&workflow, at(4)).await.unwrap(), "it had ended");
    assert!(!pauses.is_paused(&workflow, true).await.unwrap());
    assert!(pauses.pauses().await.unwrap().iter().all(|pause| pause.workflow != workflow));
    assert!(pauses.pause(&pause).await.unwrap(), "it may be paused again");
    assert!(pauses.unpause(&workflow, at(5)).await.unwrap());
}

async fn what_nobody_made_is_no_cursor(desk: &Desk) {
    let page = PageRequest { limit: 5, after: Some(Cursor::from_text("made up")) };
    let (runs, events) = (RunFilter::default(), EventFilter::default());
    let (runs, events) = (desk.history.runs(&runs, &page), desk.history.events(&events, &page));
    for error in [runs.await.unwrap_err(), events.await.unwrap_err()] {
        assert!(error.message().starts_with("cursor: expected"), "{error}");
    }
}

async fn numbers_are_counted_by_the_hour(desk: &Desk, prefix: &str) {
    let (prefix, journal) = (&format!("{prefix}-numbers"), &desk.ports.journal);
    let hour = |n: i64| at(n * 3600);
    let (lease, _) = begin(&desk.ports, prefix, "counted").await;
    let retrying = record("a", StepState::Retrying { until: hour(1), error: Error::new("x") });
    for _ in 0..2 {
        journal.checkpoint(&lease, &retrying).await.unwrap();
    }
    let wait = WaitingFor::Retry { until: hour(1), attempts: 1, error: "x".into() };
    let pause = crate::Suspension { waiting_for: vec![wait], failures: 1, ..suspension(Some(hour(1))) };
    journal.suspend(&lease, pause, &[]).await.unwrap();
    journal.resume(&lease.run, hour(1), hour(2)).await.unwrap();
    let lease = crate::Lease { epoch: 2, ..lease };
    let output = Outcome::Completed(Payload::Json("1".into()));
    let finish = async || journal.finish(&lease, &output, None, at(3700)).await.unwrap();
    assert_eq!((finish().await, finish().await), (Written::Done(()), Written::Fenced));
    let (other, _) = begin(&desk.ports, prefix, "counted-too").await;
    journal.cancel(&other.run, hour(2)).await.unwrap();
    let workflow = format!("{prefix}-workflow");
    let statistics = async |from: Timestamp, to| {
        let names = [workflow.clone(), format!("{prefix}-never-run")];
        let [ours, none] = &desk.history.statistics(&names, from, to).await.unwrap()[..] else {
            panic!("two")
        };
        assert_eq!((none.totals, none.p50_ms), (Counts::default(), None));
        ours.clone()
    };
    let before = statistics(hour(-1), hour(0)).await;
    assert_eq!((before.hours.len(), before.totals), (1, Counts::default()));
    let found = statistics(hour(0), hour(3)).await;
    let by_hour: Vec<_> = found.hours.iter().map(|hour| (hour.at, hour.counts)).collect();
    let none = Counts::default();
    let started = Counts { started: 1, ..none };
    let completed = Counts { completed: 1, retried: 2, ..none };
    let cancelled = Counts { cancelled: 1, ..none };
    assert_eq!(by_hour, [(hour(0), started), (hour(1), completed), (hour(2), cancelled)]);
    assert!(found.p50_ms.is_some_and(|ms| (3_330_000..4_070_000).contains(&ms)), "{found:?}");
}
