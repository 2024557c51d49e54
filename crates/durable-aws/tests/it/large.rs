//! What is large: many checkpoints, a long result, a large event.

use durable::{
    Begin, Checkpoint, Context, Delivery, Disposition, Envelope, Error, History, Journal, Lease, Outcome,
    PageRequest, Payload, Result, Run, RunFilter, RunId, Settings, Status, StepId, StepKind, StepState,
    Workflow, Written, after, drive, hours, seconds,
};
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::json;

use crate::stand_in::{Kind, StandIn};

fn at(second: u64) -> Timestamp {
    after(Timestamp::UNIX_EPOCH, seconds(1_800_000_000 + second))
}

/// moto ends a page of a query at 1 MB, as DynamoDB does; MiniStack does not.
#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_of_more_than_a_page_are_all_read() {
    let stand_in = StandIn::start(Kind::Moto).await;
    let settings = stand_in.set_up("large", &[]).await;
    let aws = stand_in.aws(&settings).await;
    let event = Envelope { id: "1".into(), name: "go".into(), data: json!({}), sent_at: at(0) };
    let run = Run::queued("flow", event, at(0));
    let lease = Lease { run: run.id.clone(), epoch: 1 };
    aws.begin(run, at(0), at(60)).await.unwrap();
    // Quotes, which JSON within JSON would double: an item holds 400 KB.
    let value = format!("[{}]", vec![r#""\"""#; 50_000].join(","));
    assert!(value.len() > 240_000);
    let records: Vec<_> = (0..12)
        .map(|n| Checkpoint {
            at: at(2),
            ..Checkpoint::new(
                StepId { name: format!("step-{n:02}"), nth: 1 },
                StepKind::Run,
                StepState::Completed { output: Payload::Json(value.clone()) },
                at(1),
            )
        })
        .collect();
    stand_in.wire.take();
    let written = join_all(records.iter().map(|record| aws.checkpoint(&lease, record))).await;
    assert!(written.iter().all(|written| *written == Ok(Written::Done(None))));
    // The first goes at once; those that come meanwhile share the next transaction, which takes up to 4 MB.
    assert_eq!(stand_in.wire.take().remove("TransactWriteItems"), Some(2));
    assert!(aws.checkpoints(&lease.run).await.unwrap() == records);
    let pages = stand_in.wire.take().remove("Query").unwrap();
    assert!(pages >= 3, "12 times 250 KB in {pages} pages");
    let outcome = Outcome::Completed(Payload::Json(value));
    assert_eq!(aws.finish(&lease, &outcome, None, at(3)).await.unwrap(), Written::Done(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_of_3_mb_goes_through_s3_and_a_large_event_through_an_item_of_its_own() {
    async fn large(ctx: Context<String>, (): ()) -> Result<usize> {
        let (length, id) = (ctx.event().len(), ctx.run_id().clone());
        let made = ctx.step("make").run(async || Ok(id.to_string().repeat(100_000))).await?;
        ctx.sleep("nap", hours(1)).await;
        Ok(made.len() + length)
    }
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let settings = stand_in.set_up("large", &["large"]).await;
    let aws = stand_in.aws(&settings).await;
    let runnable = Workflow::new("large", large).with(());
    let data = "x".repeat(200_000).into();
    let event = Envelope { id: "1".into(), name: "go".into(), data, sent_at: at(0) };
    let (run, ports) = (RunId::of("large", "1"), aws.ports(None));
    let (start, defaults) = (Delivery::Start(event.clone()), Settings::default());
    let start = || drive(&runnable, &ports, &defaults, start.clone(), None);
    assert_eq!(start().await.unwrap(), Disposition::Done);
    let records = aws.checkpoints(&run).await.unwrap();
    let StepState::Completed { output: output @ Payload::Blob { bytes, .. } } = &records[0].state else {
        panic!("{:?}", records[0].state)
    };
    assert_eq!(*bytes, 3_200_002);
    let read: String = output.load(&*ports.blobs).await.unwrap();
    assert!(read == run.as_str().repeat(100_000));
    let asleep = aws.run(&run).await.unwrap().unwrap();
    assert_eq!((asleep.status, asleep.event.clone()), (Status::Waiting, event.clone()));
    // A repeated delivery, and a list, find the event as well.
    assert_eq!(start().await.unwrap(), Disposition::Done);
    let listed = aws.runs(&RunFilter::default(), &PageRequest::first(5)).await.unwrap();
    assert_eq!(listed.items, std::slice::from_ref(&asleep));
    let wake_at = asleep.wake_at.unwrap();
    let Begin::Leased(resumed) = aws.resume(&run, wake_at, after(wake_at, seconds(9))).await.unwrap() else {
        panic!("not leased")
    };
    assert_eq!(resumed.event, event);
    let lease = Lease { run, epoch: 2 };
    let outcome = Outcome::Failed(Error::fatal("enough"));
    assert_eq!(aws.finish(&lease, &outcome, None, wake_at).await.unwrap(), Written::Done(()));
}
