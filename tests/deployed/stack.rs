//! The template, deployed on MiniStack, and FibreFlow's services around it.

use std::{
    collections::HashMap,
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use durable::Clock;
use durable_local::SystemClock;
use fibreflow::sandbox::{Listening, Sandbox, Scene, postgres::PostgresSandbox};
use serde_json::{Value, json};
use system_tests::file;

/// The bucket of the orchestrator's registry.
pub(crate) const REGISTRIES: &str = "fibreflow-test-registries";

/// How long anything here may take.
const LONG: Duration = Duration::from_mins(4);

/// With which other systems may send events.
pub(crate) const EVENT_KEY: &str = "an-event-key-for-the-deployed-test";

/// A deployed stack. The stand-in ends when this is dropped; the database when it is told to.
pub(crate) struct Stack {
    pub(crate) sandbox: Sandbox,
    pub(crate) neon: PostgresSandbox,
    pub(crate) resources: HashMap<String, String>,
    environment: HashMap<String, String>,
    services: Listening,
    worker: Process,
    /// Where the worker finds SQS, and each message twice.
    sqs: String,
    _twice: Process,
    aws: LocalAws,
    home: tempfile::TempDir,
}

/// A program that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts what sends every message to SQS twice; answers where it is. It notes each in the file `twice`.
fn send_twice(home: &Path, aws: &LocalAws) -> (Process, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut twice = Command::new(tool("aws/bin/python"));
    twice.arg(file("tests/deployed/twice.py")).arg(port.to_string());
    twice.arg(format!("http://{}", aws.address)).arg(home.join("twice"));
    (Process(twice.spawn().unwrap()), format!("http://127.0.0.1:{port}"))
}

/// The worker's configuration: it alone knows where the model and WhatsApp are, and how a session is begun.
fn configure_worker(home: &Path, deployed: &Value, setting: impl Fn(&str) -> String) {
    let resources = &deployed["resources"];
    let workflows = ["build-agent", "send-whatsapp", "watch-whatsapp", "evaluate-foto"];
    let queues = ["BuildAgentQueue", "SendWhatsappQueue", "WatchWhatsappQueue", "EvaluateFotoQueue"];
    let replies = workflows.iter().zip(queues).map(|(name, queue)| format!("{name} = {}", resources[queue]));
    let text = format!(
        "name = \"deployed\"\nstate = \"{state}\"\nlease = \"5s\"\n\
         [queue]\njobs = {jobs}\nbucket = {bucket}\nreplies = {{ {replies} }}\n\
         [commands.harness]\nprogram = [\"{harness}\"]\npass = [\"HARNESS_ROOT\"]\none_at_a_time_by = \"agent_name\"\n\
         [services.vlm]\nbase = \"{vlm}\"\npaths = [\"/health\", \"/v1\"]\n\
         [services.whatsapp]\nbase = \"{whatsapp}\"\nheaders = {{ x-bridge-secret = {{ env = \"BRIDGE\" }} }}\n",
        state = home.join("worker").display(),
        jobs = resources["JobsQueue"],
        bucket = deployed["environment"]["DURABLE_BUCKET"],
        replies = replies.collect::<Vec<_>>().join(", "),
        harness = std::fs::canonicalize(file("crates/cli/tests/it/harness.sh")).unwrap().display(),
        vlm = setting("VLM_URL"),
        whatsapp = setting("WHATSAPP_URL"),
    );
    std::fs::write(home.join("worker.toml"), text).unwrap();
    std::fs::copy(file("tests/deployed/scenario.sh"), home.join("scenario")).unwrap();
}

/// Starts the worker that is configured there.
fn start_worker(home: &Path, secret: &str, aws: &LocalAws, sqs: &str) -> Process {
    let log = std::fs::File::options().create(true).append(true).open(home.join("worker.log")).unwrap();
    let mut worker = Command::new(binaries().join("fibreflow"));
    worker.arg("worker").arg("--config").arg(home.join("worker.toml")).envs(credentials(aws.address));
    worker.env("AWS_ENDPOINT_URL_SQS", sqs).env("HARNESS_ROOT", home).env("BRIDGE", secret);
    worker.stdout(log.try_clone().unwrap()).stderr(log);
    Process(worker.spawn().unwrap())
}

struct LocalAws {
    _process: Process,
    address: SocketAddr,
}

fn tool(name: &str) -> PathBuf {
    let path = file(".tools").join(name);
    assert!(
        path.exists(),
        "{} is missing: run scripts/aws-tools and scripts/sam-tools first",
        path.display()
    );
    path
}

/// The folder of the programs that cargo built with this test.
fn binaries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned()
}

