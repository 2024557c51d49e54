//! The Lambda function of whoever watches over WhatsApp.
// The SDK's futures are nested deeper than the compiler follows by itself.
#![recursion_limit = "256"]

use fibreflow::config::Settings;
use send_whatsapp::{Watch, watch};

#[tokio::main(flavor = "current_thread")]
async fn main() -> durable::Result<()> {
    durable_aws::serve(async || Ok(watch().with(Watch::from_settings(Settings::from_env()?)?))).await
}
