//! build-agent on the simulated clock, with its real client and the sandbox's harness.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use build_agent::{Services, workflow};
use durable::{
    Payload, RunId, Status, WaitingFor,
    callback::{Answer, Token},
    hours, minutes, seconds,
    testing::{Simulation, crash_everywhere},
};
use fibreflow::{
    config::Settings,
    events::BuildRequested,
    sandbox::{Fault, Sandbox, Scene, Session},
};
use serde_json::json;

fn simulation(features: u32) -> (Simulation, Sandbox) {
    at_pace(1, features)
}

fn at_pace(time_scale: u32, features: u32) -> (Simulation, Sandbox) {
    let simulation = Simulation::default();
    let sandbox = Sandbox::open(Scene { time_scale, features, ..Scene::new(simulation.clock()) }).unwrap();
    let services = Services::from_settings(sandbox.settings()).unwrap();
    (simulation.with(workflow().with(services)), sandbox)
}

fn request(simulation: &mut Simulation, agent: &str) -> RunId {
    simulation.send_event(&BuildRequested { agent_name: agent.into() }).remove(0)
}

fn built(sessions: &[Session]) -> Vec<u32> {
    sessions.iter().filter_map(|session| session.feature_id).collect()
}

#[test]
fn each_feature_is_built_once_what_it_needs_first_with_a_pause_between() {
    let (mut simulation, sandbox) = simulation(4);
    let run = request(&mut simulation, "sharepoint");
    simulation.run_until_idle();
    let output = simulation.output(&run);
    assert_eq!((&output["agent_name"], &output["features"]), (&json!("sharepoint"), &json!([1, 2, 3, 4])));
    let sessions = sandbox.harness().sessions();
    let kinds: Vec<_> = sessions.iter().map(|session| session.session_type.as_str()).collect();
    assert_eq!(kinds, ["initializer", "coding", "coding", "coding", "coding", "deploy"]);
    let pauses: Vec<_> = sessions[1..5]
        .windows(2)
        .map(|pair| durable::until(pair[0].ends_at, pair[1].started_at).as_secs())
        .collect();
    assert_eq!(pauses, [30, 30, 30]);
}

/// A session takes twenty minutes, and no invocation more than fifteen.
#[test]
fn sessions_outlast_any_invocation_when_the_worker_runs_them() {
    let simulation = Simulation::default();
    let sandbox = Sandbox::open(Scene { features: 3, ..Scene::new(simulation.clock()) }).unwrap();
    let services = Services::from_settings(sandbox.settings_by_worker(&["harness"])).unwrap();
    let mut simulation = simulation.with(workflow().with(services)).with_worker(sandbox.worker());
    simulation.limit_invocations(minutes(1));
    let run = request(&mut simulation, "sharepoint");
    simulation.run_until_idle();
    assert_eq!(simulation.output(&run)["features"], json!([1, 2, 3]));
    let sessions = sandbox.harness().sessions();
    assert_eq!((built(&sessions), sessions.len()), (vec![1, 2, 3], 5), "each started once");
}

#[test]
fn a_second_build_finds_what_passes_already() {
    let (mut simulation, sandbox) = simulation(3);
    request(&mut simulation, "sharepoint");
    simulation.run_until_idle();
    let again = request(&mut simulation, "sharepoint");
    simulation.run_until_idle();
    assert_eq!(simulation.output(&again)["features"], json!([]));
    assert_eq!(built(&sandbox.harness().sessions()), [1, 2, 3]);
}

/// The law of the seed, pauses included: "one build an agent".
#[test]
fn never_two_builds_of_one_agent_at_once() {
    let (mut simulation, sandbox) = simulation(3);
    let runs: Vec<_> = ["sharepoint", "sharepoint", "knowledge_base", "sharepoint"]
        .map(|agent| request(&mut simulation, agent))
        .into();
    simulation.run_for(minutes(1));
    let waits = |run: &RunId| simulation.run(run).waiting_for;
    assert!(matches!(&waits(&runs[3])[..], [WaitingFor::Slot { position: 2, .. }]), "{:?}", waits(&runs[3]));
    simulation.run_until_idle();
    assert_eq!(simulation.violations(), [""; 0]);

    // A build's time is from its first session to the end of its last: the run's id begins the session's key.
    let mut builds: BTreeMap<String, (Session, Session)> = BTreeMap::new();
    for session in sandbox.harness().sessions() {
        let build = session.key.split('/').next().unwrap().to_owned();
        builds
            .entry(build)
            .and_modify(|(_, last)| *last = session.clone())
            .or_insert((session.clone(), session));
    }
    assert_eq!(builds.len(), 4);
    let of = |agent: &str| {
        let mut spans: Vec<_> = builds
            .values()
            .filter(|(first, _)| first.agent == agent)
            .map(|(first, last)| (first.started_at, last.ends_at))
            .collect();
        spans.sort();
        spans
    };
    assert!(of("sharepoint").windows(2).all(|pair| pair[0].1 <= pair[1].0), "{:?}", of("sharepoint"));
    assert_eq!(of("knowledge_base")[0].0, of("sharepoint")[0].0, "another agent does not wait");
}

