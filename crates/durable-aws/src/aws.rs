//! The engine's ports on AWS, together.

use std::sync::Arc;

use durable::{Clock, Observer, Ports, Random};

use crate::{
    Clients, Settings, SystemClock, SystemRandom, commit::Committers, ledger::Ledgers, pauses::Known,
    table::Table,
};

/// The engine's ports over DynamoDB, SQS, EventBridge, EventBridge Scheduler and S3.
#[derive(Debug)]
pub struct Aws {
    pub(crate) settings: Settings,
    pub(crate) clients: Clients,
    pub(crate) table: Table,
    pub(crate) committers: Committers,
    pub(crate) ledgers: Ledgers,
    pub(crate) pauses: Known,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

impl Aws {
    /// The ports, over these clients.
    pub fn new(settings: Settings, clients: Clients) -> Arc<Self> {
        let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) =
            (Arc::new(SystemClock), Arc::new(SystemRandom));
        let table = Table {
            clients: clients.clone(),
            name: settings.table.clone(),
            clock: clock.clone(),
            random: random.clone(),
        };
        let (committers, ledgers, pauses) = (Committers::default(), Ledgers::default(), Known::default());
        Arc::new(Self { settings, clients, table, committers, ledgers, pauses, clock, random })
    }

    /// The engine's ports.
    pub fn ports(self: &Arc<Self>, observer: Option<Arc<dyn Observer>>) -> Ports {
        Ports {
            journal: self.clone(),
            gate: self.clone(),
            wakeups: self.clone(),
            bus: self.clone(),
            blobs: self.clone(),
            pauses: self.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            observer,
        }
    }
}
