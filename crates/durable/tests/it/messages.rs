//! What becomes of messages that come early, or whose invocation fails.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use durable::{
    Begin, Blobs, Clock, Concurrency, Context, Delivery, Disposition, Envelope, Error, Ports, Result, RunId,
    Runnable, Settings, Status, Workflow, after, drive, hours, seconds,
    testing::{SimClock, SimRandom, Simulation, World},
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
    let wake = |due| {
        let delivery = Delivery::Resume { run: RunId::of("nap", "1"), due };
        block_on(drive(&runnable, &ports, &Settings::default(), delivery, None)).unwrap()
    };
    clock.advance_to(after(clock.now(), seconds(2 * 3600 - 5)));
    assert_eq!(wake(due), Disposition::Later(due), "clocks differ");
    assert_eq!(wake(clock.now()), Disposition::Done, "one that is left over is dropped");
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

/// How often a run was asked to go on, in a world that delivers everything twice.
fn resumptions(simulation: &Simulation) -> usize {
    simulation.operations().into_iter().filter(|operation| *operation == "resume").count()
}

/// A delivery too many that came early was kept until the run's time, for the clocks may differ: each wait added one more.
#[test]
fn deliveries_too_many_do_not_pile_up_from_wait_to_wait() {
    async fn naps(ctx: Context<serde_json::Value>, (): ()) -> Result<()> {
        for _ in 0..40 {
            ctx.sleep("nap", seconds(30)).await;
        }
        Ok(())
    }
    let mut simulation = Simulation::of(Workflow::new("naps", naps).on_event("go").with(()));
    simulation.duplicate_deliveries();
    let run = simulation.send("go", json!({})).remove(0);
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed);
    let resumptions = resumptions(&simulation);
    assert!(resumptions <= 40 * 3 + 3, "each of 40 waits ends with two deliveries: {resumptions}");
}

/// The second delivery of each run came while the run was about to wake the next in line, and woke that one as well.
#[test]
fn deliveries_too_many_do_not_multiply_along_a_line() {
    async fn second(ctx: Context<serde_json::Value>, clock: Arc<dyn Clock>) -> Result<()> {
        let second = async || {
            clock.sleep_until(after(clock.now(), seconds(1))).await;
            Ok(())
        };
        ctx.step("second").run(second).await
    }
    let simulation = Simulation::default();
    let clock = simulation.clock();
    let workflow = Workflow::new("second", second).on_event("go").concurrency(Concurrency::limit(1));
    let mut simulation = simulation.with(workflow.with(clock));
    simulation.duplicate_deliveries();
    for _ in 0..12 {
        simulation.send("go", json!({}));
    }
    simulation.run_until_idle();
    assert!(simulation.runs().iter().all(|run| run.status == Status::Completed));
    assert_eq!(simulation.violations(), [""; 0]);
    let resumptions = resumptions(&simulation);
    assert!(resumptions <= 12 * 4, "each of 12 runs is woken by two deliveries: {resumptions}");
}
