//! Signing in with an OpenID Connect provider: authorization code with PKCE.

use std::fmt;

use async_trait::async_trait;
use durable::{Error, Result};
use futures::future::BoxFuture;
use openidconnect::{
    AsyncHttpClient, AuthenticationFlow, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenResponse,
    core::{CoreClient, CoreProviderMetadata, CoreResponseType},
};
use url::Url;

use super::{
    Members, Role,
    provider::{Begun, Provider},
};

/// How a provider knows this console, and whom of those it knows get in.
#[derive(Clone)]
pub struct OidcSettings {
    /// How the provider is called where people choose it.
    pub name: String,
    /// Its address, under which it describes itself.
    pub issuer: String,
    /// What it calls this console.
    pub client_id: String,
    /// What this console shows it as proof.
    pub client_secret: String,
    /// Where this console is: `https://name`.
    pub origin: String,
    /// Whom of those it knows get in.
    pub members: Members,
}

impl fmt::Debug for OidcSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcSettings").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// An OpenID Connect provider.
#[derive(Debug)]
pub struct Oidc {
    settings: OidcSettings,
    issuer: IssuerUrl,
    redirect: RedirectUrl,
    http: Http,
}

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

impl Oidc {
    /// A provider that is reached by this client, which must follow no redirects: an answer that leads elsewhere is none of
    /// the provider's.
    pub fn new(settings: OidcSettings, http: reqwest::Client) -> Result<Self> {
        let issuer = IssuerUrl::new(settings.issuer.clone())
            .map_err(|_| Error::fatal("issuer: expected the address of an OpenID Connect provider"))?;
        let redirect =
            RedirectUrl::new(format!("{}/console/sign-in/callback", settings.origin.trim_end_matches('/')))
                .map_err(|_| Error::fatal("origin: expected the console's address, such as https://name"))?;
        Ok(Self { settings, issuer, redirect, http: Http(http) })
    }

    /// The provider as it describes itself now: its keys change, and nobody signs in so often that asking costs much.
    async fn client(&self) -> Result<Client> {
        let metadata = CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http)
            .await
            .map_err(|error| unwell("its description", &error))?;
        let settings = &self.settings;
        let (id, secret) =
            (ClientId::new(settings.client_id.clone()), ClientSecret::new(settings.client_secret.clone()));
        Ok(CoreClient::from_provider_metadata(metadata, id, Some(secret))
            .set_redirect_uri(self.redirect.clone()))
    }
}

/// The client that requests go through.
#[derive(Debug)]
struct Http(reqwest::Client);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = reqwest::Error;
    type Future = BoxFuture<'c, Result<HttpResponse, reqwest::Error>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        let (parts, body) = request.into_parts();
        let request = self.0.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
        Box::pin(async move {
            let answer = request.send().await?;
            let mut response = HttpResponse::new(Vec::new());
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            *response.body_mut() = answer.bytes().await?.to_vec();
            Ok(response)
        })
    }
}

/// The provider did not do what it should. What it said may hold what is secret: only what was asked for is told.
fn unwell(what: &str, error: &dyn fmt::Debug) -> Error {
    tracing::warn!(what, "the sign-in provider did not answer as it should");
    tracing::debug!(?error, "what it answered");
    Error::new(format!("The sign-in provider did not answer with {what}: try again."))
}

#[async_trait]
impl Provider for Oidc {
    fn name(&self) -> &str {
        &self.settings.name
    }

    async fn begin(&self) -> Result<(Url, Begun)> {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let client = self.client().await?;
        let (url, state, nonce) = client
            .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
            .add_scope(Scope::new("email".to_owned()))
            .set_pkce_challenge(challenge)
            .url();
        let begun = Begun {
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
            back: String::new(),
        };
        Ok((url, begun))
    }

    async fn finish(&self, begun: &Begun, code: &str) -> Result<(String, Role)> {
        let client = self.client().await?;
        let answer = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|error| unwell("an address for codes", &error))?
            .set_pkce_verifier(PkceCodeVerifier::new(begun.verifier.clone()))
            .request_async(&self.http)
            .await
            .map_err(|error| unwell("a token for the code", &error))?;
        let token = answer.id_token().ok_or_else(|| unwell("who you are", &"no ID token"))?;
        let nonce = Nonce::new(begun.nonce.clone());
        // The signature, the issuer, whom it was made for, its time and the nonce.
        let claims = token
            .claims(&client.id_token_verifier(), &nonce)
            .map_err(|error| unwell("a token that is good", &error))?;
        // An address that nobody has verified can be anybody's.
        let email = claims.email().filter(|_| claims.email_verified() == Some(true));
        let email = email
            .ok_or_else(|| Error::fatal("Your e-mail address is not verified at the sign-in provider."))?;
        let role = self.settings.members.role_of(email).ok_or_else(|| {
            Error::fatal(format!("{} is not among those who get in: ask an operator.", email.as_str()))
        })?;
        Ok((email.to_string(), role))
    }
}
