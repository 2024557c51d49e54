//! Slack, through an incoming webhook.

use durable::Result;
use serde_json::json;

use crate::http::Endpoint;

/// A channel that is told things.
#[derive(Debug, Clone)]
pub struct Slack {
    webhook: Endpoint,
}

impl Slack {
    /// The channel behind a webhook. Its whole address is a secret; no error shows more than the host.
    pub fn new(webhook: Endpoint) -> Self {
        Self { webhook }
    }

    /// Posts a text.
    pub async fn notify(&self, text: &str) -> Result<()> {
        self.webhook.post("", &json!({ "text": text })).await.map(drop)
    }
}