#[test]
fn a_session_that_crashes_is_tried_three_times_five_seconds_apart() {
    let (mut simulation, sandbox) = simulation(2);
    let run = request(&mut simulation, "sharepoint");
    simulation.run_for(minutes(6));
    sandbox.harness().break_down(Fault::SessionFails, Some(2));
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed);
    let sessions = sandbox.harness().sessions();
    assert_eq!(built(&sessions), [1, 2, 2, 2], "the first feature was at work already");
    let gap = durable::until(sessions[2].ends_at, sessions[3].started_at);
    assert_eq!(gap, seconds(5));

    sandbox.harness().break_down(Fault::SessionFails, None);
    let failed = request(&mut simulation, "knowledge_base");
    simulation.run_until_idle();
    let error = simulation.run(&failed).error.unwrap();
    assert!(error.message().contains("exit code 1"), "{error}");
}

#[test]
fn an_agent_without_features_or_a_name_is_refused() {
    let (mut simulation, sandbox) = simulation(0);
    let empty = request(&mut simulation, "sharepoint");
    simulation.run_until_idle();
    let error = simulation.run(&empty).error.unwrap();
    assert_eq!(error.message(), "feature_list.json of sharepoint: it lists no features");

    let started = sandbox.harness().sessions().len();
    for data in
        [json!({}), json!({"agent_name": 7}), json!({"agent_name": "../etc"}), json!({"agent_name": ""})]
    {
        let run = simulation.send("agent/build.requested", data.clone()).remove(0);
        simulation.run_until_idle();
        let error = simulation.run(&run).error.unwrap();
        assert!(error.message().contains("agent_name"), "{data}: {error}");
    }
    assert_eq!(sandbox.harness().sessions().len(), started, "no session was started");
}

/// Fails the sessions of one feature, by the number of its session, for so long.
fn fail_sessions_from(simulation: &mut Simulation, sandbox: &Sandbox, at: Duration, until: Duration) {
    let sandbox = sandbox.clone();
    let again = sandbox.clone();
    simulation.at(at, move |_| sandbox.harness().break_down(Fault::SessionFails, None));
    simulation.at(until, move |_| again.harness().mend());
}

#[test]
fn a_feature_whose_sessions_crash_never_ends_the_build_and_is_tried_again_later() {
    let (mut simulation, sandbox) = simulation(3);
    let run = request(&mut simulation, "sharepoint");
    // The sessions of the first feature begin at 5 min and take 20.
    fail_sessions_from(&mut simulation, &sandbox, minutes(4), minutes(60));
    simulation.run_until_idle();
    let output = simulation.output(&run);
    // Three depends on two; one waits its five minutes.
    assert_eq!(output["features"], json!([2, 3, 1]));
    assert!(output["deployment"]["version"].is_string() && output["manual_review_needed"].is_null());
    assert_eq!(built(&sandbox.harness().sessions()), [1, 1, 1, 2, 3, 1]);
}

#[test]
fn a_feature_that_cannot_be_built_is_left_to_a_person_and_nothing_is_deployed() {
    let (mut simulation, sandbox) = simulation(3);
    let run = request(&mut simulation, "sharepoint");
    // One passes; two fails for good, and three needs it.
    fail_sessions_from(&mut simulation, &sandbox, minutes(24), hours(100));
    simulation.run_until_idle();
    assert_eq!(simulation.run(&run).status, Status::Completed);
    let output = simulation.output(&run);
    assert_eq!((&output["features"], &output["deployment"]), (&json!([1]), &json!(null)));
    let review = &output["manual_review_needed"][0];
    assert_eq!((&review["feature_id"], &review["attempts"]), (&json!(2), &json!(3)));
    assert!(review["error"].as_str().unwrap().contains("API error 429"), "{review}");
    assert_eq!(output["blocked"], json!([3]));
    assert_eq!(sandbox.harness().reviews("sharepoint").len(), 1, "the list says so, too");
    assert_eq!(
        built(&sandbox.harness().sessions()).len(),
        10,
        "three times three attempts, and the first feature"
    );

    // Until a person has looked at it, a further build leaves it alone.
    sandbox.harness().mend();
    let again = request(&mut simulation, "sharepoint");
    simulation.run_until_idle();
    assert_eq!(simulation.output(&again)["features"], json!([]));
    assert_eq!(simulation.output(&again)["blocked"], json!([3]));
}

