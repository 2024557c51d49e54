//! Neon, the company's PostgreSQL and its source of truth.

mod postgres;

use std::fmt;

use async_trait::async_trait;
use durable::Result;
use serde::{Deserialize, Serialize};

pub use postgres::Postgres;

use crate::vlm::Evaluation;

/// What the workflows read from Neon and write to it.
#[async_trait]
pub trait Neon: fmt::Debug + Send + Sync {
    /// Reads the tables that are mirrored, as of one moment.
    async fn fetch(&self) -> Result<Snapshot>;

    /// Stores an evaluation, in place of an earlier one of the same drop.
    async fn store(&self, evaluation: &Evaluation) -> Result<()>;
}

/// The mirrored tables as of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The contractors, by id.
    pub contractors: Vec<Contractor>,
    /// The projects, by id.
    pub projects: Vec<Project>,
}

impl Snapshot {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.contractors.len() + self.projects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A row of `contractors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is the column of that name")]
pub struct Contractor {
    /// A uuid or a serial number, as text.
    pub id: String,
    pub company_name: String,
    pub status: Option<String>,
    pub is_active: bool,
    pub email: Option<String>,
    pub phone: Option<String>,
}

/// A row of `projects`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is the column of that name")]
pub struct Project {
    /// A uuid or a serial number, as text.
    pub id: String,
    pub project_name: String,
    pub description: Option<String>,
    pub status: String,
}
