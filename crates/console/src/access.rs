//! Who gets in, and as what. Nobody does by default.

mod event_keys;
mod guard;
mod identity;
mod link;
mod members;
#[cfg(feature = "oidc")]
mod oidc;
mod provider;
mod seal;
mod session;

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{Extensions, HeaderMap, Method},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use durable::{Random, Result};
use jiff::Timestamp;

pub use event_keys::EventKeys;
pub use guard::{is_loopback, loopback, same_origin};
pub(crate) use identity::Operator;
pub use identity::{Identity, Role};
pub use link::sign_in_link;
pub(crate) use link::{LINK, Linked};
pub use members::Members;
#[cfg(feature = "oidc")]
pub use oidc::{Oidc, OidcSettings};
pub(crate) use provider::BEGUN;
pub use provider::{Begun, Provider};
pub use seal::Seal;
pub(crate) use session::{
    BEGUN_COOKIE, SESSION_COOKIE, begun_cookie, cookie_value, end_begun, end_cookie, session_cookie,
};

use crate::{console::Shared, pages, problem::Problem};

/// Who gets in.
#[derive(Debug, Clone)]
pub struct Access {
    seal: Seal,
    event_keys: EventKeys,
    provider: Option<Arc<dyn Provider>>,
    place: Place,
}

/// Where the console is reached.
#[derive(Debug, Clone)]
enum Place {
    /// On this machine, by its user, who may do everything.
    Loopback,
    /// At this origin, by whoever has signed in.
    Origin(String),
    /// By whoever signs each request.
    Signed,
}

/// Why somebody does not get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// They must sign in first.
    SignIn,
    /// The request is not one of ours.
    Forbidden(&'static str),
}

impl Access {
    /// For a server that listens on this machine's loopback only: its user is its operator. Requests that name another
    /// host, or that a page elsewhere has caused, are refused.
    pub fn loopback(random: &dyn Random) -> Result<Self> {
        let key: Vec<u8> = (0..4).flat_map(|_| random.bits().to_be_bytes()).collect();
        Ok(Self {
            seal: Seal::new(&key)?,
            event_keys: EventKeys::default(),
            provider: None,
            place: Place::Loopback,
        })
    }

    /// For a server that the world can reach at `origin` (`https://name`): whoever has a session under this seal gets in,
    /// and whoever the caller has authenticated and put into the request as an [`Identity`].
    pub fn sessions(origin: impl Into<String>, seal: Seal) -> Self {
        Self { seal, event_keys: EventKeys::default(), provider: None, place: Place::Origin(origin.into()) }
    }

    /// For a server whose requests are signed, each by itself, and checked before they get here: only whoever the caller has
    /// authenticated and put into the request as an [`Identity`] gets in.
    pub fn signed(random: &dyn Random) -> Result<Self> {
        Ok(Self { place: Place::Signed, ..Self::loopback(random)? })
    }

    /// Lets whoever has one of these keys send events.
    #[must_use]
    pub fn event_keys(mut self, keys: EventKeys) -> Self {
        self.event_keys = keys;
        self
    }

    /// Lets people sign in with this provider.
    #[must_use]
    pub fn provider(mut self, provider: Arc<dyn Provider>) -> Self {
        self.provider = Some(provider);
        self
    }

    pub(crate) fn sign_in_provider(&self) -> Option<&Arc<dyn Provider>> {
        self.provider.as_ref()
    }

    /// The token that this person's forms come with.
    pub(crate) fn form_token(&self, identity: &Identity) -> String {
        self.seal.tag("form", &identity.session)
    }

    /// Whether a form comes with this person's token.
    pub(crate) fn is_form_token(&self, identity: &Identity, token: &str) -> bool {
        self.seal.is_tag("form", &identity.session, token)
    }

    pub(crate) fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Whether people sign in and out here.
    pub(crate) fn has_sessions(&self) -> bool {
        matches!(self.place, Place::Origin(_))
    }

    /// Whether no page elsewhere has caused a request.
    fn is_ours(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        match &self.place {
            Place::Loopback => loopback(method, headers),
            Place::Origin(origin) => same_origin(method, headers, origin),
            Place::Signed => Ok(()),
        }
        .map_err(Refusal::Forbidden)
    }

    fn identify(
        &self,
        method: &Method,
        headers: &HeaderMap,
        extensions: &Extensions,
        now: Timestamp,
    ) -> Result<Identity, Refusal> {
        // A signed request comes from no page: nothing in a browser can make one.
        if let Some(identity) = extensions.get::<Identity>() {
            return Ok(identity.clone());
        }
        self.is_ours(method, headers)?;
        match self.place {
            Place::Loopback => Ok(Identity::new("local", Role::Operator)),
            Place::Origin(_) => session::identity(&self.seal, headers, now).ok_or(Refusal::SignIn),
            Place::Signed => {
                Err(Refusal::Forbidden("expected a signed request of somebody who is named here"))
            }
        }
    }
}

/// Lets requests of pages pass whose sender is known; others are shown where to sign in.
pub(crate) async fn for_pages(State(console): State<Shared>, mut request: Request, next: Next) -> Response {
    match admit(&console, &mut request) {
        Ok(()) => next.run(request).await,
        Err(Refusal::SignIn) if request.method() == Method::GET => {
            let back = request.uri().path_and_query().map_or("/console", |path| path.as_str());
            let back: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
            Redirect::to(&format!("/console/sign-in?back={back}")).into_response()
        }
        Err(Refusal::SignIn) => pages::failure(&console, None, &Problem::unauthenticated("sign in first")),
        Err(Refusal::Forbidden(reason)) => pages::failure(&console, None, &Problem::forbidden(reason)),
    }
}

/// Lets requests of the API pass whose sender is known.
pub(crate) async fn for_api(State(console): State<Shared>, mut request: Request, next: Next) -> Response {
    match admit(&console, &mut request) {
        Ok(()) => next.run(request).await,
        Err(Refusal::SignIn) => {
            Problem::unauthenticated("expected a signed request, a session or, to send events, an event key")
                .into_response()
        }
        Err(Refusal::Forbidden(reason)) => Problem::forbidden(reason).into_response(),
    }
}

/// Somebody who may send events and nothing else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HasEventKey;

fn admit(console: &Shared, request: &mut Request) -> Result<(), Refusal> {
    let access = console.access();
    if request.uri().path() == "/api/v1/events" && access.event_keys.admit(request.headers()) {
        request.extensions_mut().insert(HasEventKey);
        return Ok(());
    }
    let now = console.now();
    let identity = access.identify(request.method(), request.headers(), request.extensions(), now)?;
    request.extensions_mut().insert(identity);
    Ok(())
}

/// For what is there before anybody has signed in: only whether the request is one of ours.
pub(crate) async fn for_anybody(State(console): State<Shared>, request: Request, next: Next) -> Response {
    match console.access().is_ours(request.method(), request.headers()) {
        Err(Refusal::Forbidden(reason)) => pages::failure(&console, None, &Problem::forbidden(reason)),
        Err(Refusal::SignIn) | Ok(()) => next.run(request).await,
    }
}
