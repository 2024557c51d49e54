use std::sync::Arc;

use durable::testing::{SimClock, SimRandom, World, conformance};
use futures::executor::block_on;

#[test]
fn the_simulated_world_conforms() {
    let ports = Arc::<World>::default().ports(Arc::<SimClock>::default(), SimRandom::default());
    block_on(conformance::suite(&ports, "sim"));
}

#[test]
fn what_the_simulated_world_shows_conforms() {
    let world = Arc::<World>::default();
    let ports = world.ports(Arc::<SimClock>::default(), SimRandom::default());
    let desk = world.desk(ports, Arc::new([]));
    block_on(conformance::inspect_suite(&desk, "sim"));
    block_on(conformance::statistics_suite(&desk, "sim"));
}
