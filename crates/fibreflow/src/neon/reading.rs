//! Reads what is mirrored.
//!
//! Each statement is complete in itself and has no name: a pooler that lends a server for one transaction may hand every
//! one of them to another. Values come in binary, so that no setting of the session's matters.

use std::{collections::HashSet, fmt::Write, iter, pin::pin};

use bytes::{BufMut, BytesMut};
use durable::{Error, Result};
use futures::TryStreamExt;
use serde_json::Map;
use tokio_postgres::{
    Client, RowStream,
    error::SqlState,
    types::{Format, IsNull, ToSql, Type},
};

use super::{PAGE, Page, Span, postgres::explain, value};
use crate::mirror::{Problem, Row, Table};

/// An open page ends once its values take so many bytes, so that rows of any size fit into memory.
const BYTES: usize = 4 << 20;

/// What tells whether a type is one of the server's own, or made in this database.
const FIRST_MADE: u32 = 16_384;

/// A value whose type the statement says: as text, which the server reads as that type.
#[derive(Debug)]
struct Said(String);

impl ToSql for Said {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    tokio_postgres::types::to_sql_checked!();
}

/// See [`Neon::page`](super::Neon::page).
pub(super) async fn page(client: &Client, table: &Table, span: &Span) -> Result<Page> {
    let Some(columns) = columns(client, table).await? else {
        return Ok(Page { absent: true, ..Page::default() });
    };
    let (mut conditions, mut keys) = (Vec::new(), Vec::new());
    for (comparison, key) in [(">", &span.after), ("<=", &span.through)] {
        if let Some(key) = key {
            keys.push(Said(key.clone()));
            conditions.push(format!("t.{} {comparison} ${}", quoted(&table.key), keys.len()));
        }
    }
    let open = span.through.is_none();
    let mut statement = select(table, columns.iter().map(|column| column.read.as_str()), &conditions);
    let _ = write!(statement, " order by t.{}", quoted(&table.key));
    if open {
        // One more than a page has: it shows that there is more, and that keys are unique.
        let _ = write!(statement, " limit {}", PAGE + 1);
    }
    let mut page = Page::default();
    let mut bytes = 0;
    let mut rows = pin!(query(client, &statement, keys).await?);
    while let Some(read) = rows.try_next().await.map_err(|error| explain(&error))? {
        let Some(key) = read.try_get::<_, Option<String>>(0).map_err(|error| explain(&error))? else {
            return Err(fatal(table, &format!("the key {} is NULL in some row", table.key)));
        };
        if page.rows.last().is_some_and(|last: &Row| last.key == key) {
            return Err(fatal(table, &format!("the key {} is not unique", table.key)));
        }
        if open && (page.rows.len() == PAGE || bytes > BYTES) {
            page.more = true;
            break;
        }
        bytes += read.raw_size_bytes();
        page.rows.push(row(table, &columns, key, &read)?);
    }
    Ok(page)
}

/// See [`Neon::existing`](super::Neon::existing).
pub(super) async fn existing(client: &Client, table: &Table, keys: &[String]) -> Result<HashSet<String>> {
    let key = quoted(&table.key);
    let found = match among(client, table, format!("t.{key} = any($1)"), keys).await {
        // Mirrored keys that this column cannot hold: it was of another type once. No index serves this question.
        Err(error) if error.code().is_some_and(|code| NO_SUCH_VALUE.contains(code)) => {
            among(client, table, format!("t.{key}::text = any($1::text[])"), keys).await
        }
        found => found,
    };
    found.map_err(|error| explain(&error))
}

/// What a text is that cannot be read as a value of a type.
const NO_SUCH_VALUE: [SqlState; 2] =
    [SqlState::INVALID_TEXT_REPRESENTATION, SqlState::NUMERIC_VALUE_OUT_OF_RANGE];

async fn among(
    client: &Client,
    table: &Table,
    condition: String,
    keys: &[String],
) -> Result<HashSet<String>, tokio_postgres::Error> {
    let statement = select(table, iter::empty(), &[condition]);
    let values = [(Said(array(keys)), Type::UNKNOWN)];
    let rows = client.query_typed_raw(&statement, values).await?;
    rows.and_then(|row| std::future::ready(row.try_get(0))).try_collect().await
}

/// A column that is mirrored.
struct Column {
    name: String,
    /// How it is read.
    read: String,
}

