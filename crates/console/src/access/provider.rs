//! Signing in with somebody else who knows people.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Role;

/// The purpose of the seal under which a browser keeps what was begun.
pub(crate) const BEGUN: &str = "sign-in";

/// Somebody who knows people: an OpenID Connect provider, say.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync {
    /// How it is called where people choose it.
    fn name(&self) -> &str;

    /// Begins: where the browser is to go, and what it is to bring back.
    async fn begin(&self) -> durable::Result<(Url, Begun)>;

    /// Ends: who came back with this code, and what they may do. An error says why they do not get in, to them.
    async fn finish(&self, begun: &Begun, code: &str) -> durable::Result<(String, Role)>;
}

/// A sign-in that was begun. Its browser keeps it, sealed, until it comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Comes back in the address, so that nobody is signed in by somebody else's link.
    pub state: String,
    /// Comes back in the provider's token, so that none is used twice.
    pub nonce: String,
    /// Proves that the code is used by whoever asked for it (PKCE).
    pub verifier: String,
    /// The page that was wanted.
    pub back: String,
}
