//! The Lambda function: the console behind a function URL.

use std::{sync::Arc, time::Duration};

use console::{Access, Console, Identity, Live, Mask, Oidc, OidcSettings};
use console_function::{People, Settings, Who, definitions};
use durable::{Desk, Error, Result, seconds};
use durable_aws::{Aws, Clients};
use lambda_http::{
    Request, RequestExt,
    aws_lambda_events::apigw::ApiGatewayV2httpRequestContext,
    request::RequestContext,
    tower::{ServiceExt, service_fn},
};
use tokio::sync::OnceCell;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().json().without_time().init();
    let settings = Settings::read(variable)?;
    let aws = Aws::new(durable_aws::Settings::from_env()?, Clients::from_env().await);
    let desk = aws.desk(aws.ports(None), definitions(variable("SYNC_TABLES").as_deref())?.into());
    // Where people reach it is known once the first of them does.
    let router = OnceCell::new();
    let function = service_fn(async |mut request: Request| {
        let context = context(&request);
        if let Some(identity) = signer(&settings, &context) {
            request.extensions_mut().insert(identity);
        }
        let domain = context.domain_name.unwrap_or_default();
        let router = router.get_or_try_init(async || console(&settings, &desk, &domain)).await;
        let router = router.map_err(|error| error.to_string())?.clone();
        // A router never fails: what is wrong is an answer.
        router.oneshot(request).await.map_err(|error| error.to_string())
    });
    lambda_http::run(function).await.map_err(|error| Error::new(format!("Lambda: {error}")))
}

#[expect(clippy::disallowed_methods, reason = "read once at start")]
fn variable(name: &str) -> Option<String> {
    // A parameter that nobody has set is empty.
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What AWS says of a request: where it was sent, and who signed it. Nobody outside can set it.
fn context(request: &Request) -> ApiGatewayV2httpRequestContext {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.clone(),
        _ => ApiGatewayV2httpRequestContext::default(),
    }
}

/// Who signed a request, where requests are signed.
fn signer(settings: &Settings, context: &ApiGatewayV2httpRequestContext) -> Option<Identity> {
    let Who::Signed(signed) = &settings.who else { return None };
    let arn = context.authorizer.as_ref()?.iam.as_ref()?.user_arn.as_deref()?;
    Some(Identity::new(arn, signed.signers.role_of(arn)?))
}

fn console(settings: &Settings, desk: &Desk, domain: &str) -> Result<axum::Router> {
    let access = match &settings.who {
        Who::Signed(_) => Access::signed(&*desk.ports.random)?,
        Who::People(people) => people_at(people, domain)?,
    };
    // A connection would hold a whole invocation: it tells once, and browsers ask again.
    let live = Live { every: seconds(5), longest: Duration::ZERO, ..Live::default() };
    let mask = Mask::default().and(&settings.mask);
    Ok(Console::new(desk.clone(), access).mask(mask).place(&settings.place).live(live).router())
}

fn people_at(people: &People, domain: &str) -> Result<Access> {
    let origin = people.origin.clone().unwrap_or_else(|| format!("https://{domain}"));
    let access = Access::sessions(&origin, people.seal.clone()).event_keys(people.event_keys.clone());
    let Some(oidc) = people.oidc.clone() else { return Ok(access) };
    let settings = OidcSettings {
        name: oidc.name,
        issuer: oidc.issuer,
        client_id: oidc.client_id,
        client_secret: oidc.client_secret,
        members: oidc.members,
        origin,
    };
    Ok(access.provider(Arc::new(Oidc::new(settings, http()?)?)))
}

/// For the sign-in provider. It follows no redirects, and is given up before its page is.
fn http() -> Result<reqwest::Client> {
    // Whoever installed one before installed the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(seconds(5))
        .timeout(seconds(10))
        .build()
        .map_err(|error| Error::fatal(format!("sign-in provider: {error}")))
}
