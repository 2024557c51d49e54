//! The Lambda entry: batches from a workflow's queue, and direct invocations.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use aws_lambda_events::event::sqs::SqsEvent;
use durable::{
    Blobs, Clock, Delivery, Disposition, Error, Journal, Ports, Result, Run, RunId, RunSummary, Runnable,
    drive, seconds, until,
};
use futures::{
    FutureExt,
    future::{Either, select},
};
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::{Value, json};
use tracing::Instrument;
use tracing_subscriber::EnvFilter;

use crate::{Aws, Clients, Settings, SystemClock, message, metrics::Telemetry};

/// A step that starts must have this long before the work is cut off, and a suspension takes some time as well.
const MARGIN: Duration = seconds(3);

/// Work is cut off so long before Lambda would end the process, and with it every other record of the batch.
const CUT_OFF: Duration = seconds(1);

/// A lease outlasts its invocation by this: whoever takes the run over then has no rival.
const AFTERWARDS: Duration = seconds(5);

/// Runs one workflow as a Lambda function, until the process ends. `make` reads the workflow's own settings and makes its
/// services; when it fails, or ours are missing, the function does not start, and one error says all that is wrong.
///
/// ```no_run
/// # async fn workflow() -> durable::Result<durable::Runnable> { unimplemented!() }
/// # #[tokio::main]
/// # async fn main() -> durable::Result<()> {
/// durable_aws::serve(async || workflow().await).await
/// # }
/// ```
pub async fn serve(make: impl AsyncFnOnce() -> Result<Runnable>) -> Result<()> {
    log_as_json();
    let served = async {
        let function = Function::from_env(make).await?;
        let function = &function;
        let handler = service_fn(async |event: LambdaEvent<Value>| {
            let deadline = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
            let deadline = Timestamp::from_millisecond(deadline).unwrap_or(Timestamp::MAX);
            // Boxed: futures of the SDK are deep, and the compiler would have to see to the bottom in each function's main.
            let answer = Box::pin(function.invoke(event.payload, &event.context.request_id, deadline)).await;
            answer.map_err(|error| Diagnostic {
                error_type: format!("{:?}", error.kind()),
                error_message: error.to_string(),
            })
        });
        lambda_runtime::run(handler).await.map_err(|error| Error::new(format!("Lambda: {error}")))
    };
    Box::pin(served).await.inspect_err(|error: &Error| tracing::error!(%error, "cannot start"))
}

/// Where runs are kept.
#[derive(Debug)]
enum Backend {
    Aws(Arc<Aws>),
    #[cfg(feature = "local")]
    Local(crate::local::Local),
}

/// A workflow as a function: what an invocation does, apart from how it arrives.
#[derive(Debug)]
pub struct Function {
    pub(crate) runnable: Runnable,
    backend: Backend,
    telemetry: Arc<Telemetry>,
}

impl Function {
    async fn from_env(make: impl AsyncFnOnce() -> Result<Runnable>) -> Result<Self> {
        #[cfg(feature = "local")]
        if crate::local::is_wanted() {
            let runnable = make().await?;
            let local = crate::local::Local::from_env(&runnable)?;
            return Ok(Self { runnable, backend: Backend::Local(local), telemetry: Arc::default() });
        }
        // Both, before either fails: one error names all that is missing.
        match (Settings::from_env(), make().await) {
            (Ok(settings), Ok(runnable)) => {
                // A function that cannot wake its own runs would strand them.
                settings.queue(&runnable.definition().name)?;
                Ok(Self::on_aws(runnable, Aws::new(settings, Box::pin(Clients::from_env()).await)))
            }
            (Err(ours), Err(theirs)) => Err(Error::fatal(format!("{ours}; {theirs}"))),
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        }
    }

    /// A workflow whose runs are kept on AWS.
    pub fn on_aws(runnable: Runnable, aws: Arc<Aws>) -> Self {
        Self { runnable, backend: Backend::Aws(aws), telemetry: Arc::new(Telemetry::from_env()) }
    }

