//! Messages that were given up, in the dead-letter queues of the workflows' queues.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use durable::{Cursor, DeadLetter, DeadLetters, Error, LARGEST_PAGE, Page, PageRequest, Redriven, Result};
use futures::future::try_join_all;
use jiff::Timestamp;

use crate::{
    Aws,
    bury::{REASON, RECEIVES},
    failure::failed,
    message,
    settings::Queue,
};

/// How often a queue is asked, ten letters at a time, for those to show or for one of them.
const ROUNDS: usize = 20;

/// Letters that were shown are out of sight for so many seconds, so that none is shown twice; then they are given back.
const OUT_OF_SIGHT: i32 = 20;

#[async_trait]
impl DeadLetters for Aws {
    async fn dead_letters(&self, workflow: Option<&str>, page: &PageRequest) -> Result<Page<DeadLetter>> {
        let names =
            self.settings.queues.keys().filter(|name| workflow.is_none_or(|workflow| workflow == *name));
        let of_each = try_join_all(names.map(|name| async move {
            let Some(url) = self.dead_letter_queue(name).await? else { return Ok(Vec::new()) };
            let seen = self.look_through(&url, |_| false).await?;
            self.give_back(&url, &seen).await?;
            Ok::<_, Error>(seen.iter().map(|message| letter(name, message)).collect::<Vec<_>>())
        }));
        let mut letters: Vec<_> = of_each.await?.into_iter().flatten().collect();
        letters.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        let cursor = |letter: &DeadLetter| Cursor::of(letter.at.unwrap_or_default(), &letter.id);
        if let Some(after) = &page.after {
            let (at, id) = after.parts()?;
            let place =
                |letter: &DeadLetter| (letter.at.unwrap_or_default().as_millisecond(), letter.id.clone());
            letters.retain(|letter| place(letter) < (at.as_millisecond(), id.clone()));
        }
        Ok(Page::of(letters, page.size(), cursor))
    }

    async fn redrive(&self, id: &str, _now: Timestamp) -> Result<Option<Redriven>> {
        let Some((workflow, url, message)) = self.find(id).await? else { return Ok(None) };
        self.send_again(&workflow, &url, &message).await?;
        Ok(Some(Redriven::Sent))
    }

    async fn redrive_all(&self, workflow: &str, _now: Timestamp) -> Result<u64> {
        let Some(url) = self.dead_letter_queue(workflow).await? else { return Ok(0) };
        let mut redriven = 0;
        while redriven < LARGEST_PAGE {
            let letters = self.receive(&url).await?;
            if letters.is_empty() {
                break;
            }
            redriven += letters.len();
            try_join_all(letters.iter().map(|letter| self.send_again(workflow, &url, letter))).await?;
        }
        Ok(redriven as u64)
    }

    async fn discard(&self, id: &str) -> Result<bool> {
        let Some((_, url, message)) = self.find(id).await? else { return Ok(false) };
        self.drop_letter(&url, &message).await?;
        Ok(true)
    }
}

impl Aws {
    /// The address of the queue that a workflow's queue gives its messages up to: as the settings or its redrive policy say.
    pub(crate) async fn dead_letter_queue(&self, workflow: &str) -> Result<Option<String>> {
        let Queue { url, dead_letters, .. } = self.settings.queue(workflow)?;
        if dead_letters.is_some() {
            return Ok(dead_letters.clone());
        }
        let Some(policy) = self.attribute(url, QueueAttributeName::RedrivePolicy).await? else {
            return Ok(None);
        };
        let policy: serde_json::Value = serde_json::from_str(&policy)
            .map_err(|error| Error::fatal(format!("SQS: the redrive policy of {workflow}: {error}")))?;
        let name = policy["deadLetterTargetArn"].as_str().and_then(|arn| arn.rsplit(':').next());
        let Some(name) = name else { return Ok(None) };
        let output = self.clients.sqs().get_queue_url().queue_name(name).send().await;
        Ok(output.map_err(|error| failed("SQS: GetQueueUrl", error))?.queue_url)
    }

    async fn attribute(&self, url: &str, name: QueueAttributeName) -> Result<Option<String>> {
        let request = self.clients.sqs().get_queue_attributes().queue_url(url).attribute_names(name.clone());
        let output = request.send().await.map_err(|error| failed("SQS: GetQueueAttributes", error))?;
        Ok(output
            .attributes
            .and_then(|mut attributes| attributes.remove(&name))
            .filter(|text| !text.is_empty()))
    }

