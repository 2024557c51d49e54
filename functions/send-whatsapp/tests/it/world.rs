//! What every test needs: the workflows with their real clients, on the simulated clock, before the sandbox's services.

use std::sync::{Arc, Mutex};

use durable::{Run, RunId, Status, Window, after, minutes, testing::Simulation};
use fibreflow::{
    events::MessageQueued,
    sandbox::{Message, Sandbox, Scene},
    whatsapp::{Setting, Switch},
};
use jiff::Timestamp;
use send_whatsapp::{Services, Watch, watch, workflow};

pub(crate) const PHONE: &str = "+27821234567";
pub(crate) const GROUP: &str = "120363401234567890@g.us";

/// The sandbox's settings: no limits but the phone's, no night.
pub(crate) fn simulation() -> (Simulation, Sandbox) {
    world(|_| ())
}

/// With other rules, or another switch.
pub(crate) fn world(change: impl FnOnce(&mut Services)) -> (Simulation, Sandbox) {
    let simulation = Simulation::default();
    let sandbox = Sandbox::open(Scene::new(simulation.clock())).unwrap();
    let mut services = Services::from_settings(sandbox.settings()).unwrap();
    change(&mut services);
    (simulation.with(workflow().with(services)), sandbox)
}

/// With somebody who watches.
pub(crate) fn watched(change: impl FnOnce(&mut Services)) -> (Simulation, Sandbox) {
    let (simulation, sandbox) = world(change);
    let services = Watch::from_settings(sandbox.settings()).unwrap();
    (simulation.with(watch().with(services)), sandbox)
}

pub(crate) fn queue(simulation: &mut Simulation, phone: &str, message: &str) -> RunId {
    simulation.send_event(&MessageQueued::new(phone, message)).remove(0)
}

/// A message to the group about a drop.
pub(crate) fn queue_about(simulation: &mut Simulation, drop: &str, message: &str) -> RunId {
    let group = Some(GROUP.to_owned());
    let queued = MessageQueued { group, dr_number: Some(drop.into()), ..MessageQueued::new(PHONE, message) };
    simulation.send_event(&queued).remove(0)
}

pub(crate) fn failure(run: &Run) -> &str {
    assert_eq!(run.status, Status::Failed);
    run.error.as_ref().unwrap().message()
}

pub(crate) fn texts(sandbox: &Sandbox) -> Vec<String> {
    sandbox.whatsapp().messages().into_iter().map(|message| message.text).collect()
}

/// The names of a run's steps, in the order in which they were recorded.
pub(crate) fn steps(simulation: &Simulation, run: &RunId) -> Vec<String> {
    simulation.checkpoints(run).iter().map(|step| step.step.to_string()).collect()
}

/// When a message went out, in minutes since the beginning.
pub(crate) fn minute(simulation: &Simulation, message: &Message) -> u64 {
    (simulation.elapsed().as_secs() - durable::until(message.at, simulation.now()).as_secs()) / 60
}

/// That in no span of a window more messages went out than it allows.
pub(crate) fn assert_within(times: &[Timestamp], windows: &[Window]) {
    assert!(times.is_sorted());
    for window in windows {
        for group in times.windows(window.limit as usize + 1) {
            let (first, last) = (group[0], group[group.len() - 1]);
            assert!(last > after(first, window.period), "{} from {first} to {last}: {window:?}", group.len());
        }
    }
}

/// A switch in a test's hand.
#[derive(Debug, Clone)]
pub(crate) struct Lever(Arc<Mutex<Setting>>);

impl Lever {
    pub(crate) fn on() -> Self {
        Self(Arc::new(Mutex::new(Setting::On)))
    }

    pub(crate) fn flip(&self, setting: Setting) {
        *self.0.lock().unwrap() = setting;
    }

    pub(crate) fn off(&self) {
        self.flip(Setting::Off("banned again".into()));
    }
}

#[async_trait::async_trait]
impl Switch for Lever {
    async fn setting(&self) -> Setting {
        self.0.lock().unwrap().clone()
    }
}

/// Window of a minute.
pub(crate) fn a_minute(limit: u32) -> Window {
    Window { limit, period: minutes(1) }
}
