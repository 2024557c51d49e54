//! CloudFormation templates as values.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};
use yaml_serde::Value as Yaml;

/// A template, its short forms written out: `!Ref X` is `{"Ref": "X"}`, as in a template written in JSON.
#[derive(Debug, Clone)]
pub struct Template(Value);

impl Template {
    /// Reads a template of the repository.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Box<dyn std::error::Error>> {
        let yaml = yaml_serde::from_str(&fs::read_to_string(crate::file(path))?)?;
        Ok(Self(written_out(yaml)?))
    }

    /// A section's entries by name; none when the template lacks it.
    pub fn section(&self, name: &str) -> impl Iterator<Item = (&str, &Value)> {
        self.0[name].as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
    }

    /// The resources of a type, by name.
    pub fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.section("Resources").filter(move |(_, resource)| resource["Type"] == kind)
    }

    /// A resource's properties; null when there is no such resource.
    pub fn properties(&self, resource: &str) -> &Value {
        &self.0["Resources"][resource]["Properties"]
    }
}

fn written_out(yaml: Yaml) -> Result<Value, Box<dyn std::error::Error>> {
    Ok(match yaml {
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let value = written_out(tagged.value)?;
            match (tag.trim_start_matches('!'), value) {
                (tag @ ("Ref" | "Condition"), value) => json!({ tag: value }),
                ("GetAtt", Value::String(path)) => {
                    json!({ "Fn::GetAtt": path.split('.').collect::<Vec<_>>() })
                }
                (tag, value) => json!({ format!("Fn::{tag}"): value }),
            }
        }
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(written_out).collect::<Result<_, _>>()?),
        Yaml::Mapping(entries) => {
            let entry = |(name, value): (Yaml, Yaml)| {
                let name = name.as_str().ok_or("a key of a template is no text")?.to_owned();
                Ok::<_, Box<dyn std::error::Error>>((name, written_out(value)?))
            };
            Value::Object(entries.into_iter().map(entry).collect::<Result<Map<_, _>, _>>()?)
        }
        plain => serde_json::to_value(plain)?,
    })
}
