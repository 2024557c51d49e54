//! What becomes of messages that come early, or whose invocation fails.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use durable::{
    Begin, Blobs, Clock, Context, Delivery, Disposition, Envelope, Error, Ports, Result, RunId, Runnable,
    Settings, Workflow, after, drive, hours, seconds,
    testing::{SimClock, SimRandom, World},
};
use futures::executor::block_on;
use serde_json::json;

fn world() -> (Ports, Arc<SimClock>) {
    let clock = Arc::<SimClock>::default();
    (Arc::<World>::default().ports(clock.clone(), SimRandom::default()), clock)
}

fn start(runnable: &Runnable, ports: &Ports) -> Result<Disposition> {
    let event = Envelope { id: "1".into(), name: "go".into(), data: json!({}), sent_at: ports.clock.now() };
    block_on(drive(runnable, ports, &Settings::default(), Delivery::Start(event), None))
}

#[test]
fn a_wake_up_that_seems_a_little_early_comes_again_on_time() {
    async fn nap(ctx: Context<serde_json::Value>, (): ()) -> Result<()> {
        ctx.sleep("nap", hours(2)).await;
        Ok(())
    }
    let runnable = Workflow::new("nap", nap).with(());
    let (ports, clock) = world();
    assert_eq!(start(&runnable, &ports).unwrap(), Disposition::Done);
    let due = after(clock.now(), hours(2));
    let wake = || {
        let delivery = Delivery::Resume(RunId::of("nap", "1"));
        block_on(drive(&runnable, &ports, &Settings::default(), delivery, None)).unwrap()
    };
    assert_eq!(wake(), Disposition::Done, "a stray one is dropped");
    clock.advance_to(after(clock.now(), seconds(2 * 3600 - 5)));
    assert_eq!(wake(), Disposition::Later(due), "clocks differ");
}

/// A blob store that fails once.
#[derive(Debug, Default)]
struct FailsOnce(AtomicBool);

#[async_trait]
impl Blobs for FailsOnce {
    async fn put(&self, _: &str, _: Vec<u8>) -> Result<()> {
        if self.0.swap(true, Ordering::Relaxed) { Ok(()) } else { Err(Error::new("the store is down")) }
    }

    async fn get(&self, key: &str) -> Result<Vec<u8>> {
        Err(Error::fatal(key))
    }
}

#[test]
fn an_invocation_that_fails_gives_its_lease_back() {
    async fn large(_: Context<serde_json::Value>, (): ()) -> Result<String> {
        Ok("x".repeat(1_000_000))
    }
    let runnable = Workflow::new("large", large).with(());
    let (mut ports, clock) = world();
    ports.blobs = Arc::new(FailsOnce::default());
    assert_eq!(start(&runnable, &ports).unwrap_err().message(), "the store is down");
    let now = clock.now();
    let free = block_on(ports.journal.resume(&RunId::of("large", "1"), now, after(now, seconds(1)))).unwrap();
    assert!(matches!(free, Begin::Leased(_)), "the redelivery need not wait: {free:?}");
}
