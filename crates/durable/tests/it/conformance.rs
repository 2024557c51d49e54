use std::sync::Arc;

use durable::testing::{SimClock, SimRandom, World, conformance};

#[test]
fn the_simulated_world_conforms() {
    let ports = Arc::<World>::default().ports(Arc::<SimClock>::default(), SimRandom::default());
    futures::executor::block_on(conformance::suite(&ports, "sim"));
}
