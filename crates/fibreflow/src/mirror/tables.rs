//! The tables that are mirrored, by configuration.

use std::collections::HashSet;

use durable::{Error, Result};
use serde::Deserialize;
use serde_json::Value;

/// FibreFlow's own tables.
const SHIPPED: &str = include_str!("tables.json");

/// Fields that the mirror itself writes.
const RESERVED: [&str; 3] = ["neon_id", "removed_at", "synced_at"];

/// What is mirrored, and which events say that there is something to mirror.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tables {
    /// Names of events that start a sync, besides the schedule and `databases/sync.requested`: such as the one that an import
    /// into Neon sends when it has finished.
    #[serde(default)]
    pub start_on: Vec<String>,
    /// The tables, in the order in which they are mirrored.
    pub tables: Vec<Table>,
}

/// A table that is mirrored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Neon's name for it, with its schema if it is not in the search path: `contractors`, `imports.onemap_poles`.
    pub name: String,
    /// Convex's name for it; without it, Neon's.
    #[serde(default)]
    to: Option<String>,
    /// The column that tells its rows apart: unique, never null, and indexed. As text it is the document's `neon_id`.
    #[serde(default = "id")]
    pub key: String,
    /// The columns that are mirrored; without this, all of them but the key, under their own names.
    #[serde(default)]
    pub columns: Option<Vec<Column>>,
    /// An SQL condition on the rows that are mirrored. A row that no longer meets it counts as deleted.
    #[serde(default)]
    pub filter: Option<String>,
    /// Whether it is left out where Neon has no such table; otherwise that is an error.
    #[serde(default)]
    pub optional: bool,
    /// How many in a hundred of its mirrored rows may be gone from Neon at once, 0 to 100. When more are, that is taken for an
    /// import that is half done or a wrong condition, and none is marked as gone. A hundred rows always may.
    #[serde(default = "half")]
    pub may_lose_percent: u8,
}

/// A column that is mirrored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "Written")]
pub struct Column {
    /// Neon's name for it.
    pub name: String,
    /// Convex's name for it; without it, Neon's.
    to: Option<String>,
    /// What stands for NULL; without it, the field is left out.
    pub default: Option<Value>,
    /// How its values are written, where there is a choice.
    pub form: Form,
}

/// How a value is written, where there is a choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Numerics as text, so that none loses a digit; JSON as what it says.
    #[default]
    Exact,
    /// Numerics as numbers; one that a double cannot hold exactly is refused.
    Number,
    /// Anything as text: JSON too, and whole numbers of any size.
    Text,
}

/// A column as the configuration has it: a name, or a name and more.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Name(String),
    #[serde(rename_all = "lowercase")]
    Full(Full),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    name: String,
    to: Option<String>,
    default: Option<Value>,
    #[serde(default, rename = "as")]
    form: Form,
}

impl From<Written> for Column {
    fn from(written: Written) -> Self {
        match written {
            Written::Name(name) => Self { name, to: None, default: None, form: Form::Exact },
            Written::Full(Full { name, to, default, form }) => Self { name, to, default, form },
        }
    }
}

impl Column {
    /// The field of Convex's.
    pub fn field(&self) -> &str {
        self.to.as_deref().unwrap_or(&self.name)
    }
}

impl Table {
    /// Convex's table.
    pub fn target(&self) -> &str {
        // Convex knows no schemas.
        self.to.as_deref().unwrap_or_else(|| self.name.rsplit('.').next().unwrap_or(&self.name))
    }

    /// How the values of a column are written.
    pub fn form(&self, column: &str) -> Form {
        let columns = self.columns.iter().flatten();
        columns.filter(|known| known.name == column).map(|known| known.form).next().unwrap_or_default()
    }

    fn check(&self) -> Result<()> {
        let problem = |text: String| Err(Error::fatal(format!("tables: {}: {text}", self.name)));
        if !is_identifier(self.target()) {
            return problem(format!("{} is no name for a table of Convex's; set \"to\"", self.target()));
        }
        if self.may_lose_percent > 100 {
            let percent = self.may_lose_percent;
            return problem(format!("may_lose_percent: expected 0 to 100, got {percent}"));
        }
        let mut fields = HashSet::new();
        for column in self.columns.iter().flatten() {
            let field = column.field();
            if !is_identifier(field) || RESERVED.contains(&field) {
                return problem(format!(
                    "column {}: {field} is no name for a field; set \"to\"",
                    column.name
                ));
            }
            if !fields.insert(field) {
                return problem(format!("two columns become the field {field}"));
            }
        }
        Ok(())
    }
}

impl Tables {
    /// FibreFlow's own tables, or those that a setting lists or names a file for.
    pub fn from_setting(setting: Option<&str>) -> Result<Self> {
        match setting {
            Some(path) if !path.trim_start().starts_with('{') => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Error::fatal(format!("tables: {path}: {error}")))?;
                Self::read(Some(&text))
            }
            text => Self::read(text),
        }
    }

    /// FibreFlow's own tables, or those that a text in JSON lists.
    pub fn read(text: Option<&str>) -> Result<Self> {
        let tables: Self = serde_json::from_str(text.unwrap_or(SHIPPED))
            .map_err(|error| Error::fatal(format!("tables: {error}")))?;
        let mut targets = HashSet::new();
        for table in &tables.tables {
            table.check()?;
            if !targets.insert(table.target()) {
                return Err(Error::fatal(format!("tables: two tables become {}", table.target())));
            }
        }
        Ok(tables)
    }
}

/// Whether Convex takes a text as the name of a table or a field.
pub(super) fn is_identifier(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn id() -> String {
    "id".to_owned()
}

fn half() -> u8 {
    50
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_is_right() {
        let tables = Tables::read(None).unwrap();
        let names: Vec<_> = tables.tables.iter().map(Table::target).collect();
        assert_eq!(names.len(), 8);
        assert_eq!(names[..3], ["contractors", "projects", "sow_drops"]);
        assert_eq!(tables.start_on, ["databases/import.finished"]);
        let schema = include_str!("../../../../infra/convex/convex/schema.ts");
        for name in names {
            assert!(schema.contains(&format!("\n  {name}: ")), "{name} is not in Convex's schema");
        }
    }

    #[test]
    fn a_configuration_that_cannot_be_is_named() {
        let problem = |table: &str| {
            let text = format!(r#"{{"tables": [{{"name": "poles"}}, {table}]}}"#);
            Tables::read(Some(&text)).unwrap_err().message().to_owned()
        };
        assert!(problem(r#"{"name": "imports.poles"}"#).contains("two tables become poles"));
        assert!(problem(r#"{"name": "x", "colums": []}"#).contains("unknown field `colums`"));
        assert!(
            problem(r#"{"name": "x", "columns": ["_id"]}"#)
                .contains("x: column _id: _id is no name for a field")
        );
        assert!(problem(r#"{"name": "x", "columns": ["neon_id"]}"#).contains("neon_id"));
        assert!(problem(r#"{"name": "x", "may_lose_percent": 101}"#).contains("expected 0 to 100, got 101"));
        assert!(
            problem(r#"{"name": "x", "columns": ["a", {"name": "b", "to": "a"}]}"#)
                .contains("become the field a")
        );
    }
}
