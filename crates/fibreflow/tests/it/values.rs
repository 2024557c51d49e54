//! Every type, exactly or not at all.

use fibreflow::{
    mirror::Tables,
    neon::{Neon, Span},
};
use serde_json::{Value, json};

use crate::server::{execute, home, neon, with_server};

/// An expression of PostgreSQL's, how its column is to be written, and what is to become of it: `Err` if it is refused.
type Case = (&'static str, &'static str, Result<Value, &'static str>);

fn cases() -> Vec<Case> {
    let as_it_is: Vec<(&str, Value)> = vec![
        ("true", json!(true)),
        ("(-32768)::smallint", json!(-32_768)),
        ("2147483647", json!(2_147_483_647)),
        ("9007199254740991::bigint", json!(9_007_199_254_740_991_i64)),
        ("0.1::real", json!(0.1)),
        ("3.4028235e38::real", json!(3.402_823_5e38)),
        ("0.1::float8", json!(0.1)),
        ("(-1e-300)::float8", json!(-1e-300)),
        ("0::numeric", json!("0")),
        ("12.50::numeric", json!("12.50")),
        ("(-0.0001)::numeric", json!("-0.0001")),
        ("10000::numeric(12, 2)", json!("10000.00")),
        ("100000000.000000001::numeric", json!("100000000.000000001")),
        ("1e20::numeric", json!("100000000000000000000")),
        ("0.00000000000000000000000000012::numeric", json!("0.00000000000000000000000000012")),
        ("'Hek toe, ''n \"goeie\" foto; \\ ✓ 𝄞'::text", json!("Hek toe, 'n \"goeie\" foto; \\ ✓ 𝄞")),
        ("''::text", json!("")),
        ("'ab'::char(4)", json!("ab  ")),
        ("'ab'::varchar(4)", json!("ab")),
        ("'installed'::state", json!("installed")),
        ("8.50::score", json!("8.50")),
        ("'word'::word", json!("word")),
        ("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid", json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("timestamp '2026-01-06 07:30'", json!("2026-01-06T07:30:00")),
        ("timestamp '1969-12-31 23:59:59.000001'", json!("1969-12-31T23:59:59.000001")),
        ("timestamptz '2026-01-06 07:30+02'", json!("2026-01-06T05:30:00Z")),
        ("timestamptz '2026-01-06 07:30:00.5+02'", json!("2026-01-06T05:30:00.5Z")),
        ("date '2026-02-28'", json!("2026-02-28")),
        ("date '0001-01-01'", json!("0001-01-01")),
        ("time '07:30:00.25'", json!("07:30:00.25")),
        ("'{\"a\": [1, 2.5, null, {\"b c\": false}]}'::jsonb", json!({"a": [1, 2.5, null, {"b c": false}]})),
        ("'[ 1 ]'::json", json!([1])),
        ("'{}'::int[]", json!([])),
        ("array[1, 2, 3]", json!([1, 2, 3])),
        ("array[array['a', 'b'], array['c', 'd']]", json!([["a", "b"], ["c", "d"]])),
        ("array['installed'::state]", json!(["installed"])),
        ("array[1.50, 2]::numeric[]", json!(["1.50", "2"])),
        ("array['{\"a\": 1}'::jsonb]", json!([{"a": 1}])),
        ("null::int", Value::Null),
        ("'null'::jsonb", Value::Null),
    ];
    let refused: Vec<(&str, &str)> = vec![
        ("9007199254740993::bigint", "beyond 2^53 - 1"),
        ("'NaN'::float8", "no finite number"),
        ("'-Infinity'::real", "more digits"),
        ("'NaN'::numeric", "infinite or no number"),
        ("timestamp 'infinity'", "infinite or beyond"),
        ("timestamptz '-infinity'", "infinite or beyond"),
        ("timestamp '0044-03-15 12:00 BC'", "infinite or beyond"),
        ("date '10000-01-01'", "infinite or beyond"),
        ("date 'infinity'", "infinite or beyond"),
        ("time '24:00'", "24:00"),
        ("'{\"_id\": 1}'::jsonb", "field name"),
        ("'{\"a\": 0.1000000000000000000001}'::jsonb", "more digits"),
        ("array[1, null]", "NULL in it"),
        ("'[0:1]={1,2}'::int[]", "does not begin at 1"),
        ("array_fill(0, array[9000])", "more than 8192 entries"),
    ];
    let mut cases: Vec<Case> = as_it_is.into_iter().map(|(sql, value)| (sql, "exact", Ok(value))).collect();
    cases.extend(refused.into_iter().map(|(sql, reason)| (sql, "exact", Err(reason))));
    cases.extend([
        ("-26.383731::numeric(9, 6)", "number", Ok(json!(-26.383_731))),
        ("12.00::numeric", "number", Ok(json!(12))),
        ("12345678901234567.1::numeric", "number", Err("more digits")),
        ("array[0.5, 2]::numeric[]", "number", Ok(json!([0.5, 2]))),
        ("9223372036854775807::bigint", "text", Ok(json!("9223372036854775807"))),
        ("'{\"_id\": 1.0}'::jsonb", "text", Ok(json!("{\"_id\": 1.0}"))),
    ]);
    cases
}

#[tokio::test]
async fn every_value_is_mapped_exactly_or_refused_by_key_and_column() {
    let home = home();
    with_server(home.path(), async |server| {
        let cases = cases();
        let columns = |of: fn(usize, &Case) -> String| -> String {
            let columns: Vec<_> = cases.iter().enumerate().map(|(n, case)| of(n, case)).collect();
            columns.join(", ")
        };
        let made = columns(|n, (sql, ..)| format!("{sql} as c{n}"));
        execute(
            server,
            &format!(
                "create type state as enum ('planned', 'installed');
                 create domain score as numeric(4, 2);
                 create domain word as text check (value <> '');
                 create table everything as select 7 as id, {made}"
            ),
        )
        .await;
        // Settings of the role's, as a session behind a pooler may find them: none of them matters.
        for setting in ["timezone = 'Africa/Johannesburg'", "datestyle = 'German'", "extra_float_digits = -5"] {
            execute(server, &format!("alter role fibreflow set {setting}")).await;
        }
        for (n, (sql, form, expected)) in cases.iter().enumerate() {
            let column = format!("c{n}");
            let json = format!(
                r#"{{"tables": [{{"name": "everything", "columns": [{{"name": "{column}", "as": "{form}"}}]}}]}}"#
            );
            let table = Tables::read(Some(&json)).unwrap().tables.remove(0);
            let page = neon(server.url()).page(&table, &Span::default()).await.unwrap();
            match (table.document(page.rows.into_iter().next().unwrap()), expected) {
                (Ok(document), Ok(value)) => {
                    let found = document.fields.get(&column).cloned().unwrap_or_default();
                    assert_eq!(found, *value, "{sql}");
                }
                (Err(refusal), Err(reason)) => {
                    assert_eq!(refusal.key, "7");
                    assert!(refusal.reason.starts_with(&format!("column {column}: ")), "{sql}: {refusal:?}");
                    assert!(refusal.reason.contains(reason), "{sql}: {refusal:?}");
                }
                (other, _) => panic!("{sql}: {other:?}"),
            }
        }
    })
    .await;
}
