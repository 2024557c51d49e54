//! A function may do what it does, to what it does it to, and nothing else.

use serde_json::{Value, json};
use system_tests::Template;

use crate::flows::flows;

/// Actions for which AWS knows no resources.
const WITHOUT_RESOURCE: [&str; 3] =
    ["cloudwatch:GetMetricData", "xray:PutTelemetryRecords", "xray:PutTraceSegments"];

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |items| items.iter().collect())
}

/// The statements of a role or a managed policy.
fn statements(properties: &Value) -> Vec<&Value> {
    let inline = list(&properties["Policies"]).into_iter().map(|policy| &policy["PolicyDocument"]);
    let documents = inline.chain([&properties["PolicyDocument"]]);
    documents.flat_map(|document| list(&document["Statement"])).filter(|found| found.is_object()).collect()
}

#[test]
fn no_policy_allows_everything() {
    let template = Template::read("template.yaml").unwrap();
    let roles = template.of_type("AWS::IAM::Role").chain(template.of_type("AWS::IAM::ManagedPolicy"));
    let mut seen = 0;
    for (name, role) in roles {
        for statement in statements(&role["Properties"]) {
            assert_eq!(statement["Effect"], "Allow", "{name}");
            let actions: Vec<_> =
                list(&statement["Action"]).into_iter().map(|action| action.as_str().unwrap()).collect();
            assert!(actions.iter().all(|action| !action.contains('*')), "{name}: {actions:?}");
            for resource in list(&statement["Resource"]) {
                seen += 1;
                let text = resource.to_string();
                let is_all = resource.as_str().is_some_and(|text| text.starts_with('*'));
                let has_none = actions.iter().all(|action| WITHOUT_RESOURCE.contains(action));
                assert!(!is_all || has_none, "{name}: {actions:?} on everything");
                // What ends with * names its parent.
                assert!(is_all || !text.contains(":*"), "{name}: {text}");
            }
        }
    }
    assert!(seen > 30, "the walk found {seen} resources");
}

#[test]
fn every_function_has_a_role_of_its_own_written_out_here() {
    let template = Template::read("template.yaml").unwrap();
    for (name, function) in template.of_type("AWS::Serverless::Function") {
        let role = name.replace("Function", "Role");
        let properties = &function["Properties"];
        assert_eq!(properties["Role"], json!({"Fn::GetAtt": [&role, "Arn"]}), "{name}");
        // SAM adds managed policies with Resource * to the roles that it makes.
        assert!(properties["Policies"].is_null(), "{name}: rights belong to {role}");
        for managed in list(&template.properties(&role)["ManagedPolicyArns"]) {
            let shared = ["DurablePolicy", "ConsolePolicy"].map(|policy| json!({ "Ref": policy }));
            assert!(managed.is_null() || shared.contains(managed), "{role}: {managed}");
        }
        assert_eq!(properties["LoggingConfig"]["LogGroup"], json!({"Ref": name.replace("Function", "Log")}));
        assert!(
            template.properties(&name.replace("Function", "Log"))["RetentionInDays"].is_object(),
            "{name}"
        );
    }
}

#[test]
fn a_workflow_reaches_its_own_queue_and_no_other() {
    let template = Template::read("template.yaml").unwrap();
    for flow in flows(&template) {
        let queues: Vec<_> = statements(flow.resource("Role"))
            .into_iter()
            .filter(|statement| statement["Action"].to_string().contains("sqs:"))
            .map(|statement| &statement["Resource"])
            .collect();
        assert_eq!(queues, [&flow.arn("Queue")], "{}", flow.name());
    }
    let shared = statements(template.properties("DurablePolicy"));
    assert!(shared.iter().all(|statement| !statement["Action"].to_string().contains("sqs:")));
}

#[test]
fn the_recorder_takes_every_event_and_may_write_events_alone() {
    let template = Template::read("template.yaml").unwrap();
    let rule = template.properties("RecorderRule");
    assert_eq!(rule["EventPattern"], json!({ "source": [{ "prefix": "" }] }), "every event has a source");
    assert_eq!(rule["Targets"][0]["Arn"], json!({ "Fn::GetAtt": ["RecorderQueue", "Arn"] }));
    let policy = statements(template.properties("RecorderQueuePolicy"));
    let allowed: Vec<_> = policy.iter().filter(|statement| statement["Effect"] == "Allow").collect();
    let [allowed] = allowed[..] else { panic!("{allowed:?}") };
    assert_eq!(
        allowed["Condition"]["ArnEquals"]["aws:SourceArn"],
        json!({ "Fn::GetAtt": ["RecorderRule", "Arn"] })
    );
    let rights = statements(template.properties("RecorderRole"));
    let table: Vec<_> =
        rights.iter().filter(|statement| statement["Action"].to_string().contains("dynamodb:")).collect();
    let [table] = table[..] else { panic!("{table:?}") };
    assert_eq!(
        (&table["Action"], &table["Resource"]),
        (&json!("dynamodb:UpdateItem"), &json!({ "Fn::GetAtt": ["Table", "Arn"] }))
    );
    assert_eq!(table["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"], json!(["event#*"]));
    let queues: Vec<_> =
        rights.iter().filter(|statement| statement["Action"].to_string().contains("sqs:")).collect();
    assert_eq!(queues[0]["Resource"], json!({ "Fn::GetAtt": ["RecorderQueue", "Arn"] }));
    let function = template.properties("RecorderFunction");
    let source = &function["Events"]["AllEvents"]["Properties"];
    assert_eq!(source["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]));
    let visibility = template.properties("RecorderQueue")["VisibilityTimeout"].as_u64();
    assert!(visibility >= function["Timeout"].as_u64().map(|timeout| 6 * timeout));
}

#[test]
fn only_its_own_rule_may_send_to_a_queue() {
    let template = Template::read("template.yaml").unwrap();
    for flow in flows(&template) {
        let policy = flow.resource("QueuePolicy");
        assert_eq!(policy["Queues"], json!([{"Ref": format!("{}Queue", flow.logical)}]));
        let allowed: Vec<_> =
            statements(policy).into_iter().filter(|statement| statement["Effect"] == "Allow").collect();
        let [allowed] = allowed[..] else { panic!("{}: {allowed:?}", flow.name()) };
        assert_eq!(allowed["Action"], "sqs:SendMessage");
        assert_eq!(allowed["Condition"], json!({"ArnEquals": {"aws:SourceArn": flow.arn("Rule")}}));
    }
}
