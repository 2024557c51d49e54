//! Neon, the company's PostgreSQL and its source of truth.

mod postgres;
mod reading;
mod value;

use std::{collections::HashSet, fmt};

use async_trait::async_trait;
use durable::Result;
use serde::{Deserialize, Serialize};

pub use postgres::Postgres;

use crate::{
    mirror::{Row, Table},
    vlm::Evaluation,
};

/// The most rows that are read at once.
pub const PAGE: usize = 500;

/// What the workflows read from Neon and write to it.
#[async_trait]
pub trait Neon: fmt::Debug + Send + Sync {
    /// Reads rows of a table in the order of their keys: those of a span, or the first [`PAGE`] of it when it is open.
    async fn page(&self, table: &Table, span: &Span) -> Result<Page>;

    /// Which of these keys a table has, among the rows that are mirrored.
    async fn existing(&self, table: &Table, keys: &[String]) -> Result<HashSet<String>>;

    /// Stores an evaluation, in place of an earlier one of the same drop.
    async fn store(&self, evaluation: &Evaluation) -> Result<()>;
}

/// Keys that lie together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The key before the first; without it, from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The last key; without it, the span is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
}

/// Rows that were read together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The rows, in the order of their keys.
    pub rows: Vec<Row>,
    /// Whether there were more.
    pub more: bool,
    /// Whether there is no such table, and need not be.
    pub absent: bool,
}
