//! See and steer: what runs do, why they wait, and what to do about it, as pages and as an API over the engine's ports.
//!
//! - [`Console`] is what a server serves: pages under `/console`, the API under `/api/v1`. It knows no storage and no cloud.
//! - `access`: who gets in, and as what.
//! - `service`: each question and each deed, once, for the API and the pages; `views`: what they answer.
//! - `timeline`, `chart`, `json_view`, `mask`, `text`: how things are shown, as plain functions.
//! - `live`: pages and answers that stay up to date.

mod access;
mod api;
mod assets;
mod chart;
mod console;
mod json_view;
mod live;
mod markup;
pub mod mask;
mod pages;
mod problem;
mod query;
mod routes;
mod service;
pub mod text;
mod timeline;
mod views;

pub use access::{
    Access, Begun, EventKeys, Identity, Members, Provider, Role, Seal, is_loopback, loopback, same_origin,
    sign_in_link,
};
#[cfg(feature = "oidc")]
pub use access::{Oidc, OidcSettings};
pub use api::description;
pub use console::{Console, Live};
pub use mask::Mask;
pub use problem::field_of;
