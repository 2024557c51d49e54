//! The console on AWS: who gets in there, read from the environment. What it shows is `crates/console`.

mod settings;
mod signer;

use durable::{Definition, Result};
use fibreflow::mirror::Tables;
pub use settings::{Oidc, People, Settings, Signed, Who};
pub use signer::{Signers, name_of};

/// The workflows of the stack.
pub fn definitions(sync_tables: Option<&str>) -> Result<Vec<Definition>> {
    let tables = Tables::from_setting(sync_tables)?;
    Ok(vec![
        build_agent::workflow().definition().clone(),
        sync_databases::workflow(&tables).definition().clone(),
        send_whatsapp::workflow().definition().clone(),
        send_whatsapp::watch().definition().clone(),
        evaluate_foto::workflow().definition().clone(),
    ])
}
