//! Signing in with an OpenID Connect provider, which stands in this process and checks what real ones check.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use axum::{
    Form, Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Method, Request, StatusCode, header},
    routing::{get, post},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use console::{Access, Console, Members, Oidc, OidcSettings, Seal};
use openidconnect::{
    Audience, EmptyAdditionalClaims, EndUserEmail, IssuerUrl, JsonWebKeyId, Nonce, PrivateSigningKey,
    StandardClaims, SubjectIdentifier,
    core::{
        CoreEdDsaPrivateSigningKey, CoreIdToken, CoreIdTokenClaims, CoreJsonWebKeySet,
        CoreJwsSigningAlgorithm,
    },
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use url::Url;

use crate::{
    rig::{Answer, ask},
    scene,
};

const ORIGIN: &str = "https://console.example";

/// What the provider knows, and what it gets wrong when a test wants that.
struct StandIn {
    issuer: String,
    key: CoreEdDsaPrivateSigningKey,
    /// Whom each code is for: the challenge that came with the request, its nonce, the person's address.
    codes: HashMap<String, (String, String, String)>,
    verified: bool,
    audience: String,
    nonce: Option<String>,
    /// Signs instead of the key that is published.
    forged: Option<CoreEdDsaPrivateSigningKey>,
}

type Shared = Arc<Mutex<StandIn>>;

fn key() -> CoreEdDsaPrivateSigningKey {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pair.serialize_pem(), Some(JsonWebKeyId::new("k".into())))
        .unwrap()
}

async fn describe(State(shared): State<Shared>) -> Json<Value> {
    let issuer = shared.lock().unwrap().issuer.clone();
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
    }))
}

async fn keys(State(shared): State<Shared>) -> Json<CoreJsonWebKeySet> {
    Json(CoreJsonWebKeySet::new(vec![shared.lock().unwrap().key.as_verification_key()]))
}

async fn token(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> (StatusCode, Json<Value>) {
    let mut provider = shared.lock().unwrap();
    let basic = format!("Basic {}", BASE64_STANDARD.encode("console:a-client-secret"));
    let refused = (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"})));
    if headers[header::AUTHORIZATION] != basic || form["grant_type"] != "authorization_code" {
        return refused;
    }
    // A code is good once.
    let Some((challenge, nonce, email)) = provider.codes.remove(&form["code"]) else { return refused };
    if BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"])) != challenge {
        return refused;
    }
    let now = chrono_now();
    let nonce = provider.nonce.clone().unwrap_or(nonce);
    let claims = CoreIdTokenClaims::new(
        IssuerUrl::new(provider.issuer.clone()).unwrap(),
        vec![Audience::new(provider.audience.clone())],
        now + durable::minutes(5),
        now,
        StandardClaims::new(SubjectIdentifier::new("subject-1".into()))
            .set_email(Some(EndUserEmail::new(email)))
            .set_email_verified(Some(provider.verified)),
        EmptyAdditionalClaims {},
    )
    .set_nonce(Some(Nonce::new(nonce)));
    let key = provider.forged.as_ref().unwrap_or(&provider.key);
    let token = CoreIdToken::new(claims, key, CoreJwsSigningAlgorithm::EdDsa, None, None).unwrap();
    let answer =
        json!({"access_token": "an-access-token", "token_type": "bearer", "id_token": token.to_string()});
    (StatusCode::OK, Json(answer))
}

/// The time as the library's tokens have it.
fn chrono_now() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from(std::time::UNIX_EPOCH) + durable::until(jiff::Timestamp::UNIX_EPOCH, now())
}

#[expect(clippy::disallowed_methods, reason = "tokens are checked against the machine's clock")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// A provider that knows people, and a console that trusts it.
async fn stand() -> (Shared, Router) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let shared = Arc::new(Mutex::new(StandIn {
        issuer: issuer.clone(),
        key: key(),
        codes: HashMap::new(),
        verified: true,
        audience: "console".into(),
        nonce: None,
        forged: None,
    }));
    let provider = Router::new()
        .route("/.well-known/openid-configuration", get(describe))
        .route("/keys", get(keys))
        .route("/token", post(token))
        .with_state(shared.clone());
    #[expect(clippy::disallowed_methods, reason = "it ends with the runtime of its test")]
    tokio::spawn(async move { axum::serve(listener, provider).await });

    let _ = rustls::crypto::ring::default_provider().install_default();
    let http =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let settings = OidcSettings {
        name: "Example".into(),
        issuer,
        client_id: "console".into(),
        client_secret: "a-client-secret".into(),
        origin: ORIGIN.into(),
        members: Members::from_settings("ana@fibreflow.example", "@fibreflow.example").unwrap(),
    };
    let access = Access::sessions(ORIGIN, Seal::new(&[5; 32]).unwrap());
    let access = access.provider(Arc::new(Oidc::new(settings, http).unwrap()));
    (shared, Console::new(scene::quiet().desk(), access).router())
}

async fn visit(console: &Router, path: &str, cookie: &str) -> Answer {
    let request = Request::builder().method(Method::GET).uri(path).header(header::COOKIE, cookie);
    ask(console, request.body(Body::empty()).unwrap()).await
}

