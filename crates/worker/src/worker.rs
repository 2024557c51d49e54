//! Takes jobs and sees each through, until it is told to stop.

use std::{fs::File, future::Future, pin::pin, sync::Arc};

use durable::{Clock, Error, Result, after, seconds};
use durable_local::SystemClock;
use futures::future::{Either, select};
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    config::Config,
    locks::{AtWork, Locks},
    queue::{Delivery, Queue},
    request::Requests,
    room::Rooms,
    stop::Stop,
    task::{Bench, Entered},
};

/// Does what workflows leave to it.
#[derive(Debug)]
pub struct Worker {
    bench: Arc<Bench>,
    stop: Stop,
    _alone: File,
}

impl Worker {
    /// A worker on a queue. Fails when another one works in the same folder.
    pub fn new(config: Config, queue: Arc<dyn Queue>) -> Result<Self> {
        let rooms = Rooms::open(&config.state)
            .map_err(|error| error.context(format!("state: {}", config.state.display())))?;
        let alone = File::create(config.state.join("lock"))?;
        alone.try_lock().map_err(|_| {
            Error::fatal(format!(
                "state: another worker works in {}: give each its own",
                config.state.display()
            ))
        })?;
        let requests = Requests::new(config.services.clone())?;
        let (stop, stopping) = Stop::new();
        let (locks, at_work) = (Locks::default(), AtWork::default());
        // A name that was copied to another machine is not the same worker.
        let identity = format!("{}-{}", config.name, rooms.identity()?);
        let bench = Bench { config, identity, queue, rooms, requests, locks, at_work, stopping };
        Ok(Self { bench: Arc::new(bench), stop, _alone: alone })
    }

    /// Works until `stop` resolves; then takes no more jobs, and gives back those that take longer than the grace that the
    /// configuration has for them.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<()> {
        let mut tasks = JoinSet::new();
        let mut stop = pin!(stop);
        // What was begun before a restart comes first: nothing that excludes it may begin in between.
        for delivery in self.begun()? {
            let (entered, has_entered) = oneshot::channel();
            tasks.spawn(carry_out(self.bench.clone(), delivery, Some(entered)));
            let _ = has_entered.await;
        }
        loop {
            while tasks.try_join_next().is_some() {}
            if tasks.len() >= self.bench.config.parallelism {
                match select(stop.as_mut(), pin!(tasks.join_next())).await {
                    Either::Left(_) => break,
                    Either::Right(_) => continue,
                }
            }
            let received = self.bench.queue.receive(self.bench.config.lease);
            match select(stop.as_mut(), pin!(received)).await {
                Either::Left(_) => break,
                Either::Right((Ok(Some(delivery)), _)) => {
                    tasks.spawn(carry_out(self.bench.clone(), delivery, None));
                }
                Either::Right((Ok(None), _)) => {}
                Either::Right((Err(error), _)) => {
                    tracing::warn!(%error, "cannot receive jobs");
                    let pause = SystemClock.sleep_until(after(SystemClock.now(), seconds(2)));
                    if matches!(select(stop.as_mut(), pause).await, Either::Left(_)) {
                        break;
                    }
                }
            }
        }
        tracing::info!(jobs = tasks.len(), "stopping: no more jobs are taken");
        self.stop.within(self.bench.config.grace);
        while tasks.join_next().await.is_some() {}
        Ok(())
    }

    /// What an earlier worker began here.
    fn begun(&self) -> Result<Vec<Delivery>> {
        let mut begun = Vec::new();
        for room in self.bench.rooms.begun()? {
            match room.delivery() {
                Some(delivery) => begun.push(delivery),
                // It died before it had noted which job this is for: nothing was begun.
                None => self.bench.rooms.leave(&room),
            }
        }
        Ok(begun)
    }
}

async fn carry_out(bench: Arc<Bench>, delivery: Delivery, entered: Entered) {
    if let Err(error) = bench.carry_out(&delivery, entered).await {
        // The job comes again when its visibility ends.
        tracing::error!(job = %delivery.job.token, %error, "cannot see a job through");
    }
}
