//! Holds every query that a page makes to the indexes: none may read a table from end to end, or sort more than a page.

use durable::{AuditFilter, EventFilter, RunFilter, Status};
use jiff::Timestamp;
use rusqlite::{Connection, params_from_iter, types::Value};

use crate::{history, keys, schema, search, tallies, vitals};

fn database() -> Connection {
    let mut db = Connection::open_in_memory().unwrap();
    schema::prepare(&mut db).unwrap();
    db
}

/// The steps of SQLite's plan.
fn plan(db: &Connection, sql: &str, values: Vec<Value>) -> Vec<String> {
    let mut query = db.prepare(&format!("explain query plan {sql}")).unwrap();
    query.query_map(params_from_iter(values), |row| row.get(3)).unwrap().map(Result::unwrap).collect()
}

/// Whether a step reads a table otherwise than through an index, from the place on that a condition or an order names.
fn reads_all(step: &str) -> bool {
    // Of what subqueries have found there is a page at most. The audit trail is kept in the order of its pages: a limit
    // ends its scan, unless it is sorted, which is looked for apart.
    let is_found = ["(subquery-", "names", "page", "SCAN audit"].iter().any(|found| step.contains(found));
    step.starts_with("SCAN ") && !is_found && !step.contains("USING")
}

fn assert_indexed(db: &Connection, what: &str, sql: &str, values: Vec<Value>) -> Vec<String> {
    let plan = plan(db, sql, values);
    assert!(!plan.iter().any(|step| reads_all(step)), "{what}: {plan:#?}");
    plan
}

/// How often a plan sorts what it has read from a table, rather than what subqueries of a page each have found.
fn sorts(plan: &[String]) -> usize {
    let is_sort = |step: &String| step.contains("USE TEMP B-TREE FOR ORDER BY");
    let reads = |step: &String| {
        step.starts_with("SEARCH ") || step.starts_with("SCAN ") && !step.contains("(subquery-")
    };
    plan.windows(2).filter(|steps| reads(&steps[0]) && is_sort(&steps[1])).count()
}

fn run_filters() -> Vec<RunFilter> {
    let all = RunFilter::default;
    let some = |text: &str| Some(text.to_owned());
    vec![
        all(),
        RunFilter { statuses: vec![Status::Failed, Status::Cancelled], ..all() },
        RunFilter { workflows: vec!["a".into(), "b".into()], ..all() },
        RunFilter { workflows: vec!["a".into()], statuses: vec![Status::Failed], ..all() },
        RunFilter { from: Some(Timestamp::UNIX_EPOCH), before: Some(Timestamp::MAX), ..all() },
        RunFilter { event_id: some("e"), ..all() },
        RunFilter { event_name: some("e"), statuses: vec![Status::Failed], ..all() },
        RunFilter { key: some("k"), workflows: vec!["a".into()], ..all() },
    ]
}

#[test]
fn a_page_of_runs_is_read_from_indexes_in_their_order() {
    let db = database();
    for filter in run_filters() {
        for after in [None, Some((5, "x".to_owned()))] {
            let query = search::runs(&filter, after, &[], 51);
            let plan = assert_indexed(&db, &format!("{filter:?}"), &query.sql, query.values);
            // The page itself is put in order once more, with its runs.
            let page = plan.iter().rposition(|step| step.contains("SCAN page")).unwrap_or(plan.len());
            assert_eq!(sorts(&plan[..page]), 0, "{filter:?}: {plan:#?}");
        }
    }
}

#[test]
fn a_text_is_looked_up_in_indexes() {
    let db = database();
    for text in ["0", "0123", "0123456789"] {
        let filter = RunFilter { text: Some(text.to_owned()), ..RunFilter::default() };
        let query = search::runs(&filter, None, &["a".into(), "b".into()], 51);
        let plan = assert_indexed(&db, text, &query.sql, query.values);
        let page = plan.iter().rposition(|step| step.contains("SCAN page")).unwrap_or(plan.len());
        // The few whose id begins with so much are sorted.
        assert_eq!(sorts(&plan[..page]), usize::from(text.len() >= 4), "{plan:#?}");
    }
    assert_indexed(&db, "the workflows", history::WORKFLOWS, Vec::new());
}

#[test]
fn every_other_page_reads_from_indexes() {
    let db = database();
    let none = |count: usize| vec![Value::Null; count];
    for (what, sql, count) in [
        ("the runs of an event", history::OF_EVENT, 2),
        ("lines", keys::LINES, 4),
        ("a line", keys::LINE, 2),
        ("ledgers", keys::LEDGERS, 4),
        ("hours", tallies::HOURS, 3),
        ("durations", tallies::DURATIONS, 3),
        ("the oldest that waits", vitals::OLDEST, 0),
        ("what is overdue", vitals::OVERDUE, 2),
    ] {
        assert_indexed(&db, what, sql, none(count));
    }
    for name in [None, Some("n".to_owned())] {
        let filter = EventFilter { name: name.clone(), ..EventFilter::default() };
        let (sql, values) = history::events(&filter, Some((5, "x".to_owned())), 51);
        assert_eq!(sorts(&assert_indexed(&db, "events", &sql, values)), 0);
        let (sql, values) = history::audit(&AuditFilter { target: name, ..AuditFilter::default() }, None, 51);
        assert_eq!(sorts(&assert_indexed(&db, "audit", &sql, values)), 0);
    }
}

#[test]
fn a_table_that_is_read_from_end_to_end_is_noticed() {
    let db = database();
    assert!(plan(&db, "select run from runs order by run", Vec::new()).iter().any(|step| reads_all(step)));
}
