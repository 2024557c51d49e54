//! Who asks, and what they may do.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look at everything.
    Viewer,
    /// And act: cancel, run again, send, redrive, pause.
    Operator,
}

impl Role {
    /// The name, as it is configured and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// Somebody who got in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// As it stands in the audit: an e-mail address, the ARN of an IAM role, `local`.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What their forms' tokens are bound to; each session has another.
    pub(crate) session: String,
}

impl Identity {
    /// Somebody whom the caller has authenticated by means that are none of the console's, such as a signed request.
    pub fn new(name: impl Into<String>, role: Role) -> Self {
        let name = name.into();
        Self { session: name.clone(), name, role }
    }

    /// Whether they may act.
    pub fn is_operator(&self) -> bool {
        self.role == Role::Operator
    }
}

/// Asked for by everything that shows something.
impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::unauthenticated("sign in first"))
    }
}

/// Somebody who may act: asked for by everything that changes something.
#[derive(Debug, Clone)]
pub(crate) struct Operator(pub(crate) Identity);

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let identity = Identity::from_request_parts(parts, state).await?;
        if identity.is_operator() {
            Ok(Self(identity))
        } else {
            Err(Problem::forbidden(format!("{} is a viewer: only an operator may do this", identity.name)))
        }
    }
}
