//! Everything the engine does, cut off everywhere.

use std::sync::{Arc, Mutex};

use durable::{
    Concurrency, Context, Error, Event, Result, Retry, Status, Throttle, Workflow, minutes, seconds,
    testing::{Simulation, crash_everywhere},
};
use futures::join;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Serialize, Deserialize)]
struct Told {
    text: String,
}

impl Event for Told {
    const NAME: &'static str = "told";
}

#[derive(Clone, Default)]
struct Services {
    failures: Arc<Mutex<u32>>,
    charged: Arc<Mutex<u32>>,
    told: Arc<Mutex<Vec<String>>>,
}

async fn everything(ctx: Context<Value>, services: Services) -> Result<u32> {
    let flaky = async || {
        let mut failures = services.failures.lock().unwrap();
        *failures += 1;
        if *failures < 3 { Err(Error::new("not yet")) } else { Ok(20_u32) }
    };
    let (flaky, (), large) = join!(
        ctx.step("flaky").retry(Retry::fixed(100, seconds(5))).run(flaky),
        ctx.sleep("nap", minutes(1)),
        ctx.step("large").run(async || Ok("x".repeat(300_000))),
    );
    let charge = async || {
        *services.charged.lock().unwrap() += 1;
        Ok(2)
    };
    let charged: u32 = match ctx.step("charge").at_most_once().run(charge).await {
        Err(error) if error.is_outcome_unknown() => 2,
        result => result?,
    };
    ctx.send_event("tell", Told { text: "done".into() }).await?;
    Ok(flaky? + charged + u32::try_from(large?.len()).unwrap())
}

async fn listen(ctx: Context<Told>, services: Services) -> Result<String> {
    let told = async || {
        services.told.lock().unwrap().push(ctx.event().text.clone());
        Ok(())
    };
    ctx.step("note").run(told).await?;
    Ok(ctx.event().text.clone())
}

#[test]
fn whatever_dies_the_runs_end_alike_and_the_invariants_hold() {
    let services = Arc::new(Mutex::new(Services::default()));
    let scenario = || {
        let fresh = Services::default();
        *services.lock().unwrap() = fresh.clone();
        let everything = Workflow::new("everything", everything)
            .on_event("go")
            .retries(3)
            .concurrency(Concurrency::limit(1))
            .throttle(Throttle::limit(1).per(minutes(5)));
        let mut simulation = Simulation::default()
            .with(everything.with(fresh.clone()))
            .with(Workflow::new("listen", listen).on_event("told").with(fresh));
        simulation.send("go", json!({"n": 1}));
        simulation.send("go", json!({"n": 2}));
        simulation
    };
    let runs = crash_everywhere(scenario, |disturbed, undisturbed| {
        assert_eq!(disturbed.outcomes(), undisturbed.outcomes(), "{}", disturbed.label());
        assert!(
            disturbed.outcomes().iter().all(|outcome| outcome.status == Status::Completed),
            "{}",
            disturbed.label()
        );
        let services = services.lock().unwrap();
        let charged = *services.charged.lock().unwrap();
        assert!((1..=2).contains(&charged), "charged {charged} times for two runs, {}", disturbed.label());
        let told = services.told.lock().unwrap().len();
        assert!((2..=3).contains(&told), "noted {told} times, {}", disturbed.label());
    });
    assert!(runs > 80, "only {runs} places to die");
}
