//! Messages to ourselves: SQS with a delay up to 15 minutes, a one-time schedule beyond.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_scheduler::{
    operation::create_schedule::CreateScheduleError,
    types::{ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, Target},
};
use aws_sdk_sqs::types::MessageAttributeValue;
use durable::{Error, Result, RunId, Wakeups, after, minutes, seconds, until};
use jiff::{Timestamp, Unit};

use crate::{Aws, failure::failed, message::Own};

/// The longest delay SQS knows.
const LONGEST_DELAY: Duration = minutes(15);

/// The attribute that counts how often a message was put off.
pub(crate) const DEFERRALS: &str = "deferrals";

#[async_trait]
impl Wakeups for Aws {
    async fn wake(&self, workflow: &str, run: &RunId, at: Timestamp) -> Result<()> {
        let now = self.clock.now();
        match delay(now, at) {
            Some(delay) => self.send(workflow, Own::wake(run)?, delay, 0).await,
            None => self.schedule(workflow, run, at).await,
        }
    }
}

/// Whole seconds, never less than asked for: a message that comes early is one too many. `None` when SQS cannot.
fn delay(now: Timestamp, at: Timestamp) -> Option<i32> {
    let delay = until(now, at);
    let whole = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
    i32::try_from(whole).ok().filter(|_| delay <= LONGEST_DELAY)
}

/// How long a message that was put off so often waits at least: whoever holds the run may be at work for minutes, and
/// asking each second would cost an invocation each second.
fn patience(deferrals: u32) -> Duration {
    if deferrals == 0 { Duration::ZERO } else { seconds(1 << deferrals.min(8)) }
}

impl Aws {
    /// Delivers a message again later, as a new one: it has not failed, and must not come nearer to the dead letters.
    pub(crate) async fn defer(
        &self,
        workflow: &str,
        body: String,
        at: Timestamp,
        deferrals: u32,
    ) -> Result<()> {
        let now = self.clock.now();
        let at = at.max(after(now, patience(deferrals))).min(after(now, LONGEST_DELAY));
        self.send(workflow, body, delay(now, at).unwrap_or(0), deferrals + 1).await
    }

    pub(crate) async fn send(&self, workflow: &str, body: String, delay: i32, deferrals: u32) -> Result<()> {
        let queue = self.settings.queue(workflow)?;
        let mut request = self.clients.sqs().send_message().queue_url(&queue.url);
        if deferrals > 0 {
            let count =
                MessageAttributeValue::builder().data_type("Number").string_value(deferrals.to_string());
            request = request.message_attributes(DEFERRALS, count.build()?);
        }
        let sent = request.message_body(body).delay_seconds(delay).send().await;
        sent.map(drop).map_err(|error| failed("SQS: SendMessage", error))
    }

    /// A schedule that fires once, and is gone. Its name says which run and when: made again, it is there already.
    async fn schedule(&self, workflow: &str, run: &RunId, at: Timestamp) -> Result<()> {
        let queue = self.settings.queue(workflow)?;
        let target = Target::builder().arn(&queue.arn).role_arn(&self.settings.schedule_role_arn);
        let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off);
        let request = self.clients.scheduler().create_schedule();
        let made = request
            .name(format!("{run}-{}", at.as_millisecond()))
            .group_name(&self.settings.schedule_group)
            .schedule_expression(at_expression(at)?)
            .flexible_time_window(window.build()?)
            .action_after_completion(ActionAfterCompletion::Delete)
            .target(target.input(Own::wake(run)?).build()?)
            .send()
            .await;
        match made {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(CreateScheduleError::is_conflict_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(failed("Scheduler: CreateSchedule", error)),
        }
    }
}

/// `at(2026-01-01T06:00:00)`, in UTC, in whole seconds and never earlier than asked for.
fn at_expression(at: Timestamp) -> Result<String> {
    let whole = jiff::TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Ceil);
    let at = at.round(whole).map_err(Error::from)?;
    Ok(format!("at({})", at.strftime("%Y-%m-%dT%H:%M:%S")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
    }

    #[test]
    fn a_delay_is_never_shorter_than_asked_for() {
        assert_eq!(delay(at(0), at(-5)), Some(0));
        assert_eq!(delay(at(0), at(1)), Some(1));
        assert_eq!(delay(at(0), at(2000)), Some(2));
        assert_eq!(delay(at(0), at(900_000)), Some(900));
        assert_eq!(delay(at(0), at(900_001)), None, "a schedule takes it");
    }

    #[test]
    fn a_schedule_is_in_whole_seconds_and_never_early() {
        assert_eq!(at_expression(at(0)).unwrap(), "at(2027-01-15T08:00:00)");
        assert_eq!(at_expression(at(1)).unwrap(), "at(2027-01-15T08:00:01)");
    }

    #[test]
    fn a_message_that_is_put_off_again_and_again_asks_less_often() {
        assert_eq!([0, 1, 2, 8, 50].map(|count| patience(count).as_secs()), [0, 2, 4, 256, 256]);
    }
}
