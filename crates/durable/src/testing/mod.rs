//! A simulated world for workflows and backends: all ports in memory, virtual time, crashes at every port operation.
//!
//! ```
//! use durable::{Context, Result, Workflow, hours, testing::Simulation};
//!
//! async fn nap(ctx: Context<serde_json::Value>, _: ()) -> Result<String> {
//!     ctx.sleep("nap", hours(2)).await;
//!     Ok("rested".into())
//! }
//!
//! let mut simulation = Simulation::of(Workflow::new("nap", nap).on_event("evening").with(()));
//! let run = simulation.send("evening", serde_json::json!({}));
//! simulation.run_until_idle();
//! assert_eq!(simulation.output(&run[0]), "rested");
//! assert_eq!(simulation.elapsed(), hours(2));
//! ```

mod audit;
mod clock;
pub mod conformance;
mod crash;
mod inspect;
mod memory;
mod outward;
mod simulation;

pub use clock::{SimClock, SimRandom};
pub use crash::{CutOff, Ending, When, crash_everywhere};
pub use memory::World;
pub use simulation::Simulation;
