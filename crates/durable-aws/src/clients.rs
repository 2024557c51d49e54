//! The connection to AWS: one HTTP client, one set of retries and timeouts, a client a service, made when first used.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use durable::seconds;

/// How the SDK behaves is a choice made here, not on the day of an update.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// A request takes milliseconds. One that takes seconds is repeated rather than waited for; after three attempts the
/// message that caused it comes again, which is the better place to wait.
const ATTEMPTS: u32 = 3;
const CONNECT: Duration = seconds(2);
const READ: Duration = seconds(5);
const ATTEMPT: Duration = seconds(8);
const OPERATION: Duration = seconds(20);

/// Clients of all services, made when first used: a function that never touches S3 does not pay for it at its start.
#[derive(Debug, Clone)]
pub struct Clients {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: SdkConfig,
    path_style: bool,
    dynamodb: OnceLock<aws_sdk_dynamodb::Client>,
    sqs: OnceLock<aws_sdk_sqs::Client>,
    eventbridge: OnceLock<aws_sdk_eventbridge::Client>,
    scheduler: OnceLock<aws_sdk_scheduler::Client>,
    s3: OnceLock<aws_sdk_s3::Client>,
    #[cfg(feature = "console")]
    cloudwatch: OnceLock<aws_sdk_cloudwatch::Client>,
}

impl Clients {
    /// Credentials, region and endpoints from the standard variables and files.
    pub async fn from_env() -> Self {
        Self::of(&loader().load().await)
    }

    /// Clients with a configuration of the caller's, which sets retries and timeouts as well; see [`loader`].
    pub fn of(config: &SdkConfig) -> Self {
        let inner = Inner {
            // Stand-ins have no host names a bucket.
            path_style: config.endpoint_url().is_some(),
            config: config.clone(),
            dynamodb: OnceLock::new(),
            sqs: OnceLock::new(),
            eventbridge: OnceLock::new(),
            scheduler: OnceLock::new(),
            s3: OnceLock::new(),
            #[cfg(feature = "console")]
            cloudwatch: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// DynamoDB.
    pub fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        self.inner.dynamodb.get_or_init(|| aws_sdk_dynamodb::Client::new(&self.inner.config))
    }

    /// SQS.
    pub fn sqs(&self) -> &aws_sdk_sqs::Client {
        self.inner.sqs.get_or_init(|| aws_sdk_sqs::Client::new(&self.inner.config))
    }

    /// EventBridge.
    pub fn eventbridge(&self) -> &aws_sdk_eventbridge::Client {
        self.inner.eventbridge.get_or_init(|| aws_sdk_eventbridge::Client::new(&self.inner.config))
    }

    /// EventBridge Scheduler.
    pub fn scheduler(&self) -> &aws_sdk_scheduler::Client {
        self.inner.scheduler.get_or_init(|| aws_sdk_scheduler::Client::new(&self.inner.config))
    }

    /// CloudWatch.
    #[cfg(feature = "console")]
    pub fn cloudwatch(&self) -> &aws_sdk_cloudwatch::Client {
        self.inner.cloudwatch.get_or_init(|| aws_sdk_cloudwatch::Client::new(&self.inner.config))
    }

    /// S3.
    pub fn s3(&self) -> &aws_sdk_s3::Client {
        self.inner.s3.get_or_init(|| {
            let config = aws_sdk_s3::config::Builder::from(&self.inner.config);
            aws_sdk_s3::Client::from_conf(config.force_path_style(self.inner.path_style).build())
        })
    }
}

/// A configuration with this crate's HTTP client, retries and timeouts, to be loaded from the environment.
pub fn loader() -> aws_config::ConfigLoader {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(READ)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build();
    aws_config::defaults(behavior())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts)
}