#[test]
fn a_harness_that_asks_for_time_gets_it_and_no_feature_is_blamed() {
    let (mut simulation, sandbox) = simulation(1);
    let run = request(&mut simulation, "sharepoint");
    simulation.run_for(minutes(4));
    sandbox.harness().break_down(Fault::TooManyRequests, Some(20));
    simulation.run_until_idle();
    assert_eq!(simulation.output(&run)["features"], json!([1]));
    assert_eq!(built(&sandbox.harness().sessions()), [1]);
}

/// An outage of hours is nobody's failure: it is waited out.
#[test]
fn a_harness_that_is_away_is_waited_for() {
    let (mut simulation, sandbox) = simulation(1);
    let run = request(&mut simulation, "sharepoint");
    let (away, back) = (sandbox.clone(), sandbox.clone());
    simulation.at(minutes(4), move |_| away.harness().break_down(Fault::Unreachable, None));
    simulation.at(hours(2), move |_| back.harness().mend());
    simulation.run_until_idle();
    let output = simulation.output(&run);
    assert_eq!((&output["features"], &output["manual_review_needed"]), (&json!([1]), &json!(null)));
}

fn deploying(conditions: &[(&'static str, &'static str)]) -> (Simulation, Sandbox, RunId) {
    let simulation = Simulation::default();
    let sandbox = Sandbox::open(Scene { features: 1, ..Scene::new(simulation.clock()) }).unwrap();
    let lookup = |name: &str| {
        let set = conditions.iter().find(|(set, _)| *set == name);
        set.map_or_else(|| sandbox.setting(name), |(_, value)| Some((*value).to_owned()))
    };
    let services = Services::from_settings(Settings::new(lookup, sandbox.http())).unwrap();
    let mut simulation = simulation.with(workflow().with(services));
    let run = request(&mut simulation, "sharepoint");
    (simulation, sandbox, run)
}

fn kinds(sandbox: &Sandbox) -> Vec<String> {
    sandbox.harness().sessions().into_iter().map(|session| session.session_type).collect()
}

/// The token of the step that waits for a person.
fn approval(simulation: &Simulation, run: &RunId) -> Token {
    let waiting = simulation.run(run).waiting_for;
    let [WaitingFor::Callback { step, .. }] = &waiting[..] else { panic!("{waiting:?}") };
    assert_eq!(step.name, "approve-deployment");
    Token { run: run.clone(), step: step.clone(), attempt: 1 }
}

#[test]
fn a_deployment_waits_for_a_persons_word() {
    for (word, deployed) in
        [(json!({"approved": true}), true), (json!({"approved": false, "by": "Jan"}), false)]
    {
        let (mut simulation, sandbox, run) = deploying(&[("DEPLOY_APPROVAL_HOURS", "48")]);
        simulation.run_for(hours(40));
        assert_eq!(sandbox.slack().texts().len(), 1, "somebody is told");
        assert!(sandbox.slack().texts()[0].contains("sharepoint is built"));
        let token = approval(&simulation, &run);
        simulation.answer(&token, &Answer::Done(Payload::Json(word.to_string())));
        simulation.run_until_idle();
        assert_eq!(kinds(&sandbox).contains(&"deploy".to_owned()), deployed);
        match simulation.run(&run).error {
            None => assert!(deployed),
            Some(error) => assert_eq!((error.message(), deployed), ("Jan refused the deployment", false)),
        }
    }
    let (mut simulation, sandbox, run) = deploying(&[("DEPLOY_APPROVAL_HOURS", "48")]);
    simulation.run_until_idle();
    let error = simulation.run(&run).error.unwrap();
    assert_eq!(error.message(), "the deployment was not approved: no answer came in time");
    assert!(!kinds(&sandbox).contains(&"deploy".to_owned()));
}

