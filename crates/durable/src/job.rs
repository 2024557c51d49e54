//! Work that a step's body leaves to a worker: some other process, somewhere a Lambda cannot reach or for longer than one may run.
//!
//! A body that calls [`hand_over`] reads as if it did the work itself. The run is suspended until the worker's answer comes;
//! then the body runs again from its start, and each call that was answered returns its answer. The retries, the timeout,
//! the throttles and `at_most_once` are those of the step, whoever does the work.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Error, Payload, Result, after,
    callback::{Answer, Token},
    minutes,
    scope::Scope,
    seconds,
};

/// How long a worker may be silent about a job it has begun.
pub const SILENCE: Duration = minutes(3);

/// What an answer may take on its way, and a worker to end what has used up its time.
pub const GRACE: Duration = seconds(30);

/// The largest work that travels in a message, in bytes of JSON. A message of SQS holds 256 KiB, all else included.
const INLINE: usize = 128 * 1024;

/// What a body wants done.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// What is to be done, in the words that the worker understands.
    pub work: Value,
    /// The longest that it may take, once it has begun.
    pub limit: Duration,
    /// The longest that it may wait for a worker. Nobody begins it later.
    pub patience: Duration,
}

/// An order on its way to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// What the answer must come with. It names the job: one that is delivered again has the same.
    pub token: Token,
    /// The workflow that waits.
    pub workflow: String,
    /// Whether it must not be begun again once it has been.
    pub at_most_once: bool,
    /// Not to be begun later.
    pub start_by: Timestamp,
    /// To be ended by then: the step goes on without it.
    pub end_by: Timestamp,
    /// The longest that it may take, in milliseconds.
    pub limit_ms: u64,
    /// What is to be done.
    pub work: Payload,
}

impl Job {
    /// When a job that begins now must have ended.
    pub fn ends(&self, now: Timestamp) -> Timestamp {
        after(now, Duration::from_millis(self.limit_ms)).min(self.end_by)
    }
}

/// Leaves work to a worker and returns its answer. To be called by the body of a step.
///
/// The body starts again from its beginning once the answer is there, so whatever else it does must bear being done again;
/// which call has which answer is known by the order of the calls. A body does not wait for a worker and for something else
/// at the same time: the something else would be cut off.
///
/// ```
/// use durable::{Context, Result, Workflow, job, minutes};
/// use serde_json::{Value, json};
///
/// async fn resize(ctx: Context<Value>, _: ()) -> Result<String> {
///     let order = job::Order { work: json!({"resize": "cat.jpg"}), limit: minutes(1), patience: minutes(10) };
///     let small = ctx.step("resize").run(async || Ok(job::hand_over(order).await?.to_string())).await?;
///     Ok(small)
/// }
/// # let _ = Workflow::new("resize", resize);
/// ```
pub async fn hand_over(order: Order) -> Result<Value> {
    match Scope::current() {
        Some(scope) => scope.hand_over(order).await,
        None => Err(Error::fatal("only the body of a step can leave work to a worker")),
    }
}

/// By when a job is begun and ended, and how long its answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) start_by: Timestamp,
    pub(crate) end_by: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) alive_until: Timestamp,
}

/// The times of an order that is handed over now, in an attempt that has to end by `deadline`.
pub(crate) fn times(order: &Order, now: Timestamp, deadline: Option<Timestamp>) -> Times {
    let by = |time: Timestamp| deadline.map_or(time, |deadline| time.min(deadline));
    let start_by = by(after(now, order.patience));
    let end_by = by(after(start_by, order.limit));
    // Until the first sign of life nobody has it; a worker that takes it at the last moment shows one a little later.
    let (until, alive_until) = (after(end_by, GRACE), after(start_by, SILENCE));
    Times { start_by, end_by, until, alive_until: alive_until.min(until) }
}

/// Keeps what is to be done: in the job, or in the blob store where workers may read.
pub(crate) async fn keep(work: &Value, token: &Token, blobs: &dyn crate::Blobs) -> Result<Payload> {
    let key = format!("worker/jobs/{}/{}", token.run, token.step);
    Payload::keep_above(INLINE, work.to_string(), &key, blobs).await
}

/// A worker's answer with this result: in the message that brings it, or in the blob store where workers may write.
pub async fn done(json: String, token: &Token, blobs: &dyn crate::Blobs) -> Result<Answer> {
    let key = format!("worker/answers/{}/{}", token.run, token.step);
    Ok(Answer::Done(Payload::keep_above(INLINE, json, &key, blobs).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn nobody_begins_or_goes_on_when_the_step_has_stopped_waiting() {
        let order = Order { work: Value::Null, limit: minutes(30), patience: minutes(10) };
        let patient = times(&order, at(0), None);
        assert_eq!((patient.start_by, patient.end_by), (at(600), at(2400)));
        assert_eq!((patient.alive_until, patient.until), (at(780), at(2430)));
        let hurried = times(&order, at(0), Some(at(300)));
        assert_eq!((hurried.start_by, hurried.end_by), (at(300), at(300)));
        assert_eq!((hurried.alive_until, hurried.until), (at(330), at(330)));
    }
}
