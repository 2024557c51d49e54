//! Starts a stand-in for AWS on a free port of this machine, makes what the template makes, and stops it at the end.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{
    config::{Credentials, Region},
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
        LocalSecondaryIndex, Projection, ProjectionType, ScalarAttributeType, TimeToLiveSpecification,
    },
};
use durable_aws::{Aws, Clients, Queue, Settings, loader};

use crate::wire::Wire;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    MiniStack,
    Moto,
}

/// moto's own server has a thread a request and no locks: of 64 claimants of one new item, two won in one of 40 rounds. So
/// it serves one request at a time here, and what real parallelism does is seen on MiniStack.
const ONE_AT_A_TIME: &str = "
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple('127.0.0.1', int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
";

/// A running server; it stops when this is dropped.
#[derive(Debug)]
pub(crate) struct StandIn {
    child: Child,
    home: tempfile::TempDir,
    address: SocketAddr,
    pub(crate) wire: Wire,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/aws/bin")
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl StandIn {
    pub(crate) async fn start(kind: Kind) -> Self {
        let (address, home) = (free_address(), tempfile::tempdir().unwrap());
        let port = address.port().to_string();
        let mut command = match kind {
            Kind::MiniStack => {
                let mut command = Command::new(tools().join("ministack"));
                command.env("GATEWAY_PORT", &port).env("BIND_HOST", "127.0.0.1");
                command.env("AWS_ENDPOINT_URL", format!("http://{address}"));
                command
            }
            Kind::Moto => {
                let mut command = Command::new(tools().join("python"));
                command.args(["-c", ONE_AT_A_TIME, &port]);
                command
            }
        };
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        let child = command
            .current_dir(home.path())
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {kind:?} ({error}): run scripts/aws-tools first"));
        let mut stand_in = Self { child, home, address, wire: Wire::default() };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = stand_in.child.try_wait().unwrap();
            assert!(ended.is_none(), "{kind:?} ended at once: {}", stand_in.log());
            assert!(began.elapsed() < Duration::from_mins(1), "{kind:?} does not listen: {}", stand_in.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stand_in
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// New clients, as another process would have them.
    pub(crate) async fn clients(&self) -> Clients {
        let config = loader()
            .endpoint_url(format!("http://{}", self.address))
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(self.wire.client())
            .load()
            .await;
        Clients::of(&config)
    }

    /// A table, a bucket, a bus, a group of schedules, and a queue for each workflow.
    pub(crate) async fn set_up(&self, name: &str, workflows: &[&str]) -> Settings {
        let clients = self.clients().await;
        create_table(&clients, name).await;
        clients.s3().create_bucket().bucket(name).send().await.unwrap();
        clients.eventbridge().create_event_bus().name(name).send().await.unwrap();
        clients.scheduler().create_schedule_group().name(name).send().await.unwrap();
        let mut settings = Settings {
            table: name.into(),
            bucket: name.into(),
            bus: name.into(),
            queues: std::collections::BTreeMap::new(),
            jobs: None,
            schedule_group: name.into(),
            schedule_role_arn: "arn:aws:iam::000000000000:role/scheduler".into(),
            retention: durable::hours(24),
            receives: 3,
            longest_delay: durable::minutes(15),
        };
        for workflow in workflows {
            let queue = clients.sqs().create_queue().queue_name(format!("{name}-{workflow}"));
            let url = queue.send().await.unwrap().queue_url.unwrap();
            let arn = format!("arn:aws:sqs:us-east-1:{}:{name}-{workflow}", account(&url));
            settings.queues.insert((*workflow).into(), Queue { url, arn, dead_letters: None });
        }
        settings
    }

    /// The ports, as another process would have them.
    pub(crate) async fn aws(&self, settings: &Settings) -> Arc<Aws> {
        Aws::new(settings.clone(), self.clients().await)
    }
}

fn account(url: &str) -> &str {
    url.rsplit('/').nth(1).unwrap()
}

async fn create_table(clients: &Clients, name: &str) {
    let attribute = |name: &str, kind| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
    };
    let keys = |hash: &str, range: &str| {
        [(hash, KeyType::Hash), (range, KeyType::Range)].map(|(name, kind)| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
        })
    };
    let global = |name: &str, hash: &str, range: &str, include: &[&str]| {
        let projection = Projection::builder()
            .projection_type(ProjectionType::Include)
            .set_non_key_attributes(Some(include.iter().map(ToString::to_string).collect()))
            .build();
        let index = GlobalSecondaryIndex::builder().index_name(name).projection(projection);
        index.set_key_schema(Some(keys(hash, range).to_vec())).build().unwrap()
    };
    let arrival = LocalSecondaryIndex::builder()
        .index_name("arrival")
        .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
        .set_key_schema(Some(keys("pk", "ticket").to_vec()))
        .build()
        .unwrap();
    let db = clients.dynamodb();
    db.create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(keys("pk", "sk").to_vec()))
        .set_attribute_definitions(Some(vec![
            attribute("pk", ScalarAttributeType::S),
            attribute("sk", ScalarAttributeType::S),
            attribute("list_shard", ScalarAttributeType::S),
            attribute("list_at", ScalarAttributeType::S),
            attribute("due_shard", ScalarAttributeType::S),
            attribute("due_at", ScalarAttributeType::N),
            attribute("ticket", ScalarAttributeType::N),
        ]))
        .global_secondary_indexes(global("listed", "list_shard", "list_at", &["status"]))
        .global_secondary_indexes(global("due", "due_shard", "due_at", &["workflow", "status"]))
        .local_secondary_indexes(arrival)
        .send()
        .await
        .unwrap();
    let ttl = TimeToLiveSpecification::builder().enabled(true).attribute_name("expires_at").build().unwrap();
    db.update_time_to_live().table_name(name).time_to_live_specification(ttl).send().await.unwrap();
}
