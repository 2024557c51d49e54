//! Everything at once: two functions, every message delivered twice, requests that lose their answers. What must always be
//! true is true of every run.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use durable::{
    Concurrency, Context, Envelope, History, LARGEST_PAGE, PageRequest, Result, Run, RunFilter, Status,
    Throttle, Workflow, after, seconds,
};
use durable_aws::{Clients, Function, Settings, Swept, sweep};
use futures::future::{join, join_all};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    stand_in::{Kind, StandIn},
    wire::Fault,
};

const RUNS: usize = 30;
const SLOTS: u32 = 3;

/// What really happened.
#[derive(Debug, Default)]
struct Seen {
    at_work: AtomicUsize,
    most_at_work: AtomicUsize,
    starts: Mutex<HashMap<String, Timestamp>>,
}

async fn flow(ctx: Context<Value>, seen: Arc<Seen>) -> Result<String> {
    let first = ctx
        .step("first")
        .run(async || {
            let at_work = seen.at_work.fetch_add(1, Ordering::SeqCst) + 1;
            seen.most_at_work.fetch_max(at_work, Ordering::SeqCst);
            seen.starts.lock().unwrap().entry(ctx.run_id().to_string()).or_insert_with(Timestamp::now);
            tokio::time::sleep(Duration::from_millis(20)).await;
            seen.at_work.fetch_sub(1, Ordering::SeqCst);
            Ok(format!("{}", ctx.event()["n"]))
        })
        .await?;
    ctx.sleep("nap", Duration::from_millis(1100)).await;
    let (left, right) = join(
        ctx.step("left").run(async || Ok(format!("{first}l"))),
        ctx.step("right").run(async || Ok(format!("{first}r"))),
    )
    .await;
    Ok(left? + &right?)
}

fn workflow() -> Workflow<Arc<Seen>> {
    let throttle = Throttle::limit(10).per(seconds(5));
    Workflow::new("flow", flow).on_event("go").concurrency(Concurrency::limit(SLOTS)).throttle(throttle)
}

/// What is on the queue now, as records of a batch: all of it, and what is seen for the first time, which is delivered twice.
/// (Were all that follows from it doubled as well, it would grow without end.) Deleted at once: what fails is sent again.
async fn take(
    clients: &Clients,
    settings: &Settings,
    known: &mut HashSet<String>,
) -> (Vec<Value>, Vec<Value>) {
    let url = &settings.queues["flow"].url;
    let request = clients.sqs().receive_message().queue_url(url).max_number_of_messages(10);
    let request = request.wait_time_seconds(1).message_attribute_names("All");
    let messages = request.send().await.unwrap().messages.unwrap_or_default();
    let (mut records, mut twice) = (Vec::new(), Vec::new());
    for message in messages {
        let delete = clients.sqs().delete_message().queue_url(url);
        delete.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
        let deferrals = message.message_attributes.and_then(|mut attributes| attributes.remove("deferrals"));
        let deferrals = deferrals.and_then(|deferrals| deferrals.string_value);
        let attributes = match &deferrals {
            Some(count) => json!({"deferrals": {"dataType": "Number", "stringValue": count}}),
            None => json!({}),
        };
        let record =
            json!({"messageId": message.body, "body": message.body, "messageAttributes": attributes});
        twice.extend(known.insert(message.body.unwrap()).then(|| record.clone()));
        records.push(record);
    }
    (records, twice)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_every_run_ends_once_within_its_limits() {
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let settings = stand_in.set_up("storm", &["flow"]).await;
    let (clients, seen) = (stand_in.clients().await, Arc::new(Seen::default()));
    let mut functions = Vec::new();
    for _ in 0..2 {
        functions.push(Function::on_aws(workflow().with(seen.clone()), stand_in.aws(&settings).await));
    }
    let caretaker = stand_in.aws(&settings).await;
    for n in 0..RUNS {
        let event = Envelope {
            id: n.to_string(),
            name: "go".into(),
            data: json!({"n": n}),
            sent_at: Timestamp::now(),
        };
        let body = json!({"id": n.to_string(), "source": "durable", "detail-type": "go", "time": event.sent_at, "detail": event});
        let send = clients.sqs().send_message().queue_url(&settings.queues["flow"].url);
        send.message_body(body.to_string()).send().await.unwrap();
    }
    let (began, mut known) = (Instant::now(), HashSet::new());
    for round in 0.. {
        let operation = ["UpdateItem", "TransactWriteItems", "PutItem"][round % 3];
        // Not more at once: a request whose every attempt fails is the end of its invocation, and nothing would move.
        if stand_in.wire.faults_left() < 4 {
            stand_in.wire.fault(operation, Fault::LostAnswer);
            stand_in.wire.fault("TransactWriteItems", Fault::Conflict);
        }
        let (records, twice) = take(&clients, &settings, &mut known).await;
        let done = records.is_empty();
        let deadline = after(Timestamp::now(), seconds(20));
        let invoked = functions
            .iter()
            .zip([records, twice])
            .map(|(function, records)| function.invoke(json!({"Records": records}), "request", deadline));
        for response in join_all(invoked).await {
            for failure in response.unwrap()["batchItemFailures"].as_array().unwrap() {
                // As SQS does with a record that failed.
                let send = clients.sqs().send_message().queue_url(&settings.queues["flow"].url);
                send.message_body(failure["itemIdentifier"].as_str().unwrap()).send().await.unwrap();
            }
        }
        if done && ended(&caretaker).await.len() == RUNS {
            break;
        }
        assert!(began.elapsed() < Duration::from_mins(2), "{:?}", stuck(&caretaker).await);
    }
    for run in ended(&caretaker).await {
        assert_eq!(run.status, Status::Completed, "{run:?}");
        let n = &run.event.data["n"];
        let output: String = run.output.unwrap().load(&*caretaker.ports(None).blobs).await.unwrap();
        assert_eq!(output, format!("{n}l{n}r"));
    }
    assert!(seen.most_at_work.load(Ordering::SeqCst) <= SLOTS as usize);
    let mut starts: Vec<_> = seen.starts.lock().unwrap().values().copied().collect();
    starts.sort_unstable();
    assert_eq!(starts.len(), RUNS);
    for group in starts.windows(11) {
        // A start is admitted before its first step runs: a lost answer in between costs up to two seconds.
        assert!(durable::until(group[0], group[10]) > Duration::from_secs(3), "{group:?}");
    }
    assert_eq!(sweep(&caretaker).await.unwrap(), Swept::default(), "nothing is left to mend");
}

async fn all(aws: &Arc<durable_aws::Aws>) -> Vec<Run> {
    aws.runs(&RunFilter::default(), &PageRequest::first(LARGEST_PAGE)).await.unwrap().items
}

async fn ended(aws: &Arc<durable_aws::Aws>) -> Vec<Run> {
    all(aws).await.into_iter().filter(|run| run.status.is_final()).collect()
}

async fn stuck(aws: &Arc<durable_aws::Aws>) -> Vec<Run> {
    all(aws).await.into_iter().filter(|run| !run.status.is_final()).collect()
}
