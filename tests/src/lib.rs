//! What tests of the whole share.

mod template;

use std::path::{Path, PathBuf};

pub use template::Template;

/// A file of the repository, by its path from the root.
pub fn file(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
