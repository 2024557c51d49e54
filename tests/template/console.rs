//! The console's functions: who gets in, and what they are told.

use std::{cell::RefCell, collections::BTreeSet};

use serde_json::{Value, json};
use system_tests::Template;

const SECRET: [&str; 3] = ["CONSOLE_EVENT_KEYS", "CONSOLE_OIDC_CLIENT_SECRET", "CONSOLE_SESSION_KEY"];

/// What the functions' settings ask for, beside what durable-aws does.
fn asked(access: &str) -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    let settings = console_function::Settings::read(|name| {
        asked.borrow_mut().insert(name.to_owned());
        Some(match name {
            "CONSOLE_ACCESS" => access.to_owned(),
            "CONSOLE_OPERATORS" | "CONSOLE_VIEWERS" if access == "iam" => "role/ops".to_owned(),
            "CONSOLE_OPERATORS" | "CONSOLE_VIEWERS" => "@fibreflow.example".to_owned(),
            _ => "https://x.example/0123456789abcdef".to_owned(),
        })
    });
    settings.unwrap();
    asked.into_inner()
}

fn variables<'a>(template: &'a Template, function: &str) -> &'a Value {
    &template.properties(function)["Environment"]["Variables"]
}

#[test]
fn programs_sign_their_requests_and_people_sign_in() {
    let template = Template::read("template.yaml").unwrap();
    for (function, auth, access) in
        [("ConsoleApiFunction", "AWS_IAM", "iam"), ("ConsoleFunction", "NONE", "people")]
    {
        assert_eq!(
            template.properties(function)["FunctionUrlConfig"],
            json!({ "AuthType": auth }),
            "{function}"
        );
        assert_eq!(variables(&template, function)["CONSOLE_ACCESS"], access, "{function}");
    }
}

#[test]
fn nobody_gets_in_by_default() {
    let template = Template::read("template.yaml").unwrap();
    let parameters: Vec<_> = template.section("Parameters").collect();
    let default =
        |name: &str| parameters.iter().find(|(given, _)| *given == name).unwrap().1["Default"].clone();
    assert_eq!(default("ConsoleForPeople"), "false");
    for name in
        ["ConsolePeopleOperators", "ConsolePeopleViewers", "ConsoleRoleOperators", "ConsoleRoleViewers"]
    {
        assert_eq!(default(name), "", "{name}");
    }
    for (name, resource) in template.section("Resources").filter(|(name, _)| name.starts_with("Console")) {
        let is_for_people =
            name.starts_with("ConsoleFunction") || ["ConsoleRole", "ConsoleLog"].contains(&name);
        let expected = if is_for_people { json!("ConsoleIsForPeople") } else { Value::Null };
        assert_eq!(resource["Condition"], expected, "{name}");
    }
}

#[test]
fn each_is_told_what_its_settings_ask_for_and_secrets_come_from_the_secret() {
    let template = Template::read("template.yaml").unwrap();
    for (function, access) in [("ConsoleApiFunction", "iam"), ("ConsoleFunction", "people")] {
        let variables = variables(&template, function).as_object().unwrap();
        let given: BTreeSet<_> =
            variables.keys().filter(|name| name.starts_with("CONSOLE_")).cloned().collect();
        assert_eq!(given, asked(access), "{function}");
        for (name, value) in variables {
            let is_resolved = value.to_string().contains("{{resolve:secretsmanager:");
            assert_eq!(is_resolved, SECRET.contains(&name.as_str()), "{function}: {name}: {value}");
        }
        // What the caretaker is told of the stack, which knows all queues.
        for (name, value) in super::services::of_the_caretaker(&template) {
            assert_eq!(variables.get(name), Some(value), "{function}: {name}");
        }
        assert_eq!(variables["SYNC_TABLES"], json!({"Ref": "SyncTables"}), "{function}");
    }
}

#[test]
fn it_reaches_the_queues_and_their_dead_letters_and_reads_nobody_elses_secret() {
    let template = Template::read("template.yaml").unwrap();
    let statements = template.properties("ConsolePolicy")["PolicyDocument"]["Statement"].as_array().unwrap();
    let of = |sid: &str| statements.iter().find(|statement| statement["Sid"] == sid).unwrap();
    let arns = |part: &str| {
        let flows = crate::flows::flows(&template);
        let arns: BTreeSet<_> = flows.iter().map(|flow| flow.arn(part).to_string()).collect();
        arns
    };
    for (sid, part) in [("Queues", "Queue"), ("DeadLetters", "DeadLetters")] {
        let reached: BTreeSet<_> =
            of(sid)["Resource"].as_array().unwrap().iter().map(Value::to_string).collect();
        assert_eq!(reached, arns(part), "{sid}");
    }
    let rights = json!(statements).to_string();
    for action in ["secretsmanager:", "iam:", "lambda:", "scheduler:", "dynamodb:Scan", "s3:Delete"] {
        assert!(!rights.contains(action), "{action}");
    }
}