/// The simulation begins on a Thursday at 02:00 SAST.
#[test]
fn a_deployment_waits_for_the_end_of_working_hours() {
    let (mut simulation, sandbox, run) = deploying(&[("DEPLOY_CLOSED", "Mon-Fri 02:00-17:00 +02:00")]);
    simulation.run_until_idle();
    let deploy = sandbox.harness().sessions().pop().unwrap();
    assert_eq!(deploy.session_type, "deploy");
    assert_eq!(deploy.started_at.to_string(), "2026-01-01T15:00:00Z");
    assert_eq!(simulation.run(&run).status, Status::Completed);

    let (mut simulation, sandbox, _) = deploying(&[("DEPLOY_CLOSED", "Sat-Sun 02:00-17:00 +02:00")]);
    simulation.run_until_idle();
    assert!(sandbox.harness().sessions().pop().unwrap().started_at < "2026-01-01T01:00:00Z".parse().unwrap());
}

#[test]
fn a_deployment_that_is_not_in_good_health_is_taken_back() {
    let (mut simulation, sandbox, run) = deploying(&[]);
    sandbox.harness().break_down(Fault::AgentIll, None);
    simulation.run_until_idle();
    let error = simulation.run(&run).error.unwrap();
    assert!(error.message().starts_with("smoke check: "), "{error}");
    assert!(error.message().ends_with("; what ran before runs again"), "{error}");
    assert_eq!(kinds(&sandbox), ["initializer", "coding", "deploy", "rollback"], "each once");
}

#[test]
fn whatever_dies_each_session_is_started_once() {
    let world = RefCell::new(None);
    let scenario = || {
        // Sessions of 20 s: a session of 20 min has 120 renewals of its lease, all alike, to be cut off at.
        let (mut simulation, sandbox) = at_pace(60, 3);
        request(&mut simulation, "sharepoint");
        request(&mut simulation, "sharepoint");
        world.replace(Some(sandbox));
        simulation
    };
    let runs = crash_everywhere(scenario, |disturbed, undisturbed| {
        let label = disturbed.label();
        let outputs = |simulation: &Simulation| {
            // Which of the two comes first is decided by whichever invocation survives.
            let outputs = simulation.outcomes().into_iter().map(|ending| format!("{:?}", ending.output));
            outputs.collect::<BTreeSet<_>>()
        };
        assert_eq!(outputs(disturbed), outputs(undisturbed), "{label}");
        let sandbox = world.borrow();
        let sessions = sandbox.as_ref().unwrap().harness().sessions();
        // Three features, and for each of the two builds a first and a last session.
        assert_eq!((built(&sessions).len(), sessions.len()), (3, 7), "{label}");
    });
    assert!(runs > 60, "only {runs} places to die");
}

/// What the README shows is what runs.
#[test]
fn the_readme_shows_it_as_it_is() {
    let source = include_str!("../src/lib.rs");
    let start = source.find("pub fn workflow()").unwrap();
    let end = start + source[start..].find("async fn build_agent(").unwrap();
    let end = end + source[end..].find("\n}\n").unwrap();
    assert!(include_str!("../../../README.md").contains(&source[start..end]));
}

/// What the documentation says is shown by a test is.
#[test]
fn the_tests_that_the_documentation_names_are_there() {
    let sources = [
        include_str!("it.rs"),
        include_str!("../src/plan.rs"),
        include_str!("../../../crates/fibreflow/src/harness/features.rs"),
        include_str!("../../../crates/cli/tests/it/worker.rs"),
        include_str!("../../../crates/durable/tests/it/jobs.rs"),
        include_str!("../../../crates/durable-aws/tests/it/worker.rs"),
        include_str!("../../../crates/worker/tests/it/jobs.rs"),
        include_str!("../../../crates/worker/tests/it/commands.rs"),
        include_str!("../../../crates/worker/tests/it/requests.rs"),
    ]
    .concat();
    let documents =
        [include_str!("../../../docs/build-agent.md"), include_str!("../../../docs/worker.md")].concat();
    let is_test =
        |word: &&str| word.matches('_').count() >= 3 && word.chars().all(|c| c.is_lowercase() || c == '_');
    let named: BTreeSet<_> = documents.split('`').filter(is_test).collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        assert!(sources.contains(&format!("fn {name}()")), "there is no test {name}");
    }
}
