//! A day at FibreFlow, in virtual time: workflows like those that are shipped, with runs in every state there is.

use std::{sync::Arc, time::Duration};

use durable::{
    Clock, Concurrency, Context, Error, Event, Result, Retry, RunId, Throttle, Workflow, after, minutes,
    seconds, testing::Simulation,
};
use futures::executor::block_on;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Services that take virtual time and fail as their events ask.
#[derive(Clone)]
struct Services(Arc<dyn Clock>);

impl Services {
    async fn work<T>(&self, time: Duration, result: T) -> Result<T> {
        self.0.sleep_until(after(self.0.now(), time)).await;
        Ok(result)
    }

    async fn fail<T>(&self, time: Duration, error: Error) -> Result<T> {
        self.0.sleep_until(after(self.0.now(), time)).await;
        Err(error)
    }
}

#[derive(Deserialize)]
struct BuildRequested {
    agent_name: String,
    #[serde(default = "three")]
    features: u32,
}

fn three() -> u32 {
    3
}

fn build_agent() -> Workflow<Services> {
    Workflow::new("build-agent", async |ctx: Context<BuildRequested>, services: Services| {
        let agent = ctx.event().agent_name.clone();
        let list =
            json!({"agent_name": agent, "total_features": ctx.event().features, "status": "in_progress"});
        ctx.step("initialize-agent").run(|| services.work(seconds(95), list)).await?;
        for feature in 1..=ctx.event().features {
            if feature > 1 {
                ctx.sleep("pause-between-features", seconds(30)).await;
            }
            let built = json!({"id": feature, "passes": true, "commit": "9f1c2ab"});
            ctx.step("build-feature").run(|| services.work(minutes(17), built)).await?;
        }
        ctx.step("deploy-agent").run(|| services.work(seconds(40), json!({"healthy": true}))).await
    })
    .on_event("agent/build.requested")
    .retries(3)
    .concurrency(Concurrency::limit(1).key(|build: &BuildRequested| build.agent_name.clone()))
}

#[derive(Serialize, Deserialize)]
struct MessageQueued {
    phone: String,
    message: String,
}

impl Event for MessageQueued {
    const NAME: &'static str = "whatsapp/message.queued";
}

fn send_whatsapp() -> Workflow<Services> {
    Workflow::new("send-whatsapp", async |ctx: Context<MessageQueued>, services: Services| {
        let health = json!({"connected": true, "session_valid": true});
        ctx.step("check-service").run(|| services.work(Duration::from_millis(40), health)).await?;
        let message = &ctx.event().message;
        let sent = json!({"message_id": "3EB0C431C2", "found_afterwards": false});
        ctx.step("send-message")
            .retry(Retry::fixed(5, seconds(60)))
            .run(async || match message.as_str() {
                "logged out" => {
                    services
                        .fail(seconds(2), Error::new("502 of the bridge of +27821234567: logged out"))
                        .await
                }
                _ => services.work(Duration::from_millis(850), sent).await,
            })
            .await
    })
    .on_event(MessageQueued::NAME)
    .retries(5)
    .throttle(Throttle::limit(10).per(minutes(1)).key(|queued: &MessageQueued| queued.phone.clone()))
}

#[derive(Deserialize)]
struct EvaluationRequested {
    dr_number: String,
    #[serde(default)]
    contractor_phone: Option<String>,
    /// From 9 on, the model is missing for good.
    #[serde(default)]
    outages: u32,
}

fn evaluate_foto() -> Workflow<Services> {
    Workflow::new("evaluate-foto", async |ctx: Context<EvaluationRequested>, services: Services| {
        let request = ctx.event();
        let drop = &request.dr_number;
        let photos = json!({"photos": 6, "bytes": 1_840_233});
        ctx.step("download-image").run(|| services.work(Duration::from_millis(1_400), photos)).await?;
        let missing = "404: the model `Qwen/Qwen3-VL-8B-Instruct` does not exist";
        let steps: Vec<_> = ["house_photo", "cable_span", "wall_installation", "power_meter"]
            .iter()
            .map(|name| json!({"step_name": name, "score": 8, "passed": true, "comment": "clear"}))
            .collect();
        let answer = json!({"overall_status": "PASS", "average_score": 8.0, "step_results": steps});
        let evaluation = ctx
            .step("vlm-evaluate")
            .retry(Retry::fixed(3, seconds(30)))
            .run(async || match request.outages {
                9.. => services.fail(seconds(4), Error::new(missing)).await,
                _ => services.work(seconds(18), answer).await,
            })
            .await?;
        ctx.step("store-result").run(|| services.work(Duration::from_millis(60), json!({"rows": 1}))).await?;
        if let Some(phone) = &request.contractor_phone {
            let message = format!("Drop {drop}: PASS");
            ctx.send_event("queue-notification", MessageQueued { phone: phone.clone(), message }).await?;
        }
        Ok(evaluation)
    })
    .on_event("foto/evaluation.requested")
    .retries(3)
    .concurrency(Concurrency::limit(5))
}

fn sync_databases() -> Workflow<Services> {
    Workflow::new("sync-databases", async |ctx: Context<Value>, services: Services| {
        ctx.step("fetch-neon-data").run(|| services.work(seconds(9), json!({"tables": 6}))).await?;
        for batch in 0..12 {
            let pushed = json!({"changed": 100 - batch, "refused": 0});
            ctx.step("sync-batch").run(|| services.work(Duration::from_millis(420), pushed)).await?;
        }
        ctx.step("notify-complete").run(|| services.work(Duration::from_millis(130), json!("ok"))).await
    })
    .on_schedule("0 */6 * * *")
    .on_event("databases/sync.requested")
    .concurrency(Concurrency::limit(1))
}

