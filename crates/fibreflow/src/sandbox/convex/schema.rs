//! What `infra/convex/convex/schema.ts` says about documents.

use serde_json::{Map, Value};

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Bool,
    Number,
    Time,
}

type Field = (&'static str, Kind, bool);

/// Fields that any table has.
const COMMON: &[Field] = &[
    ("neon_id", Kind::Text, false),
    ("is_active", Kind::Bool, false),
    ("removed_at", Kind::Number, false),
    ("synced_at", Kind::Number, false),
    ("created_at", Kind::Time, false),
    ("updated_at", Kind::Time, false),
];

const CONTRACTORS: &[Field] = &[
    ("company_name", Kind::Text, true),
    ("is_active", Kind::Bool, true),
    ("status", Kind::Text, false),
    ("email", Kind::Text, false),
    ("phone", Kind::Text, false),
    ("address", Kind::Text, false),
    ("contact_person", Kind::Text, false),
];

const PROJECTS: &[Field] = &[
    ("name", Kind::Text, true),
    ("status", Kind::Text, true),
    ("description", Kind::Text, false),
    ("contractor_id", Kind::Text, false),
];

/// Tables whose documents may have any fields.
const ANY: [&str; 6] =
    ["sow_drops", "sow_poles", "onemap_installations", "onemap_poles", "nokia_exports", "activations"];

/// Says so when there is no such table to mirror to.
pub(super) fn knows(table: &str) -> Result<(), String> {
    let known = ["contractors", "projects"].contains(&table) || ANY.contains(&table);
    if known { Ok(()) } else { Err(format!("there is no mirrored table {table}")) }
}

/// Says why a table does not take a document, if it does not.
pub(super) fn check(table: &str, document: &Map<String, Value>) -> Result<(), String> {
    let fields = match table {
        "contractors" => CONTRACTORS,
        "projects" => PROJECTS,
        _ => return Ok(()),
    };
    if let Some((missing, ..)) = fields.iter().find(|(name, _, must)| *must && !document.contains_key(*name))
    {
        return Err(format!("{table}.{missing} is missing"));
    }
    for (name, value) in document {
        let known = fields.iter().chain(COMMON).find(|(known, ..)| known == name);
        let Some((_, kind, _)) = known else { return Err(format!("{table}.{name} is not in the schema")) };
        let fits = match kind {
            Kind::Text => value.is_string(),
            Kind::Bool => value.is_boolean(),
            Kind::Number => value.is_number(),
            Kind::Time => value.is_string() || value.is_number(),
        };
        if !fits {
            return Err(format!("{table}.{name} does not match its validator"));
        }
    }
    Ok(())
}
