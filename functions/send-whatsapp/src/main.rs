//! The Lambda function: batches from the workflow's queue, and direct invocations.
// The SDK's futures are nested deeper than the compiler follows by itself.
#![recursion_limit = "256"]

use std::sync::Arc;

use async_trait::async_trait;
use durable_aws::Note;
use fibreflow::{
    config::Settings,
    whatsapp::{Setting, Switch},
};
use send_whatsapp::{Services, workflow};

/// The kill switch as a note in the table: whoever may write it stops everything without a deployment. While nobody has
/// written it, it is on.
#[derive(Debug)]
struct NoteSwitch(Note);

#[async_trait]
impl Switch for NoteSwitch {
    async fn setting(&self) -> Setting {
        match self.0.text().await {
            Ok(None) => Setting::On,
            Ok(Some(text)) => Setting::read(&text),
            Err(error) => Setting::Off(format!("it cannot be read: {error}")),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> durable::Result<()> {
    durable_aws::serve(async || {
        let mut settings = Settings::from_env()?;
        // Where runs are kept in a file, there is no table: the switch is what the settings name.
        if let Some(note) = Box::pin(Note::from_env("whatsapp")).await {
            settings = settings.with_switch(Arc::new(NoteSwitch(note)));
        }
        Ok(workflow().with(Services::from_settings(settings)?))
    })
    .await
}
