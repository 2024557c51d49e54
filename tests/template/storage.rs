//! What durable-aws reads and writes is what the template makes.

use std::fs;

use serde_json::Value;
use system_tests::{Template, file};

fn source(file_name: &str) -> String {
    fs::read_to_string(file(format!("crates/durable-aws/src/{file_name}"))).unwrap()
}

fn all_sources() -> String {
    let files = fs::read_dir(file("crates/durable-aws/src")).unwrap();
    files.map(|found| fs::read_to_string(found.unwrap().path()).unwrap()).collect()
}

#[test]
fn the_tables_keys_and_indexes_are_those_that_are_asked_for() {
    let template = Template::read("template.yaml").unwrap();
    let (table, sources) = (template.properties("Table"), all_sources());
    for attribute in table["AttributeDefinitions"].as_array().unwrap() {
        let name = attribute["AttributeName"].as_str().unwrap();
        let is_used = [format!("\"{name}\""), format!("#{name}")].iter().any(|use_| sources.contains(use_));
        assert!(is_used, "durable-aws knows no attribute {name}");
    }
    let ttl = &table["TimeToLiveSpecification"];
    assert_eq!((&ttl["AttributeName"], &ttl["Enabled"]), (&"expires_at".into(), &true.into()));
    let indexes =
        ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"].map(|kind| table[kind].as_array().unwrap());
    let mut made: Vec<_> = indexes
        .iter()
        .flat_map(|indexes| indexes.iter())
        .map(|index| index["IndexName"].as_str().unwrap())
        .collect();
    made.sort_unstable();
    assert_eq!(made, ["arrival", "due", "listed"]);
    for name in made {
        assert!(sources.contains(&format!("\"{name}\"")), "durable-aws asks no index {name}");
    }
    // Removed with their run; the bucket's rule is for what was missed, and must leave all else alone.
    let prefix = template.properties("Bucket")["LifecycleConfiguration"]["Rules"][0]["Prefix"].clone();
    assert!(source("blobs.rs").contains(&format!("\"{}\"", prefix.as_str().unwrap())));
    let in_transit = &template.properties("Bucket")["LifecycleConfiguration"]["Rules"][1];
    assert_eq!(in_transit["Prefix"], "durable/worker/");
    let kept = in_transit["ExpirationInDays"].as_u64().unwrap() * 24 * 3600;
    for queue in ["JobsQueue", "JobsDeadLetters", "BuildAgentDeadLetters"] {
        assert!(kept > template.properties(queue)["MessageRetentionPeriod"].as_u64().unwrap(), "{queue}");
    }
}

/// An alarm on a metric that nobody writes never sounds.
#[test]
fn alarms_and_charts_are_of_metrics_that_are_written() {
    let metrics = source("metrics.rs");
    assert!(metrics.contains("\"Durable\"") && metrics.contains("\"workflow\""));
    let orchestrator = fs::read_to_string(file("functions/orchestrator/src/main.rs")).unwrap();
    let is_written = |name: &Value, whose: &str| {
        let name = name.as_str().unwrap();
        let counted = orchestrator.contains(&format!("Metrics::count(\"orchestrator\", \"{name}\")"));
        assert!(
            counted || metrics.contains(&format!("\"{name}\"")),
            "{whose}: nobody writes a metric {name}"
        );
    };
    let mut seen = 0;
    for path in ["infra/operations.yaml", "infra/workflow-alarms.yaml"] {
        let template = Template::read(path).unwrap();
        for (name, alarm) in template.of_type("AWS::CloudWatch::Alarm") {
            let alarm = &alarm["Properties"];
            if alarm["Namespace"] == "Durable" {
                assert_eq!(alarm["Dimensions"][0]["Name"], "workflow", "{name}");
                is_written(&alarm["MetricName"], name);
                seen += 1;
            }
        }
    }
    let operations = Template::read("infra/operations.yaml").unwrap();
    let body = operations.properties("Dashboard")["DashboardBody"]["Fn::Sub"].as_str().unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    for widget in body["widgets"].as_array().unwrap() {
        let title = widget["properties"]["title"].as_str().unwrap();
        for metric in widget["properties"]["metrics"].as_array().unwrap() {
            if metric[0] == "Durable" {
                is_written(&metric[1], title);
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "the walk found {seen} metrics");
}