/// The part of a `Set-Cookie` that comes back.
fn cookie_of(answer: &Answer, name: &str) -> String {
    let set = answer.headers.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap());
    let found = set
        .into_iter()
        .find(|set| set.starts_with(name))
        .unwrap_or_else(|| panic!("no {name}: {}", answer.body));
    assert!(found.contains("; HttpOnly; Secure; SameSite=Lax"), "{found}");
    found.split(';').next().unwrap().to_owned()
}

/// Begins to sign in, and has the provider hand out a code for this person: the way back, and the browser's cookie.
async fn come_back(provider: &Shared, console: &Router, email: &str) -> (String, String) {
    let begun = visit(console, "/console/sign-in/begin?back=%2Fconsole%2Fkeys", "").await;
    let url = Url::parse(begun.header(header::LOCATION)).unwrap();
    let asked: HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(asked["redirect_uri"], format!("{ORIGIN}/console/sign-in/callback"));
    assert_eq!((asked["code_challenge_method"].as_str(), asked["response_type"].as_str()), ("S256", "code"));
    assert!(asked["scope"].split(' ').any(|scope| scope == "openid"), "{}", asked["scope"]);
    let person = (asked["code_challenge"].clone(), asked["nonce"].clone(), email.to_owned());
    provider.lock().unwrap().codes.insert("code-1".into(), person);
    (
        format!("/console/sign-in/callback?code=code-1&state={}", asked["state"]),
        cookie_of(&begun, "__Host-sign-in"),
    )
}

#[tokio::test]
async fn whoever_the_provider_knows_and_we_do_gets_in() {
    let (provider, console) = stand().await;
    let page = visit(&console, "/console/sign-in?back=%2Fconsole%2Fkeys", "").await;
    assert!(page.body.contains("Sign in with Example"), "{}", page.body);
    for (email, role) in [("ana@fibreflow.example", "operator"), ("bo@fibreflow.example", "viewer")] {
        let (path, cookie) = come_back(&provider, &console, email).await;
        let back = visit(&console, &path, &cookie).await;
        assert_eq!(
            (back.status, back.header(header::LOCATION)),
            (StatusCode::SEE_OTHER, "/console/keys"),
            "{}",
            back.body
        );
        let page = visit(&console, "/console/keys", &cookie_of(&back, "__Host-session")).await;
        assert!(page.body.contains(email) && page.body.contains(role), "{}", page.body);
        // The same way back leads nowhere: its code is used up.
        assert_eq!(visit(&console, &path, &cookie).await.status, StatusCode::BAD_GATEWAY);
    }
}

#[tokio::test]
async fn nobody_else_does() {
    let (provider, console) = stand().await;
    let refused = async |email: &str, status: StatusCode, says: &str| {
        let (path, cookie) = come_back(&provider, &console, email).await;
        let answer = visit(&console, &path, &cookie).await;
        assert_eq!(answer.status, status, "{email}: {}", answer.body);
        assert!(
            answer.body.contains(says) && !answer.headers.contains_key(header::SET_COOKIE),
            "{}",
            answer.body
        );
    };
    refused("eve@evil.example", StatusCode::FORBIDDEN, "not among those who get in").await;
    provider.lock().unwrap().verified = false;
    refused("ana@fibreflow.example", StatusCode::FORBIDDEN, "not verified").await;
    provider.lock().unwrap().verified = true;

    // A token that was made for somebody else, or for another sign-in, or by somebody else, is none.
    provider.lock().unwrap().audience = "another-console".into();
    refused("ana@fibreflow.example", StatusCode::BAD_GATEWAY, "a token that is good").await;
    provider.lock().unwrap().audience = "console".into();
    provider.lock().unwrap().nonce = Some("of-another-time".into());
    refused("ana@fibreflow.example", StatusCode::BAD_GATEWAY, "a token that is good").await;
    provider.lock().unwrap().nonce = None;

    // Somebody else's way back is not ours: neither without our cookie, nor with another state.
    let (path, cookie) = come_back(&provider, &console, "ana@fibreflow.example").await;
    for (path, cookie) in
        [(path.as_str(), ""), (&format!("{path}x"), &cookie), ("/console/sign-in/callback", &cookie)]
    {
        assert_eq!(visit(&console, path, cookie).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    // What proves that the code is used by whoever asked for it is checked by the provider.
    provider.lock().unwrap().codes.get_mut("code-1").unwrap().0 = "another-challenge".into();
    assert_eq!(visit(&console, &path, &cookie).await.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn keys_may_change_and_those_that_are_not_published_are_worth_nothing() {
    let (provider, console) = stand().await;
    let (path, cookie) = come_back(&provider, &console, "ana@fibreflow.example").await;
    provider.lock().unwrap().key = key();
    assert_eq!(visit(&console, &path, &cookie).await.status, StatusCode::SEE_OTHER);
    let (path, cookie) = come_back(&provider, &console, "ana@fibreflow.example").await;
    provider.lock().unwrap().forged = Some(key());
    let answer = visit(&console, &path, &cookie).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.body.contains("a token that is good"), "{}", answer.body);
}
