//! Waiting for a model that is away.

use std::time::Duration;

use durable::{Context, Error, Result, minutes};
use fibreflow::{events::EvaluationRequested, vlm::Health};

use crate::Services;

/// How long a run has waited for the model.
///
/// Known outages are nobody's failure: the answer that the model is away is a step's result, so it uses up no attempt, and
/// each question whether it is back is a step of its own. A waiting run keeps its slot. That is meant: nobody else could be
/// judged either, so five runs ask for all that wait in line behind them, and a server that comes back is met by five calls
/// and not by a crowd. When the time is up, five runs fail and the next five wait: those in line are not lost.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    waited: Duration,
}

/// A restart takes a minute or two.
const SHORTEST: Duration = minutes(1);

/// How late a server that is back may be noticed. Longer waits save little, and up to here SQS alone wakes the run.
const LONGEST: Duration = minutes(15);

impl Outage {
    /// Waits until the model is served again. Fails once the run has waited as long as it may, all its waits together.
    pub(crate) async fn wait(
        &mut self,
        ctx: &Context<EvaluationRequested>,
        services: &Services,
        mut reason: String,
    ) -> Result<()> {
        loop {
            let left = services.outage.saturating_sub(self.waited);
            if left.is_zero() {
                let hours = services.outage.as_secs() / 3600;
                return Err(Error::fatal(format!(
                    "the model was away for {hours} h: mend it, then send the event again; {reason}"
                )));
            }
            // Twice as long each time, over all outages of the run: a server that crashes in a loop gets its rest.
            let pause = self.waited.clamp(SHORTEST, LONGEST).min(left);
            ctx.sleep("wait-for-model", pause).await;
            self.waited += pause;
            match ctx.step("check-model").run(|| services.vlm.health()).await? {
                Health::Serving => return Ok(()),
                Health::Away { reason: still } => reason = still,
            }
        }
    }
}
