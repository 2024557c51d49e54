//! Tables read page by page.

use durable::{Error, ErrorKind};
use fibreflow::{
    mirror::{Table, Tables},
    neon::{Neon, PAGE, Page, Span},
    sandbox::postgres::PostgresSandbox,
};

use crate::server::{execute, home, neon, row, with_server};

fn configured(json: &str) -> Table {
    Tables::read(Some(&format!(r#"{{"tables": [{json}]}}"#))).unwrap().tables.remove(0)
}

async fn page(server: &PostgresSandbox, table: &Table, span: &Span) -> Page {
    neon(server.url()).page(table, span).await.unwrap()
}

/// All keys, and how many rows each page had.
async fn read_all(server: &PostgresSandbox, table: &Table) -> (Vec<String>, Vec<usize>) {
    let (mut keys, mut sizes, mut span) = (Vec::new(), Vec::new(), Span::default());
    loop {
        let page = page(server, table, &span).await;
        sizes.push(page.rows.len());
        keys.extend(page.rows.into_iter().map(|row| row.key));
        if !page.more {
            return (keys, sizes);
        }
        span.after = keys.last().cloned();
    }
}

async fn error(server: &PostgresSandbox, json: &str) -> Error {
    neon(server.url()).page(&configured(json), &Span::default()).await.unwrap_err()
}

#[tokio::test]
async fn every_row_is_on_one_page_whatever_the_key_is() {
    let home = home();
    with_server(home.path(), async |server| {
        execute(
            server,
            "create table numbers as select n::int as id from generate_series(-3, 1200) as n;
             create table ids as select md5(n::text)::uuid as id from generate_series(1, 1000) as n;
             create table names as select 'Ä' || md5(n::text) || '\"\\,{}' as \"the name\" from generate_series(1, 500) as n",
        )
        .await;
        let (keys, sizes) = read_all(server, &configured(r#"{"name": "numbers"}"#)).await;
        let expected: Vec<_> = (-3..=1200).map(|n| n.to_string()).collect();
        assert_eq!((keys, sizes), (expected, vec![PAGE, PAGE, 204]));
        let (keys, sizes) = read_all(server, &configured(r#"{"name": "public.ids"}"#)).await;
        assert!(keys.is_sorted());
        assert_eq!((keys.len(), sizes), (1000, vec![PAGE, PAGE]));

        let names = configured(r#"{"name": "names", "key": "the name"}"#);
        let (keys, sizes) = read_all(server, &names).await;
        assert_eq!((keys.len(), sizes), (PAGE, vec![PAGE]));
        let mut asked = keys[..3].to_vec();
        asked.push("nobody".to_owned());
        let existing = neon(server.url()).existing(&names, &asked).await.unwrap();
        assert_eq!(existing, keys[..3].iter().cloned().collect());
    })
    .await;
}

#[tokio::test]
async fn a_span_is_read_whole_and_nothing_beyond() {
    let home = home();
    with_server(home.path(), async |server| {
        execute(server, "create table numbers as select n as id from generate_series(1, 1200) as n").await;
        let span = Span { after: Some("9".into()), through: Some("1100".into()) };
        let page = page(server, &configured(r#"{"name": "numbers"}"#), &span).await;
        assert_eq!((page.rows.len(), page.more), (1091, false));
        assert_eq!((page.rows[0].key.as_str(), page.rows[1090].key.as_str()), ("10", "1100"));
    })
    .await;
}

#[tokio::test]
async fn a_filter_holds_for_pages_and_for_what_exists() {
    let home = home();
    with_server(home.path(), async |server| {
        let table = configured(
            r#"{"name": "sow_drops", "key": "drop_number", "columns": ["status"],
                "filter": "status = 'installed' or status = 'planned'"}"#,
        );
        let expected = row(server, "select count(*) from sow_drops where status <> 'declined'").await;
        let (keys, _) = read_all(server, &table).await;
        assert_eq!(i64::try_from(keys.len()).unwrap(), expected.get::<_, i64>(0));
        let declined = row(server, "select min(drop_number) from sow_drops where status = 'declined'").await;
        let asked = [declined.get::<_, String>(0), keys[0].clone()];
        let existing = neon(server.url()).existing(&table, &asked).await.unwrap();
        assert_eq!(existing, std::iter::once(keys[0].clone()).collect());
    })
    .await;
}

#[tokio::test]
async fn keys_of_another_type_do_not_exist() {
    let home = home();
    with_server(home.path(), async |server| {
        let asked = ["1".to_owned(), "not a number".into(), "99999999999".into(), "25".into()];
        let projects = configured(r#"{"name": "projects"}"#);
        let existing = neon(server.url()).existing(&projects, &asked).await.unwrap();
        assert_eq!(existing, ["1".to_owned(), "25".into()].into());
        let contractors = configured(r#"{"name": "contractors"}"#);
        assert!(neon(server.url()).existing(&contractors, &asked).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn large_rows_make_short_pages() {
    let home = home();
    with_server(home.path(), async |server| {
        execute(
            server,
            "create table large as select n as id, repeat('x', 500000) as text from generate_series(1, 40) as n",
        )
        .await;
        let (keys, sizes) = read_all(server, &configured(r#"{"name": "large"}"#)).await;
        assert_eq!((keys.len(), sizes), (40, vec![9, 9, 9, 9, 4]));
    })
    .await;
}

#[tokio::test]
async fn a_table_that_is_not_there_is_left_out_if_it_may_be() {
    let home = home();
    with_server(home.path(), async |server| {
        let optional = configured(r#"{"name": "activations", "optional": true}"#);
        assert!(page(server, &optional, &Span::default()).await.absent);
        let refused = error(server, r#"{"name": "activations"}"#).await;
        assert_eq!(refused.message(), "Neon: table activations: there is no such table");
        assert_eq!(refused.kind(), ErrorKind::Fatal);
    })
    .await;
}

#[tokio::test]
async fn what_the_configuration_has_wrong_is_named() {
    let home = home();
    with_server(home.path(), async |server| {
        execute(
            server,
            "create table twice as select n / 500 * 500 as id from generate_series(1, 501) as n where n > 499;
             create table lacking (id int, spot point); insert into lacking values (1, point(1, 2)), (null, null)",
        )
        .await;
        for (table, problem) in [
            (r#"{"name": "twice"}"#, "twice: the key id is not unique"),
            (r#"{"name": "lacking", "columns": []}"#, "lacking: the key id is NULL in some row"),
            (r#"{"name": "lacking"}"#, "lacking: column spot: there is nothing in Convex for the type point"),
            (r#"{"name": "projects", "columns": ["budget"]}"#, "projects: there is no column budget"),
            (r#"{"name": "projects", "filter": "budget > 0"}"#, "column \"budget\" does not exist"),
            (r#"{"name": "projects", "filter": "status ="}"#, "syntax error"),
            (r#"{"name": "projects", "key": "uuid"}"#, "projects: there is no column uuid"),
        ] {
            let refused = error(server, table).await;
            assert!(refused.message().contains(problem), "{refused}");
            assert_eq!(refused.kind(), ErrorKind::Fatal);
        }
    })
    .await;
}
