//! Commands.

use std::{fs, time::Duration, time::Instant};

use durable::{ErrorKind, seconds};
use serde_json::json;

use crate::rig::{Rig, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_given_the_job_and_answers_in_json() {
    let rig = Rig::new();
    let config = rig.command(r#"printf '[%s,%s,"%s"]' "$(cat)" "$FIBREFLOW_JOB" "$1""#, "");
    // A job's text is never part of a command line.
    let job = rig.asking(json!({"agent_name": "$(touch /tmp/x); `rm -rf`"}));
    let answer = rig.done(&config, &job).await.unwrap();
    let input = json!({"agent_name": "$(touch /tmp/x); `rm -rf`"});
    assert_eq!(answer, json!([input, input, "an argument"]));
    assert!(rig.store.oldest_job().await.unwrap().is_none());
    assert_eq!(fs::read_dir(rig.path("state-one/jobs")).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_is_not_given_it_cannot_read() {
    let rig = Rig::new();
    let config = rig.command("env | cut -d= -f1 | sort | tr '\\n' ' ' | sed 's/.*/\"&\"/'", "");
    let names = rig.done(&config, &rig.asking(json!(1))).await.unwrap();
    let expected =
        ["FIBREFLOW_JOB", "FIBREFLOW_JOB_ID", "FIBREFLOW_KEY", "FIBREFLOW_RESULT", "FIBREFLOW_TOKEN"];
    let names: Vec<_> = names.as_str().unwrap().split_whitespace().collect();
    let usual = ["HOME", "LANG", "PATH", "PWD", "SHLVL", "TZ", "_", "OLDPWD"];
    assert!(names.iter().all(|name| expected.contains(name) || usual.contains(name)), "{names:?}");
    assert!(expected.iter().all(|name| names.contains(name)), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_talks_answers_in_a_file() {
    let rig = Rig::new();
    let config = rig.command(r#"echo chatter; echo '{"a": 1}' > "$FIBREFLOW_RESULT""#, "");
    assert_eq!(rig.done(&config, &rig.asking(json!(1))).await.unwrap(), json!({"a": 1}));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_come_back_whole() {
    let rig = Rig::new();
    let config = rig.command(r#"head -c 10000000 /dev/zero | tr '\0' x | sed 's/.*/"&"/'"#, "");
    let answer = rig.done(&config, &rig.asking(json!(1))).await.unwrap();
    assert_eq!(answer.as_str().unwrap().len(), 10_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_says_why_and_what_trying_again_would_do() {
    for (script, kind, says) in [
        (
            "echo 'thinking' >&2; echo 'API error 429' >&2; exit 1",
            ErrorKind::Retryable,
            "exit code 1: API error 429",
        ),
        (r#"echo '{"error": "no spec", "retry": false}'; exit 2"#, ErrorKind::Fatal, "no spec"),
        (r#"echo '{"error": "busy", "retry_after": 90}'; exit 2"#, ErrorKind::NoEffect, "busy"),
        ("echo 'All done!'", ErrorKind::Retryable, "the result is not JSON: "),
        ("kill -9 $$", ErrorKind::Retryable, "exit code 137"),
        ("kill -9 $PPID; sleep 60", ErrorKind::Retryable, "the command was killed"),
    ] {
        let rig = Rig::new();
        let error = rig.done(&rig.command(script, ""), &rig.asking(json!(1))).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{script}: {error}");
        assert!(error.message().starts_with(says), "{script}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_configuration_names_is_run() {
    let rig = Rig::new();
    let config = rig.command("echo 1", "");
    let work =
        serde_json::from_value(json!({"command": {"name": "/bin/sh", "input": "-c 'echo 1'"}})).unwrap();
    let error = rig.done(&config, &rig.job(&work)).await.unwrap_err();
    assert_eq!(error.message(), "command: this worker runs work, not /bin/sh");
    assert_eq!(error.kind(), ErrorKind::Fatal);

    let gone = rig.config("[commands.work]\nprogram = [\"/no/such/program\"]");
    let error = rig.done(&gone, &rig.asking(json!(1))).await.unwrap_err();
    assert!(error.message().starts_with("exit code 127: "), "{error}");
}

/// It hangs, ignores SIGTERM, and has children, one of which has left the process group.
#[tokio::test(flavor = "multi_thread")]
async fn at_its_time_limit_a_command_ends_with_all_its_descendants() {
    let rig = Rig::new();
    let script = r#"trap '' TERM
(while true; do echo x >> "$PWD/child"; sleep 0.05; done) &
setsid sh -c 'while true; do echo x >> "$PWD/stray"; sleep 0.05; done' &
while true; do sleep 0.05; done"#;
    let folder = rig.path("").display().to_string();
    let more = format!("folder = \"{folder}\"\nlimit = \"1s\"\ngrace = \"500ms\"");
    let (config, began) = (rig.command(script, &more), Instant::now());
    let error = rig.done(&config, &rig.asking(json!(1))).await.unwrap_err();
    assert_eq!(error.message(), "the command did not end within 1s");
    assert!(error.is_retryable() && began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let seen = || [rig.read("child"), rig.read("stray")];
    let before = seen();
    assert!(before.iter().all(|seen| !seen.is_empty()), "both were at work");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(before, seen(), "and are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_leaves_in_the_background_ends_with_it() {
    let rig = Rig::new();
    let folder = rig.path("").display().to_string();
    let script = r#"(while true; do echo x >> "$PWD/child"; sleep 0.05; done) & sleep 0.3; echo 1"#;
    let config = rig.command(script, &format!("folder = \"{folder}\""));
    rig.done(&config, &rig.asking(json!(1))).await.unwrap();
    let before = rig.read("child");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!before.is_empty());
    assert_eq!(before, rig.read("child"));
}

/// The job's own limit counts as well as the configuration's.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_on_when_its_step_has_stopped_waiting() {
    let rig = Rig::new();
    let config = rig.command("sleep 60", "");
    let mut job = rig.asking(json!(1));
    job.limit_ms = 500;
    let error = rig.done(&config, &job).await.unwrap_err();
    assert_eq!(error.message(), "the command did not end within 500ms");

    let mut late = rig.asking(json!(2));
    late.start_by = durable_local::SystemClock.now_before(seconds(1));
    let error = rig.done(&config, &late).await.unwrap_err();
    assert_eq!((error.message(), error.kind()), ("no worker began it in time", ErrorKind::NoEffect));
}

trait Before {
    fn now_before(&self, time: Duration) -> jiff::Timestamp;
}

impl Before for durable_local::SystemClock {
    fn now_before(&self, time: Duration) -> jiff::Timestamp {
        use durable::Clock;
        self.now().checked_sub(time).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_the_command_and_nobody_else() {
    let rig = Rig::new();
    fs::write(rig.path("key"), "sk-very-secret\n").unwrap();
    let secret = format!("[commands.work.secrets]\nAPI_KEY = {{ file = \"{}\" }}", rig.path("key").display());
    let config = rig.command(r#"echo "{\"got\": \"$API_KEY\", \"length\": ${#API_KEY}}""#, &secret);
    let answer = rig.done(&config, &rig.asking(json!(1))).await.unwrap();
    assert_eq!(answer, json!({"got": "[secret]", "length": 14}));
    let fails = rig.command(r#"echo "401 for $API_KEY" >&2; exit 1"#, &secret);
    let error = rig.done(&fails, &rig.asking(json!(1))).await.unwrap_err();
    assert_eq!(error.message(), "exit code 1: 401 for [secret]");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_one_key_the_result_of_what_ran_is_the_answer() {
    let rig = Rig::new();
    let count = rig.path("count").display().to_string();
    let config = rig.command(&format!("sleep 0.3; echo x >> {count}; wc -l < {count}"), "");
    let keyed = || {
        let work = json!({"command": {"name": "work", "input": 1, "key": "build-1/coding/3"}});
        rig.job(&serde_json::from_value(work).unwrap())
    };
    let (first, second, other) = (keyed(), keyed(), rig.asking(json!(1)));
    rig.post(&first).await;
    rig.post(&second).await;
    let running = rig.start(&config);
    assert_eq!(rig.answer(&first).await.unwrap(), json!(1));
    assert_eq!(rig.answer(&second).await.unwrap(), json!(1), "attached");
    rig.post(&other).await;
    assert_eq!(rig.answer(&other).await.unwrap(), json!(2));
    running.stop().await;
    let again = keyed();
    assert_eq!(rig.done(&config, &again).await.unwrap(), json!(1), "even after a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_jobs_that_agree_in_a_field_one_runs_at_a_time() {
    let rig = Rig::new();
    let lock = rig.path("lock").display().to_string();
    let script = format!(
        r#"agent=$(sed 's/.*"agent":"\([a-z]*\)".*/\1/'); mkdir "{lock}-$agent" || exit 1; sleep 0.3; rmdir "{lock}-$agent"; echo 1"#
    );
    let config = rig.command(&script, "one_at_a_time_by = \"agent\"");
    let jobs: Vec<_> = ["a", "a", "b", "a"].map(|agent| rig.asking(json!({"agent": agent}))).into();
    for job in &jobs {
        rig.post(job).await;
    }
    let running = rig.start(&config);
    for job in &jobs {
        rig.answer(job).await.unwrap();
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_a_worker_lets_what_is_quick_end_and_gives_back_the_rest() {
    let rig = Rig::new();
    let (began, count) = (rig.path("began"), rig.path("count").display().to_string());
    let script =
        format!(r#"n=$(cat); echo "$n" >> {count}; touch {}; sleep "$n"; echo "$n""#, began.display());
    let config = rig.command(&script, "grace = \"200ms\"");
    let (quick, slow) = (rig.asking(json!(0.5)), rig.asking(json!(60)));
    rig.post(&quick).await;
    rig.post(&slow).await;
    let running = rig.start(&config);
    eventually("both have begun", async || (rig.read("count").lines().count() == 2).then_some(())).await;
    running.stop().await;
    assert_eq!(rig.answer(&quick).await.unwrap(), json!(0.5));
    assert!(rig.store.oldest_job().await.unwrap().is_some(), "the other is on the queue again, at once");
    // Another worker takes it.
    let other =
        rig.named("two", &format!("[commands.work]\nprogram = [\"{}\"]", rig.program("two", "echo 2")));
    let running = rig.start(&other);
    assert_eq!(rig.answer(&slow).await.unwrap(), json!(2));
    running.stop().await;

    // What must not be done twice is not given back: nobody knows how far it came.
    let mut once = rig.asking(json!(61));
    once.at_most_once = true;
    rig.post(&once).await;
    let running = rig.start(&config);
    eventually("it has begun", async || rig.read("count").contains("61").then_some(())).await;
    running.stop().await;
    assert!(rig.answer(&once).await.unwrap_err().is_outcome_unknown());
}
