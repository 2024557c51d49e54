//! Each function is given the settings that its services read, and no others.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use durable::Result;
use fibreflow::{
    config::Settings,
    http::Http,
    whatsapp::{FileSwitch, Rules},
};
use system_tests::Template;

use crate::flows::flows;

/// Ours, of each workflow's function.
const DURABLE: [&str; 8] = [
    "DURABLE_BUCKET",
    "DURABLE_BUS",
    "DURABLE_QUEUES",
    "DURABLE_RECEIVES",
    "DURABLE_RETENTION_DAYS",
    "DURABLE_SCHEDULE_GROUP",
    "DURABLE_SCHEDULE_ROLE_ARN",
    "DURABLE_TABLE",
];

/// What must not be read in a template, nor in a change set.
const SECRET: [&str; 5] =
    ["CONVEX_DEPLOY_KEY", "HARNESS_TOKEN", "NEON_DATABASE_URL", "SLACK_WEBHOOK_URL", "WHATSAPP_SECRET"];

/// What has a form of its own begins with one of these.
const FORMS: [&str; 10] = [
    "DEPLOY_",
    "FOTO_",
    "SYNC_",
    "VLM_OUTAGE_",
    "VLM_PHOTOS_",
    "WHATSAPP_ACCOUNT_",
    "WHATSAPP_COOLDOWN",
    "WHATSAPP_PHONE_",
    "WHATSAPP_QUIET_",
    "WHATSAPP_TIME_",
];

fn asked<T>(services: impl FnOnce(Settings<'_>) -> Result<T>) -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        // What has a form of its own is left at what it is without the setting.
        let has_form = FORMS.iter().any(|part| name.starts_with(part));
        (!has_form).then(|| match name {
            "NEON_DATABASE_URL" => {
                "postgresql://user:password@neon.example/fibreflow?sslmode=require".to_owned()
            }
            _ if name.ends_with("_URL") || name.ends_with("_ENDPOINT") => {
                "https://service.example".to_owned()
            }
            _ => "x".to_owned(),
        })
    };
    let made = services(Settings::new(lookup, Http::network().unwrap()));
    made.map(drop).unwrap();
    asked.into_inner()
}

#[test]
fn a_function_is_given_what_its_services_read_and_nothing_else() {
    let template = Template::read("template.yaml").unwrap();
    for flow in flows(&template) {
        let given: BTreeSet<_> = flow.environment().as_object().unwrap().keys().cloned().collect();
        let mut expected = match flow.name() {
            "build-agent" => asked(build_agent::Services::from_settings),
            "sync-databases" => asked(sync_databases::Services::from_settings),
            // The switch is a note in the table.
            "send-whatsapp" => asked(|settings| {
                send_whatsapp::Services::from_settings(settings.with_switch(Arc::new(FileSwitch("".into()))))
            }),
            "watch-whatsapp" => asked(send_whatsapp::Watch::from_settings),
            "evaluate-foto" => asked(evaluate_foto::Services::from_settings),
            other => panic!("{other}: say here which services it has"),
        };
        expected.extend(DURABLE.map(str::to_owned));
        expected.extend(flow.uses_the_worker().then(|| "DURABLE_JOBS".to_owned()));
        expected.insert("SECRETS_REVISION".to_owned());
        assert_eq!(given, expected, "{}", flow.name());
    }
}

/// What the caretaker is told.
pub(crate) fn of_the_caretaker(template: &Template) -> impl Iterator<Item = (&String, &serde_json::Value)> {
    let given = &template.properties("CaretakerFunction")["Environment"]["Variables"];
    given.as_object().into_iter().flatten()
}

#[test]
fn the_caretaker_is_given_all_queues() {
    let template = Template::read("template.yaml").unwrap();
    let given = &template.properties("CaretakerFunction")["Environment"]["Variables"];
    let names: Vec<_> = given.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, DURABLE);
    let queues = given["DURABLE_QUEUES"]["Fn::Sub"].as_str().unwrap();
    let queues: serde_json::Value = serde_json::from_str(queues).unwrap();
    let mut workflows: Vec<_> = queues.as_object().unwrap().keys().cloned().collect();
    workflows.sort_unstable();
    let mut flows: Vec<_> = flows(&template).into_iter().map(|flow| flow.name().to_owned()).collect();
    flows.sort_unstable();
    assert_eq!(workflows, flows);
    for (name, queue) in queues.as_object().unwrap() {
        let logical = format!("{}Queue", crate::Flow::logical_name(name));
        assert_eq!(queue["url"], format!("${{{logical}}}"));
        assert_eq!(queue["arn"], format!("${{{logical}.Arn}}"));
    }
}

#[test]
fn a_workflow_is_given_its_own_queue() {
    let template = Template::read("template.yaml").unwrap();
    for flow in flows(&template) {
        let queues = flow.environment()["DURABLE_QUEUES"]["Fn::Sub"].as_str().unwrap();
        let (name, logical) = (flow.name(), &flow.logical);
        let expected = serde_json::json!({ name: {
            "url": format!("${{{logical}Queue}}"),
            "arn": format!("${{{logical}Queue.Arn}}"),
            "dead_letters": format!("${{{logical}DeadLetters}}"),
        }});
        assert_eq!(serde_json::from_str::<serde_json::Value>(queues).unwrap(), expected);
    }
}

#[test]
fn secrets_are_resolved_when_deployed_and_written_nowhere() {
    let template = Template::read("template.yaml").unwrap();
    for flow in flows(&template) {
        for (name, value) in flow.environment().as_object().unwrap() {
            let is_resolved = value.to_string().contains("{{resolve:secretsmanager:");
            assert_eq!(is_resolved, SECRET.contains(&name.as_str()), "{}: {name}", flow.name());
        }
    }
}

/// What the template says without being told is what the code does without being told.
#[test]
fn the_rules_of_whatsapp_are_the_usual_ones() {
    let template = Template::read("template.yaml").unwrap();
    let parameters: BTreeMap<_, _> = template.section("Parameters").collect();
    let given = &template.properties("SendWhatsappFunction")["Environment"]["Variables"];
    let lookup = |name: &str| {
        let parameter = given[name]["Ref"].as_str()?;
        Some(parameters[parameter]["Default"].as_str().unwrap().to_owned())
    };
    let rules = Settings::new(lookup, Http::network().unwrap()).make(Settings::whatsapp_rules).unwrap();
    assert_eq!(rules, Rules::default());
}
