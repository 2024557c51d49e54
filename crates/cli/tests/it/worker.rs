//! `fibreflow worker`, as a process of its own, with the jobs of a `fibreflow dev`.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    process::{Child, Command},
};

use fibreflow::sandbox::Fault;
use serde_json::json;

use crate::rig::{Chance, Dev, Home, LONG, Services, eventually};

/// The worker, killed when it is dropped.
struct Worker(Child);

impl Worker {
    fn start(home: &Home, name: &str, tables: &str, environment: &[(&str, &str)]) -> Self {
        let (config, state) = (home.path(&format!("{name}.toml")), home.path(name));
        let (state, folder) = (state.display(), home.folder());
        let start = format!(
            "name = \"{name}\"\nstate = \"{state}\"\nlease = \"3s\"\ngrace = \"1s\"\nqueue = {{ home = \"{}\" }}\n",
            folder.display()
        );
        fs::write(&config, start + tables).unwrap();
        let log = fs::File::options().create(true).append(true).open(home.path("worker.log")).unwrap();
        let mut command = home.command(&["worker", "--config", config.to_str().unwrap()]);
        command.envs(environment.iter().copied()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM; its exit code.
    async fn stop(mut self) -> Option<i32> {
        assert!(Command::new("kill").arg(self.0.id().to_string()).status().unwrap().success());
        let ended = eventually("the worker stops", LONG, || std::future::ready(self.0.try_wait().unwrap()));
        ended.await.code()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn log(home: &Home) -> String {
    fs::read_to_string(home.path("worker.log")).unwrap_or_default()
}

/// The scripted harness, and the table that has it.
fn harness(home: &Home) -> String {
    let path = home.path("harness.sh");
    fs::write(&path, include_str!("harness.sh")).unwrap();
    fs::write(home.path("scenario"), include_str!("scenario.sh")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    format!(
        "[commands.harness]\nprogram = [\"{}\"]\nlimit = \"2s\"\ngrace = \"500ms\"\npass = [\"HARNESS_ROOT\", \"SLOW\"]\n\
         one_at_a_time_by = \"agent_name\"\nsecrets = {{ MODEL_KEY = {{ env = \"MODEL_KEY\" }} }}\n",
        path.display()
    )
}

fn lines(home: &Home, file: &str) -> Vec<String> {
    fs::read_to_string(home.path(file)).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The worker has begun the slow session, and knows it.
async fn sixth_session(home: &Home) {
    let begun = || log(home).contains("working on feature 6").then_some(());
    eventually("the sixth session begins", LONG, || std::future::ready(begun())).await;
}

async fn dev(home: &Home, settings: &[(&str, &str)], time_scale: &str) -> Dev {
    let mut command = home.command(&["dev", "--port", "0", "--time-scale", time_scale]);
    command.envs(settings.iter().copied());
    Dev::spawn(home, command).await
}

/// A session that fails, one that hangs, one that crashes, one that never succeeds, and a worker that is killed over another.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_built_in_a_git_repository_whatever_its_sessions_and_its_worker_do() {
    let home = Home::new();
    let tables = harness(&home);
    let root = home.path("").display().to_string();
    let environment = [("HARNESS_ROOT", root.as_str()), ("MODEL_KEY", "sk-hidden-key"), ("SLOW", "1.5")];
    let dev = dev(&home, &[("HARNESS_URL", "worker://harness")], "200").await;
    let worker = Worker::start(&home, "vps", &tables, &environment);
    let run = dev.send("agent/build.requested", json!({"agent_name": "sharepoint"})).await;

    sixth_session(&home).await;
    worker.kill();
    let _worker = Worker::start(&home, "vps", &tables, &environment);

    let run = dev.ended(&run).await;
    assert_eq!(run["status"], "completed", "{run}\n{}", log(&home));
    let output = &run["output"];
    let mut features: Vec<u64> =
        output["features"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    features.sort_unstable();
    assert_eq!(features, [1, 2, 3, 4, 6], "{output}");
    assert_eq!(output["manual_review_needed"][0]["feature_id"], 5);
    assert_eq!(output["manual_review_needed"][0]["error"], "exit code 1: the tests fail");
    assert_eq!((&output["blocked"], &output["deployment"]), (&json!([7]), &json!(null)));

    let mut sessions: BTreeMap<String, u32> = BTreeMap::new();
    for session in lines(&home, "sessions").into_iter().filter(|session| session.starts_with("coding")) {
        *sessions.entry(session).or_default() += 1;
    }
    let counted = |n: u32| sessions.get(&format!("coding {n}")).copied();
    let expected =
        [(1, Some(1)), (2, Some(2)), (3, Some(2)), (4, Some(2)), (5, Some(9)), (6, Some(1)), (7, None)];
    for (feature, times) in expected {
        assert_eq!(counted(feature), times, "feature {feature}: {sessions:?}\n{}", log(&home));
    }

    // One work tree all along: what a failed session had written is in the next one's commit.
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").arg("-C").arg(home.path("sharepoint")).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let commits = git(&["log", "--format=%s"]);
    for feature in [1, 2, 3, 4, 6] {
        let subject = format!("feature {feature}");
        assert_eq!(commits.lines().filter(|line| **line == subject).count(), 1, "{commits}");
    }
    let agent = git(&["show", "HEAD:agent.py"]);
    for written in ["session 1 of feature 2", "session 1 of feature 3", "session 1 of feature 4"] {
        assert!(agent.contains(written), "{agent}");
    }
    assert!(git(&["show", "HEAD:feature_list.json"]).contains("manual_review_needed"));
    assert!(log(&home).contains("working on feature 6"), "what a command logs is passed on");
    assert!(!log(&home).contains("sk-hidden-key") && !run.to_string().contains("sk-hidden-key"));
    assert!(log(&home).contains("API error 429: [secret]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_stop_gives_its_job_to_the_next() {
    let home = Home::new();
    let tables = harness(&home);
    let root = home.path("").display().to_string();
    let settings = [("HARNESS_URL", "worker://harness")];
    let dev = dev(&home, &settings, "1000").await;
    let stalls = [("HARNESS_ROOT", root.as_str()), ("MODEL_KEY", "sk-hidden-key"), ("SLOW", "1.9")];
    let worker = Worker::start(&home, "one", &tables, &stalls);
    let run = dev.send("agent/build.requested", json!({"agent_name": "sharepoint"})).await;
    let sixth = || lines(&home, "sessions").iter().filter(|session| *session == "coding 6").count();
    sixth_session(&home).await;
    assert_eq!(worker.stop().await, Some(0), "{}", log(&home));

    let _worker = Worker::start(&home, "two", &tables, &stalls);
    let run = dev.ended(&run).await;
    assert_eq!(run["status"], "completed", "{run}");
    assert_eq!(sixth(), 2, "the first time it was ended");
}

/// It would run for minutes; so does one that waits its turn, and is never begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_gone_seconds_after_its_run_is_cancelled() {
    let home = Home::new();
    let (script, pids) = (home.path("harness.sh"), home.path("pids"));
    fs::write(&script, format!("#!/bin/sh\necho $$ >> {}\nexec sleep 300\n", pids.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let tables = format!("parallelism = 1\n[commands.harness]\nprogram = [\"{}\"]\n", script.display());
    let dev = dev(&home, &[("HARNESS_URL", "worker://harness")], "1").await;
    let _worker = Worker::start(&home, "one", &tables, &[]);
    let running = dev.send("agent/build.requested", json!({"agent_name": "a"})).await;
    let pid = || lines(&home, "pids").first().cloned();
    let pid = eventually("its session begins", LONG, || std::future::ready(pid())).await;
    let queued = dev.send("agent/build.requested", json!({"agent_name": "b"})).await;
    eventually("the other one is left to the worker", LONG, async || {
        let (_, shown) = dev.get(&format!("/runs/{queued}")).await;
        (shown["waiting_for"][0]["for"] == "callback").then_some(())
    })
    .await;
    let (began, process) = (std::time::Instant::now(), std::path::Path::new("/proc").join(&pid));
    assert!(process.exists());
    home.run(&["cancel", &queued]);
    home.run(&["cancel", &running]);
    eventually("its session has ended", LONG, || std::future::ready((!process.exists()).then_some(()))).await;
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    let withdrawn = || log(&home).matches("nobody waits for it any more").count();
    eventually("both are off the queue", LONG, || std::future::ready((withdrawn() == 2).then_some(()))).await;
    assert_eq!(lines(&home, "pids").len(), 1, "the other was never begun");
}

/// Two processes on one queue, killed again and again, the first in the end for good: every build comes to its end, no job
/// is ever done by two at once, and one is begun again only where somebody died.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_workers_that_are_killed_at_random_moments_one_does_each_job() {
    const KILLS: usize = 8;
    let (home, mut chance) = (Home::new(), Chance::new());
    let (script, did) = (home.path("harness.sh"), home.path("did"));
    let list = r#"{"agent_name": "a", "features": [{"id": 1, "description": "x", "passes": true}]}"#;
    let text = format!(
        r#"#!/bin/sh
exec 9>"{locks}-$(echo "$FIBREFLOW_TOKEN" | tr / _)"
flock -n 9 || echo "overlap $FIBREFLOW_TOKEN" >> {did}
echo "begun $FIBREFLOW_TOKEN" >> {did}
sleep 0.3
echo "ended $FIBREFLOW_TOKEN" >> {did}
case "$FIBREFLOW_JOB" in
*deploy*) echo '{{"version": "1", "health_url": "x"}}' ;;
*) echo '{list}' ;;
esac
"#,
        locks = home.path("lock").display(),
        did = did.display(),
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let tables = format!("[commands.harness]\nprogram = [\"{}\"]\n", script.display());
    let dev = dev(&home, &[("HARNESS_URL", "worker://harness")], "60").await;
    let start = |name: &str| Worker::start(&home, name, &tables, &[]);
    let mut workers = vec![("one", start("one")), ("two", start("two"))];
    let mut builds = Vec::new();
    for kill in 0..KILLS {
        let agent = format!("agent-{kill}");
        builds.push(dev.send("agent/build.requested", json!({"agent_name": agent})).await);
        chance.moment(std::time::Duration::from_millis(900)).await;
        let (name, worker) = workers.remove(0);
        worker.kill();
        // The last one is gone for good, and the other takes its jobs over.
        if kill < KILLS - 1 {
            workers.push((name, start(name)));
        }
    }
    for build in &builds {
        let run = dev.ended(build).await;
        assert_eq!(run["status"], "completed", "{run}\n{}", log(&home));
    }
    let (mut begun, mut ended) = (BTreeMap::<String, usize>::new(), BTreeMap::<String, usize>::new());
    for line in lines(&home, "did") {
        match line.split_once(' ').unwrap() {
            ("begun", job) => *begun.entry(job.to_owned()).or_default() += 1,
            ("ended", job) => *ended.entry(job.to_owned()).or_default() += 1,
            _ => panic!("two at once: {line}"),
        }
    }
    assert!(begun.len() >= 2 * KILLS && begun.keys().eq(ended.keys()), "{begun:?}\n{ended:?}");
    // A worker that died had up to four.
    let again: usize = begun.values().map(|times| times - 1).sum();
    assert!(again <= 4 * KILLS && begun.values().all(|times| *times <= KILLS + 1), "{begun:?}");
}

/// The server knows neither the address nor the secret.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_out_through_the_worker_which_alone_has_the_secret() {
    let (home, services) = (Home::new(), Services::start(60, 1).await);
    let (url, secret) = (services.setting("WHATSAPP_URL"), services.setting("WHATSAPP_SECRET"));
    let tables = format!(
        "[services.whatsapp]\nbase = \"{url}\"\nheaders = {{ x-bridge-secret = {{ env = \"BRIDGE\" }} }}\n"
    );
    // Else nothing would go out at night.
    let settings = [("WHATSAPP_URL", "worker://whatsapp"), ("WHATSAPP_QUIET_HOURS", "off")];
    let dev = dev(&home, &settings, "60").await;
    let worker = Worker::start(&home, "one", &tables, &[("BRIDGE", &secret)]);
    // The answer is lost: the run looks whether the message went out, and does not send it again.
    services.sandbox.whatsapp().break_down(Fault::LostAnswer, Some(1));
    let message = json!({"phone": "+27821234567", "message": "hello"});
    let run = dev.ended(&dev.send("whatsapp/message.queued", message).await).await;
    assert_eq!((&run["status"], &run["output"]["found_afterwards"]), (&json!("completed"), &json!(true)));
    assert_eq!(services.sandbox.whatsapp().messages().len(), 1);
    assert_eq!(worker.stop().await, Some(0));
    assert!(!run.to_string().contains(&secret) && !log(&home).contains(&secret));
}

#[test]
fn a_configuration_is_checked_before_anything_starts() {
    let home = Home::new();
    let (config, state) = (home.path("worker.toml"), home.path("state-of-it"));
    let check = ["worker", "--check", "--config", config.to_str().unwrap()];
    let write = |queue: &str, tables: &str| {
        let start = format!("name = \"w\"\nstate = \"{}\"\nqueue = {queue}\n", state.display());
        fs::write(&config, start + tables).unwrap();
    };
    let here = format!("{{ home = \"{}\" }}", home.folder().display());
    assert!(home.fails(1, &check).contains("cannot read"));
    write(&here, "");
    assert!(home.fails(1, &check).contains("commands, services: expected at least one"));
    write(&here, "[services.x]\nbase = \"http://h\"\nheaders = { key = { env = \"NO_SUCH_VARIABLE\" } }");
    assert!(
        home.fails(1, &check).contains("services.x: the secret in the variable NO_SUCH_VARIABLE is missing")
    );
    write(&here, "[services.x]\nbase = \"http://h\"");
    assert!(home.run(&check).ends_with("sound\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_approved_on_the_command_line() {
    let home = Home::new();
    let script = home.path("harness.sh");
    let list = r#"{"agent_name": "a", "features": [{"id": 1, "description": "x", "passes": true}]}"#;
    fs::write(&script, format!("#!/bin/sh\ngrep -q deploy && echo '{{\"version\": \"1\", \"health_url\": \"x\"}}' || echo '{list}'\n"))
        .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let tables = format!("[commands.harness]\nprogram = [\"{}\"]\n", script.display());
    let dev = dev(&home, &[("HARNESS_URL", "worker://harness"), ("DEPLOY_APPROVAL_HOURS", "1")], "1").await;
    let _worker = Worker::start(&home, "one", &tables, &[]);
    let run = dev.send("agent/build.requested", json!({"agent_name": "a"})).await;
    let token = format!("{run}.1.1.approve-deployment");
    eventually("it waits for a person", LONG, async || {
        let (_, shown) = dev.get(&format!("/runs/{run}")).await;
        (shown["waiting_for"][0]["step"]["name"] == "approve-deployment").then_some(())
    })
    .await;
    assert!(home.fails(2, &["answer", "nonsense", "--data", "1"]).contains("token: expected"));
    let (status, refused) = dev.post(&format!("/callbacks/{token}"), r#"{"approve": true}"#).await;
    assert_eq!((status.as_u16(), refused["field"].as_str()), (422, Some("answer")));
    home.run(&["answer", &token, "--data", r#"{"approved": true, "by": "Jan"}"#]);
    let run = dev.ended(&run).await;
    assert_eq!((&run["status"], &run["output"]["deployment"]["version"]), (&json!("completed"), &json!("1")));
    assert!(home.fails(1, &["answer", &token, "--data", "{}"]).contains("comes too late"));
    let (status, _) = dev.post(&format!("/callbacks/{token}"), r#"{"done": {}}"#).await;
    assert_eq!(status.as_u16(), 409);
}
