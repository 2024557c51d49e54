//! Holds template.yaml to the workflows: one definition, and what is deployed agrees with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod console;
mod flows;
mod rights;
mod services;
mod storage;

use durable::seconds;
use flows::{Flow, flows};
use serde_json::{Value, json};
use system_tests::Template;

/// So long before its end an invocation starts no step any more, and so long it takes to end.
const MARGIN: std::time::Duration = seconds(30);

#[test]
fn every_workflow_has_a_function_and_every_queue_of_a_function_a_workflow() {
    let template = Template::read("template.yaml").unwrap();
    let of_queues: Vec<_> = template
        .of_type("AWS::Serverless::Function")
        .filter(|(_, function)| function["Properties"]["Events"]["Queue"].is_object())
        .map(|(_, function)| function["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap().to_owned())
        .collect();
    let flows: Vec<_> = flows(&template).into_iter().map(|flow| flow.name().to_owned()).collect();
    assert_eq!(of_queues, flows);
}

#[test]
fn rules_match_the_events_that_start_a_workflow_and_no_others() {
    let template = Template::read("template.yaml").unwrap();
    for flow in flows(&template) {
        let queue = flow.arn("Queue");
        let rules: Vec<_> = template
            .of_type("AWS::Events::Rule")
            .filter(|(_, rule)| rule["Properties"]["Targets"][0]["Arn"] == queue)
            .collect();
        let [(_, rule)] = rules[..] else { panic!("{}: expected one rule, got {rules:?}", flow.name()) };
        // By name alone: whoever may put events on the bus may start a workflow.
        assert_eq!(rule["Properties"]["EventPattern"], json!({ "detail-type": flow.definition.events }));
        assert_eq!(rule["Properties"]["EventBusName"], json!({"Ref": "Bus"}));
        let target = &rule["Properties"]["Targets"][0];
        assert!(target["Input"].is_null() && target["InputTransformer"].is_null(), "the envelope is needed");
        assert!(target["DeadLetterConfig"]["Arn"].is_object() && target["RetryPolicy"].is_object());
    }
}

#[test]
fn schedules_are_those_of_the_workflows() {
    let template = Template::read("template.yaml").unwrap();
    let mut expected = 0;
    for flow in flows(&template) {
        let queue = flow.arn("Queue");
        let scheduled: Vec<_> = template
            .of_type("AWS::Scheduler::Schedule")
            .map(|(_, schedule)| &schedule["Properties"])
            .filter(|schedule| schedule["Target"]["Arn"] == queue)
            .collect();
        let Some(cron) = &flow.definition.schedule else {
            assert!(scheduled.is_empty(), "{} has no schedule", flow.name());
            continue;
        };
        expected += 1;
        let [schedule] = scheduled[..] else { panic!("{}: expected one schedule", flow.name()) };
        assert_eq!(schedule["ScheduleExpression"], aws_cron(cron));
        assert_eq!(schedule["ScheduleExpressionTimezone"], "UTC");
        assert_eq!(schedule["FlexibleTimeWindow"]["Mode"], "OFF");
        let input: Value = serde_json::from_str(schedule["Target"]["Input"].as_str().unwrap()).unwrap();
        let time = "<aws.scheduler.scheduled-time>";
        assert_eq!(input, json!({"durable": "schedule", "workflow": flow.name(), "time": time}));
    }
    assert_eq!(template.of_type("AWS::Scheduler::Schedule").count(), expected);
}

/// AWS has a sixth field, the year, and of the days of month and week one must be `?`.
fn aws_cron(cron: &str) -> String {
    let fields: Vec<_> = cron.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else { panic!("{cron}: expected five fields") };
    assert_eq!(weekday, "*", "days of the week are numbered differently there");
    format!("cron({minute} {hour} {day} {month} ? *)")
}

#[test]
fn a_function_has_time_for_the_longest_step_of_its_workflow() {
    let template = Template::read("template.yaml").unwrap();
    for flow in flows(&template) {
        let (timeout, longest) = (flow.timeout(), flow.longest_step());
        assert!(timeout >= longest + MARGIN, "{}: {timeout:?} for a step of {longest:?}", flow.name());
        assert!(timeout <= seconds(900), "{}: Lambda allows 15 minutes", flow.name());
    }
}

#[test]
fn as_many_invocations_at_once_as_the_workflow_has_use_for() {
    let template = Template::read("template.yaml").unwrap();
    for flow in flows(&template) {
        let source = &flow.function()["Events"]["Queue"]["Properties"];
        let most = source["ScalingConfig"]["MaximumConcurrency"].as_u64().unwrap();
        assert!((2..=1000).contains(&most), "{}: SQS takes 2 to 1000", flow.name());
        let Some(concurrency) = &flow.definition.concurrency else { continue };
        let slots = u64::from(concurrency.slots());
        assert!(most >= slots, "{}: {most} invocations never fill {slots} slots", flow.name());
        // One key for all runs: more invocations than this would only find that there is no slot.
        if concurrency.key_of(flow.name(), &Value::Null).is_ok_and(|key| key == flow.name()) {
            assert!(most <= 2.max(2 * slots), "{}: {most} invocations for {slots} slots", flow.name());
        }
    }
}

#[test]
fn a_message_is_not_delivered_anew_while_it_is_worked_on_and_is_given_up_in_the_end() {
    let template = Template::read("template.yaml").unwrap();
    for flow in flows(&template) {
        let (name, queue, dead) = (flow.name(), flow.resource("Queue"), flow.resource("DeadLetters"));
        let visibility = seconds(queue["VisibilityTimeout"].as_u64().unwrap());
        assert!(visibility >= 6 * flow.timeout(), "{name}: visible again after {visibility:?}");
        let redrive = &queue["RedrivePolicy"];
        assert_eq!(redrive["deadLetterTargetArn"], flow.arn("DeadLetters"), "{name}");
        // The last receive is where a run is told why it fails: both sides must count alike.
        let receives = flow.environment()["DURABLE_RECEIVES"].as_str().unwrap().parse().ok();
        assert_eq!(redrive["maxReceiveCount"].as_u64(), receives, "{name}");
        let kept = |queue: &Value| queue["MessageRetentionPeriod"].as_u64().unwrap();
        assert!(kept(dead) > kept(queue), "{name}: a message's age counts from when it was first sent");

        let source = &flow.function()["Events"]["Queue"]["Properties"];
        assert_eq!(source["Queue"], flow.arn("Queue"), "{name}");
        assert_eq!(source["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]), "{name}");
        assert!(source["BatchSize"].as_u64().unwrap() <= 10, "{name}: more wants a batching window");
    }
}

#[test]
fn a_function_that_wakes_itself_is_not_taken_for_a_loop() {
    let template = Template::read("template.yaml").unwrap();
    for flow in flows(&template) {
        assert_eq!(flow.function()["RecursiveLoop"], "Allow", "{}", flow.name());
    }
}

#[test]
fn nested_templates_are_given_what_they_ask_for() {
    for (path, folder) in [("template.yaml", ""), ("infra/operations.yaml", "infra/")] {
        let template = Template::read(path).unwrap();
        let mut nested = template.of_type("AWS::CloudFormation::Stack").peekable();
        assert!(nested.peek().is_some(), "{path}");
        for (name, stack) in nested {
            let properties = &stack["Properties"];
            let asked = format!("{folder}{}", properties["TemplateURL"].as_str().unwrap());
            let asked = Template::read(asked).unwrap();
            let given: Vec<_> = properties["Parameters"].as_object().unwrap().keys().collect();
            let mut asked: Vec<_> = asked.section("Parameters").map(|(name, _)| name.to_owned()).collect();
            asked.sort_unstable();
            assert_eq!(given, asked.iter().collect::<Vec<_>>(), "{path}: {name}");
        }
    }
}

#[test]
fn every_workflow_has_its_alarms() {
    let template = Template::read("template.yaml").unwrap();
    let operations = Template::read("infra/operations.yaml").unwrap();
    for flow in flows(&template) {
        let alarms = &operations.properties(&format!("{}Alarms", flow.logical))["Parameters"];
        assert_eq!(alarms["Workflow"], flow.name());
        for part in ["Function", "Queue", "DeadLetters"] {
            assert_eq!(alarms[part], json!({"Ref": format!("{}{part}", flow.logical)}), "{}", flow.name());
        }
    }
}

/// Nothing but the names of flows is known here: see [`Flow`].
#[test]
fn names_of_resources_follow_from_names_of_workflows() {
    assert_eq!(Flow::logical_name("sync-databases"), "SyncDatabases");
}
