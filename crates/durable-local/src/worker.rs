//! The worker: receives wake-ups, drives runs, keeps the store in order.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use durable::{
    Begin, Clock, Delivery, Disposition, Error, Gate, Lease, Outcome, Ports, Result, RunId, Runnable,
    Settings, after, drive, seconds,
};
use jiff::Timestamp;
use tokio::{
    sync::Mutex,
    task::{Id, JoinSet},
    time::{MissedTickBehavior, interval},
};

use crate::{
    SystemClock,
    liveness::{self, Liveness},
    messages::{self, Message},
    schedule::Schedule,
    store::{Store, ms},
};

/// Messages that other processes write are noticed after this long.
const POLL: Duration = Duration::from_millis(50);

/// How often the store is put in order.
const UPKEEP: Duration = seconds(1);

/// How often it is noted that this was done: a write each time.
const NOTED: Duration = seconds(30);

/// How many times a message may fail before it goes to the dead letters.
const RECEIVES: u32 = 20;

/// Runs workflows whose wake-ups are in a store.
#[derive(Debug)]
pub struct Worker {
    store: Store,
    ports: Ports,
    settings: Settings,
    runnables: Arc<HashMap<String, Runnable>>,
    schedules: Vec<Schedule>,
    parallelism: usize,
}

impl Worker {
    /// A worker for these workflows, which drives up to 64 runs at once. Fails when a schedule cannot be read.
    pub fn new(store: Store, ports: Ports, settings: Settings, runnables: Vec<Runnable>) -> Result<Self> {
        let schedules = runnables.iter().map(Schedule::of).collect::<Result<Vec<_>>>()?;
        let by_name = |runnable: Runnable| (runnable.definition().name.clone(), runnable);
        Ok(Self {
            store,
            ports,
            settings,
            runnables: Arc::new(runnables.into_iter().map(by_name).collect()),
            schedules: schedules.into_iter().flatten().collect(),
            parallelism: 64,
        })
    }

    /// How many runs are driven at once.
    #[must_use]
    pub fn parallelism(mut self, runs: usize) -> Self {
        self.parallelism = runs.max(1);
        self
    }

    /// When which workflow is started next by its schedule.
    pub fn next_scheduled(&self, now: Timestamp) -> Vec<(String, Timestamp)> {
        self.schedules
            .iter()
            .filter_map(|schedule| Some((schedule.workflow().to_owned(), schedule.next(now)?)))
            .collect()
    }

    /// Works until `stop` resolves; then receives nothing more, and gives the runs at work ten seconds to suspend or end.
    /// What they leave is taken up by the next worker.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<()> {
        let liveness = Liveness::enter(&self.store)?;
        let workflows = serde_json::to_string(&self.runnables.keys().collect::<Vec<_>>())?;
        let mut at_work: JoinSet<()> = JoinSet::new();
        let mut held: HashMap<Id, i64> = HashMap::new();
        let upkeep =
            Upkeep { worker: &self, last_kept: Mutex::new(SystemClock.now()), last_noted: Mutex::default() };
        let mut tick = interval(UPKEEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = std::pin::pin!(stop);
        loop {
            let now = SystemClock.now();
            let received = self.store.receive(&workflows, self.parallelism - at_work.len(), now).await;
            let (messages, next) = received.unwrap_or_else(|error| {
                tracing::error!(%error, "cannot receive");
                (Vec::new(), None)
            });
            for message in messages {
                let id = message.id;
                let job = Job {
                    store: self.store.clone(),
                    ports: self.ports.clone(),
                    settings: self.settings.clone(),
                };
                let Some(runnable) = self.runnables.get(&message.workflow).cloned() else { continue };
                held.insert(at_work.spawn(async move { job.carry_out(&runnable, message).await }).id(), id);
            }
            let full = at_work.len() >= self.parallelism;
            let again = next.filter(|_| !full).map_or(after(now, POLL), |next| next.min(after(now, POLL)));
            tokio::select! {
                () = &mut stop => break,
                () = self.store.messages().notified(), if !full => {}
                () = SystemClock.sleep_until(again), if !full => {}
                Some(ended) = at_work.join_next_with_id() => {
                    held.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
                }
                _ = tick.tick() => upkeep.run(held.values().copied().collect()).await,
            }
        }
        let all_ended = async { while at_work.join_next().await.is_some() {} };
        // Whoever takes longer is dropped, as in a crash, and replayed.
        let _ = tokio::time::timeout(seconds(10), all_ended).await;
        drop(liveness);
        Ok(())
    }
}

