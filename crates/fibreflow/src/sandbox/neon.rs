//! Neon in memory, for simulations, which cannot wait for sockets.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use durable::{Error, Result};

use crate::{
    neon::{Contractor, Neon, Project, Snapshot},
    vlm::Evaluation,
};

/// A database in memory.
#[derive(Debug, Default)]
pub struct MemoryNeon(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    snapshot: Snapshot,
    reviews: Vec<Evaluation>,
    failures: u32,
    fetches: u32,
    stores: u32,
}

impl MemoryNeon {
    /// A database with so many rows.
    pub fn with_rows(contractors: u32, projects: u32) -> Self {
        let contractor = |n| Contractor {
            id: format!("c{n}"),
            company_name: format!("Contractor {n}"),
            status: (n % 3 != 0).then(|| "approved".to_owned()),
            is_active: n % 5 != 0,
            email: (n % 2 == 0).then(|| format!("office@contractor{n}.example")),
            phone: None,
        };
        let project = |n| Project {
            id: format!("p{n}"),
            project_name: format!("Project {n}"),
            description: None,
            status: "active".to_owned(),
        };
        let snapshot = Snapshot {
            contractors: (1..=contractors).map(contractor).collect(),
            projects: (1..=projects).map(project).collect(),
        };
        Self(Mutex::new(State { snapshot, ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses the next `times` connections, as a database that sleeps does.
    pub fn refuse(&self, times: u32) {
        self.state().failures = times;
    }

    /// The evaluations that are stored: one a drop.
    pub fn reviews(&self) -> Vec<Evaluation> {
        self.state().reviews.clone()
    }

    /// How often the tables were read.
    pub fn fetches(&self) -> u32 {
        self.state().fetches
    }

    /// How often an evaluation was stored.
    pub fn stores(&self) -> u32 {
        self.state().stores
    }

    fn connect(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.failures > 0 {
            state.failures -= 1;
            return Err(Error::no_effect("Neon: error connecting to server: connection refused"));
        }
        Ok(state)
    }
}

#[async_trait]
impl Neon for MemoryNeon {
    async fn fetch(&self) -> Result<Snapshot> {
        let mut state = self.connect()?;
        state.fetches += 1;
        Ok(state.snapshot.clone())
    }

    async fn store(&self, evaluation: &Evaluation) -> Result<()> {
        let mut state = self.connect()?;
        state.stores += 1;
        state.reviews.retain(|review| review.dr_number != evaluation.dr_number);
        state.reviews.push(evaluation.clone());
        Ok(())
    }
}
