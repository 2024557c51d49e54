//! The service reached by the worker in the private network.

use durable::testing::{Simulation, crash_everywhere};
use fibreflow::sandbox::{Sandbox, Scene};
use send_whatsapp::{Services, workflow};

use crate::world::{PHONE, queue};

/// Where the service is is configuration: whatever dies, a message goes out once.
#[test]
fn a_phone_in_a_private_network_is_reached_by_the_worker() {
    let world = std::cell::RefCell::new(None);
    let scenario = || {
        let simulation = Simulation::default();
        let sandbox = Sandbox::open(Scene::new(simulation.clock())).unwrap();
        let services = Services::from_settings(sandbox.settings_by_worker(&["whatsapp"])).unwrap();
        let mut simulation = simulation.with(workflow().with(services)).with_worker(sandbox.worker());
        queue(&mut simulation, PHONE, "hello");
        world.replace(Some(sandbox));
        simulation
    };
    let runs = crash_everywhere(scenario, |disturbed, _| {
        let (label, run) = (disturbed.label(), disturbed.runs().remove(0));
        let messages = world.borrow().as_ref().unwrap().whatsapp().messages().len();
        match run.error {
            None => assert_eq!(messages, 1, "{label}"),
            // It died between noting that it would send and leaving that to the worker.
            Some(error) => assert!(error.is_outcome_unknown() && messages == 0, "{label}: {error}"),
        }
    });
    assert!(runs > 30, "only {runs} places to die");
}