#[derive(Serialize, Deserialize)]
struct Reviewed {
    dr_number: String,
    reviewer_phone: String,
    approved: bool,
}

impl Event for Reviewed {
    const NAME: &'static str = "foto/evaluation.reviewed";
}

/// Waits for a person's word twice: for an answer, and for an event.
fn release_agent() -> Workflow<Services> {
    Workflow::new("release-agent", async |ctx: Context<Value>, services: Services| {
        let (drop, phone) = (&ctx.event()["dr_number"], &ctx.event()["reviewer_phone"]);
        let ask = ctx.callback("approve-deployment").retry(Retry::never()).timeout(minutes(600));
        let approval: Value = ask.run(async |_| Ok(())).await?;
        let review = ctx.wait_for_event::<Reviewed>("review").matching("dr_number", drop);
        let review = review.matching("reviewer_phone", phone).timeout(minutes(600)).receive().await?;
        ctx.step("deploy").run(|| services.work(seconds(40), approval)).await?;
        Ok(review.is_some_and(|review| review.approved))
    })
    .on_event("agent/release.requested")
}

/// The workflows, and nothing that has happened.
pub(crate) fn quiet() -> Simulation {
    let simulation = Simulation::seeded(7);
    let services = Services(simulation.clock());
    simulation
        .with(build_agent().with(services.clone()))
        .with(evaluate_foto().with(services.clone()))
        .with(send_whatsapp().with(services.clone()))
        .with(sync_databases().with(services.clone()))
        .with(release_agent().with(services))
}

/// The runs that tests look for.
pub(crate) struct Cast {
    /// A build at work.
    pub(crate) building: RunId,
    /// A build that waits in line behind it.
    pub(crate) in_line: RunId,
    /// A message that is about to be tried again.
    pub(crate) retrying: RunId,
    /// An evaluation whose model was missing each time.
    pub(crate) failed: RunId,
    /// An evaluation that sent a message.
    pub(crate) completed: RunId,
    /// A release that waits for an approval.
    pub(crate) asking: RunId,
}

/// A day, and what goes on at its end.
pub(crate) fn day() -> (Simulation, Cast) {
    let mut simulation = quiet();
    let mut drop = 1_733_000;
    for quarter in 0..88_u32 {
        for _ in 0..=quarter % 3 {
            drop += 7;
            let phone = format!("+2782{}", 1_234_000 + quarter);
            simulation.send(
                "foto/evaluation.requested",
                json!({"dr_number": format!("DR{drop}"), "contractor_phone": phone, "outages": quarter % 11}),
            );
        }
        if quarter % 24 == 0 {
            simulation.fire_schedule("sync-databases");
        }
        if quarter % 40 == 3 {
            simulation.send("agent/build.requested", json!({"agent_name": "vps-monitor", "features": 2}));
        }
        simulation.run_for(minutes(15));
    }
    let stopped = simulation.send("agent/build.requested", json!({"agent_name": "contractor-agent"}));
    simulation.run_for(minutes(9));
    simulation.cancel(&stopped[0]);
    let request = json!({"dr_number": "DR1733758", "contractor_phone": "+27821234567"});
    let completed = simulation.send("foto/evaluation.requested", request);
    let request = json!({"dr_number": "DR1733761", "outages": 9});
    let failed = simulation.send("foto/evaluation.requested", request);
    simulation.run_for(minutes(4));
    let build = json!({"agent_name": "sharepoint", "features": 12});
    let building = simulation.send("agent/build.requested", build.clone());
    simulation.run_for(minutes(55));
    let in_line = simulation.send("agent/build.requested", build);
    let dead =
        simulation.send("whatsapp/message.queued", json!({"phone": "+27831112222", "message": "logged out"}));
    simulation.run_for(seconds(90));
    simulation.give_up(&dead[0], "the store did not answer within 30 s, each time it was received");
    let retrying =
        simulation.send("whatsapp/message.queued", json!({"phone": "+27821234567", "message": "logged out"}));
    for n in 0..13 {
        let phone = "+27829990000";
        simulation.send("whatsapp/message.queued", json!({"phone": phone, "message": format!("note {n}")}));
    }
    simulation.send("unheard/of", json!([1, 2]));
    // Names and values as long as they may be.
    let long = "an-event-whose-name-is-as-long-as-a-name-may-be-".repeat(5);
    simulation.send_as(
        &"9f".repeat(128),
        &long,
        json!({"text": "word ".repeat(2_000), "rows": vec![long.clone(); 300]}),
    );
    simulation.run_for(seconds(25));
    block_on(simulation.desk().pause("ana@fibreflow.example", "sync-databases")).unwrap();
    let release = json!({"dr_number": "DR1733790", "reviewer_phone": "+27821234567"});
    let asking = simulation.send("agent/release.requested", release);
    simulation.run_for(seconds(80));
    let of = |runs: Vec<RunId>| runs.into_iter().next().unwrap();
    let cast = Cast {
        building: of(building),
        in_line: of(in_line),
        retrying: of(retrying),
        failed: of(failed),
        completed: of(completed),
        asking: of(asking),
    };
    (simulation, cast)
}
