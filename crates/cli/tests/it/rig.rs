//! What every test needs: a home of its own, the program, a server that can be killed, and waiting for what must happen.

use std::{
    fs::{self, File},
    future::Future,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use durable_local::SystemClock;
use fibreflow::sandbox::{Listening, Sandbox, Scene};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

/// Nothing a test waits for takes longer, unless something is broken.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Returns what `look` finds, as soon as it finds something.
#[allow(clippy::disallowed_methods, reason = "a test of processes takes real time")]
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> F,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < within, "{what}: not within {within:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A folder of state, and the program that works on it.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Where the state is: a folder that is not there yet.
    pub(crate) fn folder(&self) -> PathBuf {
        self.0.path().join("state")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program, with nothing in its environment but where to find other programs.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fibreflow"));
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", self.0.path());
        command.env("FIBREFLOW_HOME", self.folder()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command that is expected to succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command with `--json`.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Runs a command that is expected to fail with this exit code; what it says.
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stdout), (Some(code), Vec::new()), "{arguments:?}: {said}");
        said
    }

    /// The run as `show --json` shows it.
    pub(crate) fn show(&self, run: &str) -> Value {
        self.json(&["show", run])
    }
}

/// The stand-ins, in this process: they outlive every server that is killed.
pub(crate) struct Services {
    pub(crate) sandbox: Sandbox,
    listening: Listening,
}

/// The settings of the services, but Neon's.
const SETTINGS: [&str; 12] = [
    "HARNESS_URL",
    "HARNESS_TOKEN",
    "CONVEX_URL",
    "CONVEX_DEPLOY_KEY",
    "SLACK_WEBHOOK_URL",
    "WHATSAPP_URL",
    "WHATSAPP_SECRET",
    "WHATSAPP_ACCOUNT_LIMITS",
    "WHATSAPP_QUIET_HOURS",
    "VLM_URL",
    "PHOTO_ENDPOINT",
    "PHOTO_BUCKETS",
];

impl Services {
    pub(crate) async fn start(time_scale: u32, features: u32) -> Self {
        Self::open(Scene { time_scale, features, ..Scene::new(Arc::new(SystemClock)) }).await
    }

    pub(crate) async fn open(scene: Scene) -> Self {
        let sandbox = Sandbox::open(scene).unwrap();
        let listening = sandbox.listen(0).await.unwrap();
        Self { sandbox, listening }
    }

    /// Where a service is, or what it asks for.
    pub(crate) fn setting(&self, name: &str) -> String {
        self.listening.setting(name).unwrap()
    }

    /// `fibreflow dev` on a free port, with these services.
    pub(crate) fn command(&self, home: &Home, arguments: &[&str]) -> Command {
        let mut command = home.command(&[&["dev", "--port", "0"], arguments].concat());
        command.envs(SETTINGS.map(|name| (name, self.listening.setting(name).unwrap())));
        command
    }
}

/// A running `fibreflow dev`; killed when it is dropped.
pub(crate) struct Dev {
    child: Child,
    log: PathBuf,
    pub(crate) url: String,
    client: Client,
}

impl Dev {
    /// Starts a server that works with these services, and waits until it listens.
    pub(crate) async fn start(home: &Home, services: &Services, arguments: &[&str]) -> Self {
        Self::spawn(home, services.command(home, arguments)).await
    }

    /// Starts a server and waits until it listens.
    pub(crate) async fn spawn(home: &Home, command: Command) -> Self {
        let mut dev = Self::launch(home, command);
        let (pid, notice) = (dev.child.id(), home.folder().join("server.json"));
        dev.url = eventually("the server listens", LONG, || {
            if let Some(status) = dev.child.try_wait().unwrap() {
                panic!("{status}: {}", dev.log());
            }
            // A server that was killed has left its notice.
            let notice = fs::read(&notice).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            let notice = notice.filter(|notice| notice["pid"] == pid);
            std::future::ready(notice.map(|notice| notice["url"].as_str().unwrap().to_owned()))
        })
        .await;
        dev
    }

    /// Starts a server and does not wait for anything.
    pub(crate) fn launch(home: &Home, mut command: Command) -> Self {
        let log = home.path("dev.log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        // The client wants one though it speaks plain HTTP; another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { child, log, url: String::new(), client }
    }

    /// What it has printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(reqwest::Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
        answer(self.request(reqwest::Method::POST, path).body(body)).await
    }

    /// Sends an event that starts one run; the run's id.
    pub(crate) async fn send(&self, name: &str, data: Value) -> String {
        let event = json!({ "name": name, "data": data });
        let (status, accepted) = self.post("/events", event.to_string()).await;
        assert_eq!((status, accepted["runs"].as_array().map(Vec::len)), (StatusCode::ACCEPTED, Some(1)));
        accepted["runs"][0].as_str().unwrap().to_owned()
    }

    /// The run, once it has ended.
    pub(crate) async fn ended(&self, run: &str) -> Value {
        let path = format!("/runs/{run}");
        eventually(&format!("run {run} ends"), LONG, async || {
            Some(self.get(&path).await.1).filter(|run| !run["ended_at"].is_null())
        })
        .await
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
        eventually("the server stops", LONG, || std::future::ready(self.child.try_wait().unwrap())).await
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: no JSON: {text}")))
}

/// Chance that can be repeated: what it starts from is printed.
pub(crate) struct Chance(StdRng);

impl Chance {
    #[allow(clippy::disallowed_methods, reason = "how a failing test is repeated")]
    pub(crate) fn new() -> Self {
        let given = std::env::var("FIBREFLOW_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(rand::random);
        println!("to repeat: FIBREFLOW_TEST_SEED={seed}");
        Self(StdRng::seed_from_u64(seed))
    }

    /// Lets a random time pass, of at most so much.
    #[allow(clippy::disallowed_methods, reason = "a random moment is what the test is about")]
    pub(crate) async fn moment(&mut self, most: Duration) {
        tokio::time::sleep(most.mul_f64(self.0.random())).await;
    }
}
