//! Flow control in DynamoDB.

use async_trait::async_trait;
use durable::{
    Admission, Gate, Result, RunId, Slot, Window,
    singleton::{Claim, Claimant},
};
use jiff::Timestamp;

use crate::Aws;

#[async_trait]
impl Gate for Aws {
    async fn acquire(&self, key: &str, limit: u32, run: &RunId) -> Result<Slot> {
        self.take_slot(key, limit, run).await
    }

    async fn release(&self, key: &str, limit: u32, run: &RunId) -> Result<Vec<RunId>> {
        self.give_slot_back(key, limit, run).await
    }

    async fn admit(&self, key: &str, windows: &[Window], id: &str, now: Timestamp) -> Result<Admission> {
        self.reserve(key, windows, id, now).await
    }

    async fn withdraw(&self, key: &str, id: &str) -> Result<()> {
        self.take_back(key, id).await
    }

    async fn claim(&self, key: &str, claimant: &Claimant) -> Result<Claim> {
        self.claim_register(key, claimant).await
    }

    async fn acknowledge(&self, key: &str, ended: &[RunId]) -> Result<()> {
        self.acknowledge_register(key, ended).await
    }
}
