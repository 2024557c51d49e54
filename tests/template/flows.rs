//! The workflows, each with what the template has for it.

use std::{fs, time::Duration};

use durable::{Definition, hours, minutes, seconds};
use serde_json::{Value, json};
use system_tests::{Template, definitions, file};

/// A workflow and its resources: those of `build-agent` begin with `BuildAgent`.
pub(crate) struct Flow<'a> {
    pub(crate) definition: Definition,
    pub(crate) logical: String,
    template: &'a Template,
}

/// All workflows, in the template's order.
pub(crate) fn flows(template: &Template) -> Vec<Flow<'_>> {
    let mut flows: Vec<_> = definitions()
        .unwrap()
        .map(|definition| Flow { logical: Flow::logical_name(&definition.name), definition, template })
        .into();
    let order: Vec<_> = template.section("Resources").map(|(name, _)| name).collect();
    flows.sort_by_key(|flow| order.iter().position(|name| *name == format!("{}Function", flow.logical)));
    flows
}

impl Flow<'_> {
    pub(crate) fn logical_name(workflow: &str) -> String {
        let capital = |word: &str| {
            let (first, rest) = word.split_at(1);
            first.to_uppercase() + rest
        };
        workflow.split('-').map(capital).collect()
    }

    pub(crate) fn name(&self) -> &str {
        &self.definition.name
    }

    /// The properties of one of its resources.
    pub(crate) fn resource(&self, part: &str) -> &Value {
        let properties = self.template.properties(&format!("{}{part}", self.logical));
        assert!(properties.is_object(), "template.yaml has no {}{part}", self.logical);
        properties
    }

    /// How the template refers to one of its resources.
    pub(crate) fn arn(&self, part: &str) -> Value {
        json!({"Fn::GetAtt": [format!("{}{part}", self.logical), "Arn"]})
    }

    /// Whether it has services that the worker may reach: all but Neon, Convex and Slack are in the private network.
    pub(crate) fn uses_the_worker(&self) -> bool {
        self.name() != "sync-databases"
    }

    pub(crate) fn function(&self) -> &Value {
        self.resource("Function")
    }

    pub(crate) fn environment(&self) -> &Value {
        &self.function()["Environment"]["Variables"]
    }

    pub(crate) fn timeout(&self) -> Duration {
        seconds(self.function()["Timeout"].as_u64().unwrap())
    }

    /// Where the workflow is written.
    fn source(&self) -> String {
        match self.name() {
            "watch-whatsapp" => "functions/send-whatsapp/src/watch.rs".to_owned(),
            name => format!("functions/{name}/src/lib.rs"),
        }
    }

    /// The longest `.timeout(…)` in the workflow's source: a step's timeout is in its code and nowhere else.
    pub(crate) fn longest_step(&self) -> Duration {
        let source = fs::read_to_string(file(self.source())).unwrap();
        let timeouts = source.split(".timeout(").skip(1).map(|rest| {
            let call = rest.split(')').next().unwrap();
            let (unit, number) =
                call.split_once('(').unwrap_or_else(|| panic!(".timeout({call}: a unit of time"));
            let number = number.trim().parse().unwrap();
            match unit.trim() {
                "seconds" => seconds(number),
                "minutes" => minutes(number),
                "hours" => hours(number),
                other => panic!(".timeout({other}(…)): expected seconds, minutes or hours"),
            }
        });
        timeouts.max().unwrap_or_default()
    }
}
