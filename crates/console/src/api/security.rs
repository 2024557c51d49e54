//! Who is asked for by the API, as its description says it.

use utoipa::openapi::{
    OpenApi,
    security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
};

use crate::access::SESSION_COOKIE;

/// The one operation that an event key is good for.
const WITH_EVENT_KEY: &str = "send_event";

/// Says of each operation how whoever asks says who they are.
pub(super) fn describe(api: &mut OpenApi) {
    let components = api.components.get_or_insert_default();
    for (name, scheme) in schemes() {
        components.add_security_scheme(name, scheme);
    }
    let operations = api.paths.paths.values_mut().flat_map(|path| {
        [&mut path.get, &mut path.post, &mut path.put, &mut path.delete, &mut path.patch]
            .into_iter()
            .flatten()
    });
    for operation in operations {
        let takes_key = operation.operation_id.as_deref() == Some(WITH_EVENT_KEY);
        let names = ["session", "signature"].into_iter().chain(takes_key.then_some("event_key"));
        let ways = names.map(|name| SecurityRequirement::new(name, Vec::<String>::new()));
        operation.security = Some(ways.collect());
    }
}

fn schemes() -> [(&'static str, SecurityScheme); 3] {
    let session = "Of somebody who has signed in at /console/sign-in. `fibreflow dev` asks for nothing: it listens on the \
                   loopback only.";
    let signature =
        "AWS Signature Version 4, service `lambda`, of a role or user that is named as a viewer or operator.";
    let key = "An event key: it sends events and nothing else.";
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some(key.to_owned());
    [
        (
            "session",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(SESSION_COOKIE, session))),
        ),
        (
            "signature",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description("Authorization", signature))),
        ),
        ("event_key", SecurityScheme::Http(bearer)),
    ]
}
