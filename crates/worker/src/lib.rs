//! Does what workflows leave to a worker (see [`durable::job`]), inside a private network: it runs commands and makes
//! requests that its configuration names, and reports back. It listens on no port.
//!
//! - [`Config`]: `worker.toml`. [`Worker`]: takes jobs and sees each through.
//! - [`claim`], `allow`, `outcome`: the decisions, as plain functions.
//! - `command`, `room`, `process`: commands, which go on while the worker is restarted. `request`: requests.
//! - [`Queue`]: where jobs come from. [`LocalQueue`]: the file of a `fibreflow dev`. `SqsQueue`: SQS and S3.

pub mod allow;
mod command;
pub mod config;
mod local;
mod locks;
mod outcome;
mod process;
pub mod queue;
mod request;
mod room;
pub mod secret;
#[cfg(feature = "aws")]
mod sqs;
mod stop;
mod task;
mod worker;

pub use config::Config;
pub use durable::claim;
pub use local::LocalQueue;
pub use queue::Queue;
#[cfg(feature = "aws")]
pub use sqs::SqsQueue;
pub use worker::Worker;