    /// Sent before it is deleted: whoever dies in between sends it twice, and its run is one all the same.
    async fn send_again(&self, workflow: &str, url: &str, letter: &Message) -> Result<()> {
        self.send(workflow, letter.body.clone().unwrap_or_default(), 0, 0).await?;
        self.drop_letter(url, letter).await
    }

    /// Up to ten letters, which nobody else sees for a while.
    async fn receive(&self, url: &str) -> Result<Vec<Message>> {
        let request = self.clients.sqs().receive_message().queue_url(url).max_number_of_messages(10);
        let request = request
            .visibility_timeout(OUT_OF_SIGHT)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::All);
        let output = request.send().await.map_err(|error| failed("SQS: ReceiveMessage", error))?;
        Ok(output.messages.unwrap_or_default())
    }

    /// Receives letters until one is the one looked for, none is left, or enough were seen. They stay in their queue.
    async fn look_through(&self, url: &str, is_it: impl Fn(&Message) -> bool) -> Result<Vec<Message>> {
        let mut seen: HashMap<String, Message> = HashMap::new();
        for _ in 0..ROUNDS {
            let messages = self.receive(url).await?;
            let found = messages.iter().any(&is_it);
            let is_last = messages.is_empty();
            for message in messages {
                seen.insert(message.message_id.clone().unwrap_or_default(), message);
            }
            if found || is_last {
                break;
            }
        }
        Ok(seen.into_values().collect())
    }

    /// Puts letters back in sight.
    async fn give_back(&self, url: &str, letters: &[Message]) -> Result<()> {
        for batch in letters.chunks(10) {
            let entries = batch.iter().enumerate().filter_map(|(place, message)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(place.to_string());
                entry.receipt_handle(message.receipt_handle.as_deref()?).visibility_timeout(0).build().ok()
            });
            let request = self.clients.sqs().change_message_visibility_batch().queue_url(url);
            let output = request.set_entries(Some(entries.collect())).send().await;
            // One that was not given back comes back by itself.
            output.map_err(|error| failed("SQS: ChangeMessageVisibilityBatch", error))?;
        }
        Ok(())
    }

    /// A letter by its id; the others that were seen on the way are given back.
    async fn find(&self, id: &str) -> Result<Option<(String, String, Message)>> {
        for workflow in self.settings.queues.keys() {
            let Some(url) = self.dead_letter_queue(workflow).await? else { continue };
            let is_it = |message: &Message| message.message_id.as_deref() == Some(id);
            let (mut found, others): (Vec<_>, Vec<_>) =
                self.look_through(&url, is_it).await?.into_iter().partition(is_it);
            self.give_back(&url, &others).await?;
            if let Some(message) = found.pop() {
                return Ok(Some((workflow.clone(), url, message)));
            }
        }
        Ok(None)
    }

    async fn drop_letter(&self, url: &str, message: &Message) -> Result<()> {
        let receipt = message.receipt_handle.clone().unwrap_or_default();
        let deleted = self.clients.sqs().delete_message().queue_url(url).receipt_handle(receipt).send().await;
        deleted.map_err(|error| failed("SQS: DeleteMessage", error)).map(drop)
    }
}

fn letter(workflow: &str, message: &Message) -> DeadLetter {
    let of_sqs = |name| message.attributes.as_ref().and_then(|all| all.get(&name)).map(String::as_str);
    let ours = |name| message.message_attributes.as_ref()?.get(name)?.string_value.clone();
    let body = message.body.as_deref().unwrap_or_default();
    let (run, reason) = match message::of_text(body, workflow) {
        Ok(asked) => (Some(asked.run(workflow)), FAILED.to_owned()),
        Err(error) => (None, error.message().to_owned()),
    };
    let receives = ours(RECEIVES);
    let receives =
        receives.as_deref().or_else(|| of_sqs(MessageSystemAttributeName::ApproximateReceiveCount));
    DeadLetter {
        id: message.message_id.clone().unwrap_or_default(),
        workflow: workflow.to_owned(),
        run,
        reason: ours(REASON).unwrap_or(reason),
        at: of_sqs(MessageSystemAttributeName::SentTimestamp)
            .and_then(|ms| ms.parse().ok())
            .and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        receives: receives.and_then(|count| count.parse().ok()),
        body: Some(body.to_owned()),
    }
}

/// SQS has moved it and does not say why, as it does when a function dies of it; the function's log does, under the run's id.
const FAILED: &str = "its function failed each time it was delivered; its log says why";
