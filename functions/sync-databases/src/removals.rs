//! Whether what is missing in Neon was deleted there.

use crate::mirror::{Batch, Gone};

/// So many rows of a table may always be gone at once, however small it is.
const FEW: u64 = 100;

/// The rows of a table that are mirrored and gone from Neon.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    pub(crate) batches: Vec<Batch>,
    pub(crate) mirrored: u64,
}

impl Removals {
    /// Adds what was found on a page; answers after which key the next one begins.
    pub(crate) fn add(&mut self, gone: Gone) -> Option<String> {
        self.mirrored += gone.mirrored;
        self.batches.extend(gone.batches);
        gone.next
    }

    pub(crate) fn rows(&self) -> u64 {
        self.batches.iter().map(|batch| batch.rows).sum()
    }

    /// Whether the rows can have been deleted. When an import empties a table to fill it again, or somebody gets a condition
    /// wrong, most of it is gone at once: whoever reads the mirror is better served by what was there before.
    pub(crate) fn are_plausible(&self, percent: u8) -> bool {
        let gone = self.rows();
        gone <= FEW || gone.saturating_mul(100) <= self.mirrored.saturating_mul(percent.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(rows: u64, mirrored: u64) -> Removals {
        let batch = serde_json::json!({"span": {"after": null, "through": null}, "rows": rows});
        Removals { batches: vec![serde_json::from_value(batch).unwrap()], mirrored }
    }

    #[test]
    fn most_of_a_table_does_not_go_at_once() {
        assert!(gone(500, 1000).are_plausible(50));
        assert!(!gone(501, 1000).are_plausible(50));
        assert!(gone(501, 1000).are_plausible(100) && gone(1000, 1000).are_plausible(100));
        assert!(!gone(101, 100_000).are_plausible(0));
    }

    #[test]
    fn a_few_rows_may_always_go() {
        assert!(gone(100, 100).are_plausible(50) && gone(100, 100).are_plausible(0));
        assert!(gone(0, 0).are_plausible(0));
    }
}
