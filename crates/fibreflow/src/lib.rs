//! FibreFlow's events and the services its workflows talk to.
//!
//! Each client says of every failure whether trying again can help and whether the request may have had its effect; that is
//! all the engine needs to know. What the services answer, and how they fail, is in their sandbox stand-ins ([`sandbox`]).

pub mod config;
pub mod convex;
pub mod events;
pub mod harness;
pub mod http;
pub mod mirror;
pub mod neon;
pub mod phone;
pub mod photos;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod slack;
pub mod vlm;
pub mod whatsapp;
pub mod work;
