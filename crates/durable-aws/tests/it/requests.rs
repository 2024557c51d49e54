//! What a run costs, counted where requests leave the process.

use std::{collections::BTreeMap, time::Duration};

use durable::{
    Concurrency, Context, Delivery, Disposition, Envelope, Pauses, Result, RunId, Settings, Throttle,
    Workflow, drive, hours, minutes,
};
use durable_aws::Aws;
use jiff::Timestamp;

use crate::stand_in::{Kind, StandIn};

const WRITES: [&str; 3] = ["PutItem", "UpdateItem", "TransactWriteItems"];
const READS: [&str; 3] = ["GetItem", "Query", "BatchGetItem"];

async fn steps(ctx: Context<usize>, (): ()) -> Result<()> {
    for _ in 0..*ctx.event() {
        ctx.step("step").run(async || Ok(42)).await?;
    }
    Ok(())
}

async fn steps_and_a_sleep(ctx: Context<usize>, (): ()) -> Result<()> {
    for _ in 0..*ctx.event() {
        ctx.step("step").run(async || Ok(42)).await?;
    }
    ctx.sleep("nap", Duration::from_millis(1100)).await;
    Ok(())
}

async fn branches(ctx: Context<usize>, (): ()) -> Result<()> {
    let all = (0..*ctx.event()).map(|_| ctx.step("step").run(async || Ok(42)));
    futures::future::try_join_all(all).await.map(drop)
}

/// What it is called, how it is made, and how many more writes and reads it may cost.
type Case = (&'static str, fn(&str) -> Workflow<()>, usize, usize);

/// What one run requests, from its event to its end.
async fn cost(
    stand_in: &StandIn,
    aws: &std::sync::Arc<Aws>,
    workflow: Workflow<()>,
    steps: usize,
) -> BTreeMap<String, usize> {
    let name = workflow.definition().name.clone();
    let runnable = workflow.with(());
    let (ports, settings) =
        (aws.ports(None), Settings { renew: false, lease: minutes(5), ..Settings::default() });
    let event =
        Envelope { id: steps.to_string(), name: "go".into(), data: steps.into(), sent_at: Timestamp::now() };
    let run = RunId::of(&name, &event.id);
    stand_in.wire.take();
    let mut delivery = Delivery::Start(event);
    for _ in 0..4 {
        match drive(&runnable, &ports, &settings, delivery, None).await.unwrap() {
            Disposition::Done => {}
            Disposition::Later(at) => panic!("put off until {at}"),
        }
        let requests = stand_in.wire.take();
        let Some(asleep) = ports.journal.run(&run).await.unwrap().filter(|run| !run.status.is_final()) else {
            return requests;
        };
        stand_in.wire.take();
        stand_in.wire.give_back(requests);
        tokio::time::sleep(durable::until(Timestamp::now(), asleep.wake_at.unwrap())).await;
        delivery = Delivery::Resume(run.clone());
    }
    panic!("it does not end")
}

fn sum(requests: &BTreeMap<String, usize>, names: &[&str]) -> usize {
    names.iter().filter_map(|name| requests.get(*name)).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_to_its_budget_of_requests() {
    let workflows: [Case; 6] = [
        ("steps", |name| Workflow::new(name, steps), 0, 0),
        (
            "with a concurrency key",
            |name| Workflow::new(name, steps).concurrency(Concurrency::limit(5)),
            2,
            0,
        ),
        (
            "with a throttle",
            |name| Workflow::new(name, steps).throttle(Throttle::limit(1000).per(hours(1))),
            1,
            0,
        ),
        (
            "with both",
            |name| {
                let throttle = Throttle::limit(1000).per(hours(1));
                Workflow::new(name, steps).concurrency(Concurrency::limit(5)).throttle(throttle)
            },
            3,
            0,
        ),
        ("with a sleep", |name| Workflow::new(name, steps_and_a_sleep), 2, 1),
        ("as branches of one join", |name| Workflow::new(name, branches), 0, 0),
    ];
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let names: Vec<_> = workflows.iter().map(|(label, ..)| label.replace(' ', "-")).collect();
    let settings = stand_in.set_up("requests", &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let aws = stand_in.aws(&settings).await;
    for name in &names {
        // Asked once a process and quarter of a minute, not once a run.
        assert!(!aws.is_paused(name, false).await.unwrap());
    }
    println!(
        "| workflow | steps | DynamoDB writes | reads | SQS | S3 | others |\n| --- | --- | --- | --- | --- | --- | --- |"
    );
    for ((label, make, more_writes, reads), name) in workflows.iter().zip(&names) {
        for steps in [1, 10, 100] {
            let requests = cost(&stand_in, &aws, make(name), steps).await;
            let (written, read) = (sum(&requests, &WRITES), sum(&requests, &READS));
            let sqs = sum(&requests, &["SendMessage"]);
            let s3 = sum(&requests, &["S3 PUT", "S3 GET"]);
            let others = requests.values().sum::<usize>() - written - read - sqs - s3;
            println!("| {label} | {steps} | {written} | {read} | {sqs} | {s3} | {others} |");
            assert!(written <= steps + 2 + more_writes, "{label}, {steps} steps: {requests:?}");
            assert_eq!((read, s3, others), (*reads, 0, 0), "{label}, {steps} steps: {requests:?}");
        }
    }
}
