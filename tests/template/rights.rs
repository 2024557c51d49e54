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

/// The statements of a role or a managed policy, those that depend on a condition as if it held.
fn statements(properties: &Value) -> Vec<&Value> {
    let inline = list(&properties["Policies"]).into_iter().map(|policy| &policy["PolicyDocument"]);
    let documents = inline.chain([&properties["PolicyDocument"]]);
    let statements = documents.flat_map(|document| list(&document["Statement"]));
    let written_out = statements.map(|statement| statement.pointer("/Fn::If/1").unwrap_or(statement));
    written_out.filter(|found| found.is_object()).collect()
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
            .map(|statement| (&statement["Action"], &statement["Resource"]))
            .collect();
        let (own, dead) = (flow.arn("Queue"), flow.arn("DeadLetters"));
        let jobs = json!({"Fn::GetAtt": ["JobsQueue", "Arn"]});
        assert_eq!(queues[0].1, &own, "{}", flow.name());
        // What it gives up, and what it leaves to the worker, it may send there and not take.
        let send = json!("sqs:SendMessage");
        let expected = [(&send, &dead), (&send, &jobs)];
        assert_eq!(&queues[1..], &expected[..=usize::from(flow.uses_the_worker())], "{}", flow.name());
    }
    let shared = statements(template.properties("DurablePolicy"));
    assert!(shared.iter().all(|statement| !statement["Action"].to_string().contains("sqs:")));
}

/// No right but its queue, its corner of the bucket and its replies.
#[test]
fn the_worker_takes_its_jobs_answers_and_does_nothing_else() {
    let template = Template::read("template.yaml").unwrap();
    let arn = |resource: &str| json!({"Fn::GetAtt": [resource, "Arn"]});
    let replies: Vec<_> =
        flows(&template).iter().filter(|flow| flow.uses_the_worker()).map(|flow| flow.arn("Queue")).collect();
    let rights: Vec<_> = statements(template.properties("WorkerPolicy"))
        .into_iter()
        .map(|statement| (statement["Action"].clone(), statement["Resource"].clone()))
        .collect();
    let jobs = json!(["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"]);
    let corner = json!({"Fn::Sub": "${Bucket.Arn}/durable/worker/*"});
    assert_eq!(
        rights,
        [
            (jobs, arn("JobsQueue")),
            (json!("sqs:SendMessage"), json!(replies)),
            (json!(["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]), corner),
        ]
    );
    // What the worker's client asks for, and no more.
    let source = std::fs::read_to_string(system_tests::file("crates/worker/src/sqs.rs")).unwrap();
    let calls = [
        "delete_object",
        "change_message_visibility",
        "delete_message",
        "receive_message",
        "send_message",
        "get_object",
        "put_object",
    ];
    assert!(calls.iter().all(|call| source.contains(&format!(".{call}()"))));
    assert!(!source.contains("list_objects"));
}

#[test]
fn the_recorder_takes_every_event_writes_events_and_wakes_who_waits_for_them() {
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
    assert!(table.iter().all(|statement| statement["Resource"] == json!({ "Fn::GetAtt": ["Table", "Arn"] })));
    let keys = |statement: &Value| {
        let keys = &statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"];
        (statement["Action"].clone(), keys.clone())
    };
    let on_runs =
        ["dynamodb:ConditionCheckItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"];
    assert_eq!(
        table.iter().map(|statement| keys(statement)).collect::<Vec<_>>(),
        [
            (json!("dynamodb:UpdateItem"), json!(["event#*", "@events/*"])),
            (json!("dynamodb:Query"), json!(["shapes#*", "wait#*"])),
            (json!(on_runs), json!(["run#*"])),
        ]
    );
    let queues: Vec<_> =
        rights.iter().filter(|statement| statement["Action"].to_string().contains("sqs:")).collect();
    let [wakes, own] = queues[..] else { panic!("{queues:?}") };
    assert_eq!(own["Resource"], json!({ "Fn::GetAtt": ["RecorderQueue", "Arn"] }));
    let of_flows: Vec<_> = flows(&template).iter().map(|flow| flow.arn("Queue")).collect();
    assert_eq!(wakes["Action"], json!("sqs:SendMessage"));
    let mut woken: Vec<_> = list(&wakes["Resource"]).into_iter().map(Value::to_string).collect();
    let mut expected: Vec<_> = of_flows.iter().map(Value::to_string).collect();
    woken.sort_unstable();
    expected.sort_unstable();
    assert_eq!(woken, expected);
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

#[test]
fn the_orchestrator_reads_its_registry_and_nothing_else() {
    let template = Template::read("template.yaml").unwrap();
    let reads: Vec<_> = statements(template.properties("OrchestratorRole"))
        .into_iter()
        .filter(|statement| statement["Action"].to_string().contains("s3:"))
        .collect();
    let object = "${RegistryBucket}/${RegistryKey}";
    let arn = json!({"Fn::Sub": format!("arn:${{AWS::Partition}}:s3:::{object}")});
    assert_eq!(
        reads,
        [&json!({"Sid": "Registry", "Effect": "Allow", "Action": "s3:GetObject", "Resource": arn})]
    );
    let given = &template.properties("OrchestratorFunction")["Environment"]["Variables"]["REGISTRY"];
    assert_eq!(given, &json!({"Fn::If": ["HasRegistry", {"Fn::Sub": format!("s3://{object}")}, ""]}));
}

#[test]
fn whoever_may_flip_the_switch_may_write_nothing_else() {
    let template = Template::read("template.yaml").unwrap();
    let statements = statements(template.properties("WhatsAppSwitchPolicy"));
    let [statement] = statements[..] else { panic!("{statements:?}") };
    let own = json!({"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["note#whatsapp"]}});
    assert_eq!(
        (&statement["Condition"], &statement["Action"]),
        (&own, &json!(["dynamodb:GetItem", "dynamodb:PutItem"]))
    );
    let source = std::fs::read_to_string(system_tests::file("functions/send-whatsapp/src/main.rs")).unwrap();
    assert!(source.contains("Note::from_env(\"whatsapp\")"));
}
