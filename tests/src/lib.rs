//! What tests of the whole share.

mod template;

use std::path::{Path, PathBuf};

use durable::{Definition, Result};
use fibreflow::mirror::Tables;

pub use template::Template;

/// What is known of every workflow, configured as it is shipped.
pub fn definitions() -> Result<[Definition; 5]> {
    Ok([
        build_agent::workflow().definition().clone(),
        sync_databases::workflow(&Tables::from_setting(None)?).definition().clone(),
        send_whatsapp::workflow().definition().clone(),
        send_whatsapp::watch().definition().clone(),
        evaluate_foto::workflow().definition().clone(),
    ])
}

/// A file of the repository, by its path from the root.
pub fn file(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
