//! Long lines, and what is done at the same time as something else.

use std::time::Duration;

use durable::{
    Concurrency, Context, Delivery, Disposition, Envelope, Gate, Result, RunId, Runnable, Settings, Slot,
    Status, WaitingFor, Window, Workflow, drive, seconds, until,
};
use durable_aws::Aws;
use futures::{StreamExt, stream};
use jiff::Timestamp;

use crate::stand_in::{Kind, StandIn};

fn run(n: usize) -> RunId {
    RunId::of("flow", &n.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_two_thousand_is_served_in_order() {
    const WAITERS: usize = 2000;
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let settings = stand_in.set_up("lines", &[]).await;
    let aws = stand_in.aws(&settings).await;
    assert_eq!(aws.acquire("key", 1, &run(0)).await.unwrap(), Slot::Held);
    // The first ten one after the other, so that their order is known; the others as they come.
    for n in 1..=10 {
        let place = u32::try_from(n).unwrap();
        assert_eq!(aws.acquire("key", 1, &run(n)).await.unwrap(), Slot::Waiting(place));
    }
    let others = stream::iter(11..=WAITERS).map(async |n| aws.acquire("key", 1, &run(n)).await);
    assert!(others.buffer_unordered(32).all(async |slot| matches!(slot, Ok(Slot::Waiting(_)))).await);

    // What a hand-over costs does not depend on the length of the line.
    stand_in.wire.take();
    for n in 0..10 {
        let next = run(n + 1);
        let woken = aws.release("key", 1, &run(n)).await.unwrap();
        assert_eq!(woken, std::slice::from_ref(&next), "first come, first served");
        assert_eq!(aws.acquire("key", 1, &next).await.unwrap(), Slot::Held);
    }
    let requests = stand_in.wire.take();
    assert_eq!(
        requests.into_iter().collect::<Vec<_>>(),
        [("GetItem", 10), ("Query", 10), ("TransactWriteItems", 10), ("UpdateItem", 20)]
            .map(|(name, count)| (name.to_owned(), count))
    );
    assert_eq!(aws.release("key", 1, &run(500)).await.unwrap(), [], "one leaves the line");
    assert_eq!(
        aws.acquire("key", 1, &run(500)).await.unwrap(),
        Slot::Waiting(u32::try_from(WAITERS - 10).unwrap())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_slots_go_out_at_once_when_a_limit_is_raised() {
    let stand_in = StandIn::start(Kind::Moto).await;
    let settings = stand_in.set_up("limits", &[]).await;
    let aws = stand_in.aws(&settings).await;
    for n in 0..5 {
        aws.acquire("key", 1, &run(n)).await.unwrap();
    }
    let mut woken = aws.release("key", 3, &run(0)).await.unwrap();
    woken.sort_unstable();
    let mut expected = [run(1), run(2), run(3)];
    expected.sort_unstable();
    assert_eq!(woken, expected);
    assert_eq!(aws.acquire("key", 3, &run(4)).await.unwrap(), Slot::Waiting(1));
}

/// Sends about a drop, once in so long: whoever waits for that gives its slot to the next in line.
async fn sends(ctx: Context<String>, (): ()) -> Result<()> {
    let cooldown = [Window { limit: 1, period: seconds(4) }];
    ctx.step("send").throttle_aside(ctx.event(), cooldown).run(async || Ok(())).await
}

async fn driven(aws: &std::sync::Arc<Aws>, runnable: &Runnable, delivery: Delivery) {
    let (ports, settings) = (aws.ports(None), Settings { renew: false, ..Settings::default() });
    let driven = drive(runnable, &ports, &settings, delivery, None).await;
    assert_eq!(driven.unwrap(), Disposition::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_steps_aside_gives_its_slot_away_and_goes_on_in_its_time() {
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let settings = stand_in.set_up("aside", &["flow"]).await;
    let aws = stand_in.aws(&settings).await;
    let flow = Workflow::new("flow", sends).on_event("go").concurrency(Concurrency::limit(1)).with(());
    let start = async |id: &str, drop: &str| {
        let (id, sent_at) = (id.to_owned(), Timestamp::now());
        let event = Envelope { id: id.clone(), name: "go".into(), data: drop.into(), sent_at };
        driven(&aws, &flow, Delivery::Start(event)).await;
        RunId::of("flow", &id)
    };
    let resume = async |run: &RunId| {
        driven(&aws, &flow, Delivery::Resume { run: run.clone(), due: Timestamp::now() }).await;
    };
    let journal = &aws.ports(None).journal;
    let shown = async |run: &RunId| journal.run(run).await.unwrap().unwrap();

    let first = start("1", "DR1").await;
    assert_eq!(shown(&first).await.status, Status::Completed);
    let aside = start("2", "DR1").await;
    let other = start("3", "DR2").await;
    assert!(matches!(&shown(&other).await.waiting_for[..], [WaitingFor::Slot { position: 1, .. }]));

    // Suspended first, and woken to give its slot away.
    let waits = shown(&aside).await;
    assert!(matches!(&waits.waiting_for[..], [WaitingFor::Aside { .. }]), "{waits:?}");
    resume(&aside).await;
    let due = shown(&aside).await.wake_at.unwrap();
    assert_eq!(Some(due), waits.waiting_for[0].until());
    resume(&other).await;
    assert_eq!(
        shown(&other).await.status,
        Status::Completed,
        "nobody waits for a cooldown that is not its own"
    );

    tokio::time::sleep(until(Timestamp::now(), due) + Duration::from_millis(10)).await;
    resume(&aside).await;
    let ended = shown(&aside).await;
    assert_eq!((ended.status, ended.ended_at >= Some(due)), (Status::Completed, true), "{ended:?}");
    assert_eq!(
        aws.acquire("flow", 1, &RunId::of("flow", "4")).await.unwrap(),
        Slot::Held,
        "the slot is free"
    );
}