    /// Carries out one invocation that Lambda ends at `deadline`, and answers what Lambda is to be told: of a batch, which
    /// records failed; else where the run stands.
    pub async fn invoke(&self, payload: Value, request: &str, deadline: Timestamp) -> Result<Value> {
        let is_batch = payload.get("Records").is_some();
        match &self.backend {
            Backend::Aws(aws) if is_batch => {
                let batch: SqsEvent = serde_json::from_value(payload)
                    .map_err(|error| Error::fatal(format!("Records: {error}; expected an SQS batch")))?;
                Ok(serde_json::to_value(self.batch(aws, batch, deadline).await)?)
            }
            Backend::Aws(aws) => self.direct(aws, payload, request, deadline).await,
            #[cfg(feature = "local")]
            Backend::Local(local) => local.invoke(&self.runnable, payload, request, deadline).await,
        }
    }

    async fn direct(
        &self,
        aws: &Arc<Aws>,
        payload: Value,
        request: &str,
        deadline: Timestamp,
    ) -> Result<Value> {
        let workflow = &self.runnable.definition().name;
        let asked = message::of_invocation(payload, workflow, request, SystemClock.now())?;
        let run = asked.run(workflow);
        if let Some(delivery) = asked.settled(&aws.ports(None)).await? {
            let body = message::body_of(&delivery)?;
            match self.carry_out(aws, delivery, deadline).await? {
                Disposition::Done => {}
                Disposition::Later(at) => aws.defer(workflow, body, at, 0).await?,
            }
        }
        let run = aws.run(&run).await?.ok_or_else(|| Error::fatal(format!("there is no run {run}")))?;
        answer(&run, aws.as_ref()).await
    }

    pub(crate) fn run_of(&self, delivery: &Delivery) -> RunId {
        match delivery {
            Delivery::Start(event) => RunId::of(&self.runnable.definition().name, &event.id),
            Delivery::Resume { run, .. } => run.clone(),
        }
    }

    /// Drives a run as far as it goes before the deadline. A panic, and the end of the time, are errors of this one alone.
    pub(crate) async fn carry_out(
        &self,
        aws: &Arc<Aws>,
        delivery: Delivery,
        deadline: Timestamp,
    ) -> Result<Disposition> {
        let ports: Ports = aws.ports(Some(self.telemetry.clone()));
        let early = |margin| deadline.checked_sub(margin).unwrap_or(deadline);
        let settings = durable::Settings {
            lease: until(SystemClock.now(), deadline) + AFTERWARDS,
            // No invocation outlasts its deadline: nothing need be renewed.
            renew: false,
            ..durable::Settings::default()
        };
        let span = tracing::info_span!("run", run = %self.run_of(&delivery), workflow = %self.runnable.definition().name);
        let work = drive(&self.runnable, &ports, &settings, delivery, Some(early(MARGIN)));
        let work = AssertUnwindSafe(work).catch_unwind().instrument(span);
        match select(pin!(work), SystemClock.sleep_until(early(CUT_OFF))).await {
            Either::Left((Ok(driven), _)) => driven,
            Either::Left((Err(_), _)) => Err(Error::new("panicked outside of the workflow")),
            Either::Right(_) => Err(Error::new(
                "cut off at the function's time limit: give its longest step a timeout, or the function more time",
            )),
        }
    }
}

/// The run as it stands, for whoever invoked the function.
pub(crate) async fn answer(run: &Run, blobs: &dyn Blobs) -> Result<Value> {
    let output: Option<Value> = match &run.output {
        // A function answers up to 6 MB; what is larger than a record is fetched with the command line.
        Some(output @ durable::Payload::Json(_)) => Some(output.load(blobs).await?),
        Some(durable::Payload::Blob { key, bytes, .. }) => Some(json!({"blob": key, "bytes": bytes})),
        None => None,
    };
    let mut answer = serde_json::to_value(RunSummary::of(run))?;
    answer["output"] = output.into();
    answer["error"] = serde_json::to_value(&run.error)?;
    Ok(answer)
}

/// Logs as JSON lines, at the level that `RUST_LOG` says, else `info`.
fn log_as_json() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(true);
    // Lambda stamps each line; a test may have a subscriber of its own.
    let _ = subscriber.with_span_list(false).without_time().with_env_filter(filter).try_init();
}