/// What has to be done from time to time.
struct Upkeep<'a> {
    worker: &'a Worker,
    last_kept: Mutex<Timestamp>,
    last_noted: Mutex<Option<Timestamp>>,
}

impl Upkeep<'_> {
    async fn run(&self, held: Vec<i64>) {
        if let Err(error) = self.try_run(held).await {
            tracing::error!(%error, "upkeep failed");
        }
    }

    async fn try_run(&self, held: Vec<i64>) -> Result<()> {
        let (store, now) = (&self.worker.store, SystemClock.now());
        let mut last_kept = self.last_kept.lock().await;
        if after(*last_kept, messages::VISIBILITY / 3) <= now {
            store.keep(held, now).await?;
            *last_kept = now;
        }
        liveness::reap(store, now).await?;
        sweep(store, now).await?;
        let mut last_noted = self.last_noted.lock().await;
        if last_noted.is_none_or(|last| after(last, NOTED) <= now) {
            store.note_sweep(now).await?;
            *last_noted = Some(now);
        }
        for schedule in &self.worker.schedules {
            schedule.fire(store, now).await?;
        }
        Ok(())
    }
}

/// Runs that have not ended and that nothing would ever wake. One that waits for the end of a pause is woken by that.
const FORGOTTEN: &str = "select workflow, id from runs where status in ('queued', 'running', 'waiting')
         and coalesce(lease_until, 0) <= ?
         and not (status = 'queued' and exists (select 1 from pauses where pauses.workflow = runs.workflow))
         and not exists (select 1 from messages where run_id = runs.id)
         and not exists (select 1 from members where run_id = runs.id and place = 'waiting')";

/// Mends what a process left undone when it died between two writes: a slot whose run has ended goes to the next in line,
/// and a run that nothing would wake is woken.
async fn sweep(store: &Store, now: Timestamp) -> Result<()> {
    let left = store
        .read(|db| {
            let mut query = db.prepare_cached(
                // From the few members to their runs, never from all the runs that have ended: `cross` keeps that order.
                "select members.key, run_id, slots from members cross join runs on runs.id = run_id
                 where status in ('completed', 'failed', 'cancelled')",
            )?;
            let rows = query.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, RunId::from_text(row.get::<_, String>(1)?), row.get(2)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })
        .await?;
    for (key, run, slots) in left {
        store.release(&key, slots, &run).await?;
    }
    let forgotten = store.read(move |db| db.prepare_cached(FORGOTTEN)?.exists([ms(now)])).await?;
    if forgotten {
        store
            .write(move |db| {
                let sql = format!(
                    "insert into messages (workflow, run_id, visible_at) select *, ?1 from ({FORGOTTEN})"
                );
                db.prepare_cached(&sql)?.execute([ms(now)])
            })
            .await?;
    }
    Ok(())
}

/// One message and what it takes to carry it out.
struct Job {
    store: Store,
    ports: Ports,
    settings: Settings,
}

impl Job {
    async fn carry_out(&self, runnable: &Runnable, message: Message) {
        let delivery = Delivery::Resume(message.run.clone());
        let driven = drive(runnable, &self.ports, &self.settings, delivery, None).await;
        let (id, run) = (message.id, message.run.clone());
        let settled = match driven {
            Ok(Disposition::Done) => self.store.delete(id).await,
            Ok(Disposition::Later(at)) => self.store.defer(id, at).await,
            Err(error) if message.receives >= RECEIVES => self.give_up(message, &error).await,
            Err(error) => {
                tracing::warn!(%run, %error, "will try again");
                let delay = Duration::from_millis(250 << message.receives.min(8));
                self.store.return_at(id, after(SystemClock.now(), delay)).await
            }
        };
        if let Err(error) = settled {
            // The message comes back by itself when its visibility ends.
            tracing::error!(%run, %error, "cannot settle a message");
        }
    }

    /// The run fails with the reason, and the message goes to the dead letters.
    async fn give_up(&self, message: Message, error: &Error) -> Result<()> {
        let reason = format!("given up after {RECEIVES} deliveries: {error}");
        let now = SystemClock.now();
        let journal = &self.ports.journal;
        if let Begin::Leased(run) = journal.resume(&message.run, now, after(now, self.settings.lease)).await?
        {
            let lease = Lease { run: run.id, epoch: run.epoch };
            journal.finish(&lease, &Outcome::Failed(Error::fatal(&reason)), None, now).await?;
        }
        self.store.bury(message, reason, now).await
    }
}
