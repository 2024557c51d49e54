//! What is where.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, HeaderValue, header},
    middleware::map_response,
    response::{Redirect, Response},
    routing::get,
};

use crate::{api, assets, console::Shared, pages};

/// The largest body that is read.
const LARGEST_BODY: usize = 2 * 1024 * 1024;

/// What a page may do: nothing but what it brings itself. No script or style stands in a page, none comes from elsewhere,
/// and no page elsewhere can put one of ours into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

pub(crate) fn router(console: Shared) -> Router {
    Router::new()
        .route("/console", get(async || Redirect::to("/console/runs")))
        .route("/console/assets/{name}", get(assets::serve))
        .merge(pages::router(&console))
        .merge(api::router(&console))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(map_response(harden))
        .with_state(console)
}

/// The headers that every answer has.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What somebody saw is not kept where somebody else may see it.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
