//! What is mirrored from Neon to Convex, and as what.
//!
//! Which tables, columns and rows is configuration ([`Tables`]); a row of Neon's becomes a [`Document`] of Convex's, or is
//! refused by table, key and column when Convex cannot hold it exactly ([`Refusal`]).

mod document;
pub mod exact;
mod tables;

pub use document::{Document, LARGEST, Problem, Refusal, Row};
pub use tables::{Column, Form, Table, Tables};
