//! A text in the table that a person sets and a function reads, without a deployment: a switch, say.

use std::sync::Arc;

use durable::Result;

use crate::{
    Clients, SystemClock, SystemRandom,
    items::{Key, text},
    table::Table,
};

/// A text in the table, by its name: the attribute `text` of the item `note#<name>`, `note`.
///
/// ```sh
/// aws dynamodb put-item --table-name "$DURABLE_TABLE" \
///   --item '{"pk": {"S": "note#whatsapp"}, "sk": {"S": "note"}, "text": {"S": "off"}}'
/// ```
#[derive(Debug)]
pub struct Note {
    table: Table,
    name: String,
}

impl Note {
    /// A note in this table.
    pub fn new(table: impl Into<String>, name: impl Into<String>, clients: Clients) -> Self {
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        Self { table: Table { clients, name: table.into(), clock, random }, name: name.into() }
    }

    /// A note in the table that `DURABLE_TABLE` names; `None` where it names none.
    #[expect(clippy::disallowed_methods, reason = "read once at start")]
    pub async fn from_env(name: impl Into<String>) -> Option<Self> {
        let table = std::env::var("DURABLE_TABLE").ok().filter(|table| !table.trim().is_empty())?;
        Some(Self::new(table, name, Clients::from_env().await))
    }

    /// What it says now; `None` when nobody has written it. What was written before this began is seen.
    pub async fn text(&self) -> Result<Option<String>> {
        let item = self.table.get(&Key::new(format!("note#{}", self.name), "note")).await?;
        Ok(item.map(|item| text(&item, "text").unwrap_or_default().to_owned()))
    }
}