/// The columns that are mirrored; none if there is no such table and need not be.
async fn columns(client: &Client, table: &Table) -> Result<Option<Vec<Column>>> {
    let name = Said(name(table));
    let catalogue = "select a.attname::text, format_type(a.atttypid, a.atttypmod), t.oid, t.typcategory::text,
                            coalesce(e.oid, 0::oid), coalesce(e.typcategory, '')::text
                     from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_type e on e.oid = t.typelem
                     where a.attrelid = to_regclass($1::text) and a.attnum > 0 and not a.attisdropped
                     order by a.attnum";
    let rows: Vec<_> =
        query(client, catalogue, vec![name]).await?.try_collect().await.map_err(|error| explain(&error))?;
    if rows.is_empty() {
        return if table.optional { Ok(None) } else { Err(fatal(table, "there is no such table")) };
    }
    let mut known = Vec::new();
    for row in rows {
        let column = |row: &tokio_postgres::Row| -> Result<_, tokio_postgres::Error> {
            let (oid, category): (u32, String) = (row.try_get(2)?, row.try_get(3)?);
            let (element, of_elements): (u32, String) = (row.try_get(4)?, row.try_get(5)?);
            let name: String = row.try_get(0)?;
            let quoted = format!("t.{}", quoted(&name));
            let read = match (category.as_str(), of_elements.as_str()) {
                // Enumerations, and text that compares otherwise: the client would have to ask what these types are.
                ("E" | "S", _) if oid >= FIRST_MADE => Some(format!("{quoted}::text")),
                ("A", "E" | "S") if element >= FIRST_MADE => Some(format!("{quoted}::text[]")),
                // Domains of booleans, numbers and dates come as what they are made of.
                (category, _) => {
                    Some(quoted).filter(|_| oid < FIRST_MADE || ["B", "N", "D"].contains(&category))
                }
            };
            Ok((name, row.try_get::<_, String>(1)?, read))
        };
        known.push(column(&row).map_err(|error| explain(&error))?);
    }
    let all = || known.iter().map(|(name, ..)| name.as_str()).filter(|name| *name != table.key).collect();
    let wanted: Vec<&str> = table
        .columns
        .as_ref()
        .map_or_else(all, |columns| columns.iter().map(|column| column.name.as_str()).collect());
    let found = |wanted: &str| match known.iter().find(|(name, ..)| name == wanted) {
        Some((name, _, Some(read))) => Ok(Column { name: name.clone(), read: read.clone() }),
        Some((_, ty, None)) => Err(unsupported(table, wanted, ty)),
        None => Err(fatal(table, &format!("there is no column {wanted}"))),
    };
    found_key(&known, table)?;
    wanted.into_iter().map(found).collect::<Result<_>>().map(Some)
}

fn found_key(known: &[(String, String, Option<String>)], table: &Table) -> Result<()> {
    let is_there = known.iter().any(|(name, ..)| *name == table.key);
    if is_there { Ok(()) } else { Err(fatal(table, &format!("there is no column {}", table.key))) }
}

fn row(table: &Table, columns: &[Column], key: String, read: &tokio_postgres::Row) -> Result<Row> {
    let (mut values, mut problem) = (Map::new(), None);
    // The first is the key.
    for (index, (column, described)) in (1..).zip(columns.iter().zip(read.columns().iter().skip(1))) {
        let ty = described.type_();
        if !value::is_supported(ty) {
            return Err(unsupported(table, &column.name, ty.name()));
        }
        let raw: value::Raw<'_> = read.try_get(index).map_err(|error| explain(&error))?;
        match raw.value(ty, table.form(&column.name)) {
            Ok(Some(value)) => drop(values.insert(column.name.clone(), value)),
            Ok(None) => {}
            Err(reason) => {
                problem.get_or_insert(Problem { column: column.name.clone(), reason });
            }
        }
    }
    Ok(Row { key, values, problem })
}

fn select<'a>(table: &Table, columns: impl Iterator<Item = &'a str>, conditions: &[String]) -> String {
    let key = format!("t.{}::text", quoted(&table.key));
    let columns: Vec<_> = iter::once(key).chain(columns.map(str::to_owned)).collect();
    let filter = table.filter.iter().map(|filter| format!("({filter})"));
    let conditions: Vec<_> = filter.chain(conditions.iter().cloned()).collect();
    let conditions =
        if conditions.is_empty() { String::new() } else { format!(" where {}", conditions.join(" and ")) };
    format!("select {} from {} t{conditions}", columns.join(", "), name(table))
}

async fn query(client: &Client, statement: &str, values: Vec<Said>) -> Result<RowStream> {
    let values = values.into_iter().map(|value| (value, Type::UNKNOWN));
    client.query_typed_raw(statement, values).await.map_err(|error| explain(&error))
}

fn name(table: &Table) -> String {
    table.name.split('.').map(quoted).collect::<Vec<_>>().join(".")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A list as the text of an array.
fn array(entries: &[String]) -> String {
    let entry = |entry: &String| format!("\"{}\"", entry.replace('\\', "\\\\").replace('"', "\\\""));
    format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
}

fn unsupported(table: &Table, column: &str, ty: &str) -> Error {
    fatal(
        table,
        &format!(
            "column {column}: there is nothing in Convex for the type {ty}; list the columns without it"
        ),
    )
}

fn fatal(table: &Table, problem: &str) -> Error {
    Error::fatal(format!("Neon: table {}: {problem}", table.name))
}