impl LocalAws {
    async fn start(home: &Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = std::fs::File::create(home.join("ministack.log")).unwrap();
        let process = Command::new(tool("aws/bin/ministack"))
            .envs(credentials(address))
            .env("GATEWAY_PORT", address.port().to_string())
            .env("BIND_HOST", "127.0.0.1")
            .current_dir(home)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let aws = Self { _process: Process(process), address };
        eventually("MiniStack answers", async || TcpStream::connect(address).is_ok().then_some(())).await;
        aws
    }
}

fn credentials(address: SocketAddr) -> [(&'static str, String); 5] {
    [
        ("AWS_ENDPOINT_URL", format!("http://{address}")),
        ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
    ]
}

impl Stack {
    /// Deploys the template. Sessions and judgements take a thousandth of their time; an agent has two features.
    pub(crate) async fn deploy() -> Self {
        let home = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let scene = Scene { time_scale: 1_000, features: 2, ..Scene::new(clock) };
        let sandbox = Sandbox::open(scene).unwrap();
        let services = sandbox.listen(0).await.unwrap();
        let neon = PostgresSandbox::start(&home.path().join("neon")).await.unwrap();
        let aws = LocalAws::start(home.path()).await;
        let (twice, sqs) = send_twice(home.path(), &aws);

        let setting = |name: &str| services.setting(name).unwrap();
        let order = json!({
            "sqs": sqs,
            "parameters": {
                "BusName": "fibreflow-test",
                "Architecture": "x86_64",
                "DeletionProtection": "false",
                "SecretName": "fibreflow-test/settings",
                "HarnessUrl": "worker://harness",
                "ConvexUrl": setting("CONVEX_URL"),
                "WhatsAppUrl": "worker://whatsapp",
                // Else it would send two messages a minute, and none at night.
                "WhatsAppAccountLimits": "off",
                "WhatsAppQuietHours": "off",
                "VlmUrl": "worker://vlm",
                "FotoReviewHours": "1",
                "PhotoEndpoint": setting("PHOTO_ENDPOINT"),
                "PhotoBuckets": setting("PHOTO_BUCKETS"),
                "RegistryBucket": REGISTRIES,
                "ConsoleForPeople": "true",
                "ConsoleRoleOperators": "user/ana",
            },
            "secrets": {
                "NEON_DATABASE_URL": neon.url(),
                "CONVEX_DEPLOY_KEY": setting("CONVEX_DEPLOY_KEY"),
                // Only the worker has it.
                "WHATSAPP_SECRET": "unknown to the functions",
                "SLACK_WEBHOOK_URL": setting("SLACK_WEBHOOK_URL"),
                "HARNESS_TOKEN": "",
                "CONSOLE_SESSION_KEY": "0123456789abcdef0123456789abcdef",
                "CONSOLE_OIDC_CLIENT_SECRET": "",
                "CONSOLE_EVENT_KEYS": EVENT_KEY,
            },
        });
        let deployed = Command::new(tool("aws/bin/python"))
            .arg(file("tests/deployed/deploy.py"))
            .args([std::fs::canonicalize(file(".")).unwrap(), binaries(), home.path().to_owned()])
            .arg(order.to_string())
            .envs(credentials(aws.address))
            .env("HOME", home.path())
            .output()
            .unwrap();
        assert!(deployed.status.success(), "{}", String::from_utf8_lossy(&deployed.stderr));
        let deployed: Value = serde_json::from_slice(&deployed.stdout).unwrap();
        configure_worker(home.path(), &deployed, setting);
        let worker = start_worker(home.path(), &setting("WHATSAPP_SECRET"), &aws, &sqs);
        let map = |name: &str| serde_json::from_value(deployed[name].clone()).unwrap();
        let (environment, resources) = (map("environment"), map("resources"));
        Self { sandbox, neon, resources, environment, services, worker, sqs, _twice: twice, aws, home }
    }

    /// Kills the worker, and starts it again.
    pub(crate) fn restart_worker(&mut self) {
        self.worker.0.kill().unwrap();
        self.worker.0.wait().unwrap();
        let secret = self.services.setting("WHATSAPP_SECRET").unwrap();
        self.worker = start_worker(self.home.path(), &secret, &self.aws, &self.sqs);
    }

    /// The sessions that the harness was asked for, in order.
    pub(crate) fn sessions(&self) -> Vec<String> {
        let sessions = std::fs::read_to_string(self.home.path().join("sessions")).unwrap_or_default();
        sessions.lines().map(|line| line.trim().to_owned()).collect()
    }

    /// What was committed to an agent's repository, the newest first.
    pub(crate) fn commits(&self, agent: &str) -> Vec<String> {
        let mut git = Command::new("git");
        git.arg("-C").arg(self.home.path().join(agent)).args(["log", "--format=%s"]);
        let log = git.output().unwrap();
        String::from_utf8(log.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// What kinds of messages SQS was sent twice.
    pub(crate) fn sent_twice(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.home.path().join("twice")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// What the `fibreflow` command answers about the stack.
    pub(crate) fn command(&self, arguments: &[&str]) -> Value {
        let answered = Command::new(binaries().join("fibreflow"))
            .arg("--aws")
            .args(arguments)
            .arg("--json")
            .envs(&self.environment)
            .envs(credentials(self.aws.address))
            .current_dir(self.home.path())
            .output()
            .unwrap();
        let problem = String::from_utf8_lossy(&answered.stderr);
        assert!(answered.status.success(), "fibreflow {arguments:?}: {problem}");
        serde_json::from_slice(&answered.stdout).unwrap()
    }

    /// Sends an event; answers the runs it starts.
    pub(crate) fn send(&self, name: &str, id: &str, data: &Value) -> Vec<String> {
        let sent = self.command(&["send", name, "--id", id, "--data", &data.to_string()]);
        serde_json::from_value(sent["runs"].clone()).unwrap()
    }

    /// A call on the local AWS; see `calls.py`.
    pub(crate) fn call(&self, order: &Value) -> Value {
        let mut calls = Command::new(tool("aws/bin/python"))
            .arg(file("tests/deployed/calls.py"))
            .envs(credentials(self.aws.address))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        calls.stdin.take().unwrap().write_all(order.to_string().as_bytes()).unwrap();
        let answered = calls.wait_with_output().unwrap();
        assert!(answered.status.success(), "{order}");
        serde_json::from_slice(&answered.stdout).unwrap()
    }

    /// The run, once it has ended.
    pub(crate) async fn ended(&self, run: &str) -> Value {
        eventually(&format!("run {run} ends"), async || {
            self.shown(run).filter(|shown| !shown["ended_at"].is_null())
        })
        .await
    }

    /// The run as it is now, if there is one already.
    pub(crate) fn shown(&self, run: &str) -> Option<Value> {
        let listed = self.command(&["runs", "--limit", "0"]);
        let is_there = listed.as_array().unwrap().iter().any(|listed| listed["run_id"] == run);
        is_there.then(|| self.command(&["show", run]))
    }

    /// The process that runs an invocation of a function now, if one does.
    pub(crate) fn process_of(&self, function: &str) -> Option<u32> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|process: &u32| {
            let command = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            let variables = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
            let variables = String::from_utf8_lossy(&variables);
            String::from_utf8_lossy(&command).contains("bootstrap")
                && variables.contains(&format!("AWS_LAMBDA_FUNCTION_NAME={function}"))
                && variables.contains(&self.aws.address.to_string())
        })
    }
}

/// Asks again and again, until there is an answer.
#[allow(clippy::disallowed_methods, reason = "a test of processes takes real time")]
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let began = std::time::Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < LONG, "{what}: not within {LONG:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
