//! A worker in virtual time.

use std::{
    cell::RefCell,
    collections::HashMap,
    pin::pin,
    rc::Rc,
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    task::{Context as TaskContext, Waker},
};

use futures::future::{BoxFuture, Either, LocalBoxFuture, select};
use jiff::Timestamp;
use serde_json::Value;

use super::{memory::World, simulation::Woken};
use crate::{
    Error, Ports, Result, after,
    callback::{self, Answer, Token},
    job::{Job, SILENCE},
};

type Work = Rc<dyn Fn(Value) -> BoxFuture<'static, Result<Value>>>;

/// What became of a job, as its worker remembers it.
type Memory = Rc<RefCell<HashMap<String, Option<Result<Value>>>>>;

/// The jobs that a simulated worker has, and what it has done.
#[derive(Default)]
pub(super) struct Workshop {
    work: Option<Work>,
    memory: Memory,
    waiting: Vec<(Timestamp, Job)>,
    at_work: Vec<Bench>,
}

struct Bench {
    job: Job,
    future: LocalBoxFuture<'static, Result<()>>,
    woken: Arc<Woken>,
}

impl Workshop {
    pub(super) fn open(&mut self, work: impl Fn(Value) -> BoxFuture<'static, Result<Value>> + 'static) {
        self.work = Some(Rc::new(work));
    }

    pub(super) fn is_open(&self) -> bool {
        self.work.is_some()
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.at_work.is_empty()
    }

    pub(super) fn next_delivery(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|(at, _)| *at).min()
    }

    pub(super) fn take(&mut self, jobs: Vec<Job>, twice: bool, now: Timestamp) {
        for job in jobs {
            self.waiting.extend(twice.then(|| (now, job.clone())));
            self.waiting.push((now, job));
        }
    }

    /// Goes on with all there is to do. A job whose worker was `cut` off is delivered again at the time given.
    pub(super) fn poll(
        &mut self,
        world: &Arc<World>,
        ports: &Ports,
        again: Timestamp,
        mut cut: impl FnMut() -> bool,
    ) -> bool {
        let (Some(work), now) = (self.work.clone(), ports.clock.now()) else { return false };
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(at, _)| *at <= now);
        self.waiting = later;
        let mut polled = !due.is_empty();
        for (_, job) in due {
            // One of several deliveries is enough.
            if self.at_work.iter().any(|bench| bench.job.token == job.token) {
                continue;
            }
            let (work, memory) = (work.clone(), self.memory.clone());
            let future = Box::pin(carry_out(job.clone(), work, memory, world.clone(), ports.clone()));
            self.at_work.push(Bench { job, future, woken: Arc::new(Woken(AtomicBool::new(true))) });
        }
        let mut index = 0;
        while index < self.at_work.len() {
            let bench = &mut self.at_work[index];
            let mut ended = false;
            if bench.woken.0.swap(false, Ordering::Relaxed) {
                polled = true;
                let waker = Waker::from(bench.woken.clone());
                ended = bench.future.as_mut().poll(&mut TaskContext::from_waker(&waker)).is_ready();
            }
            if cut() {
                let bench = self.at_work.remove(index);
                self.waiting.push((again, bench.job));
            } else if ended {
                self.at_work.remove(index);
            } else {
                index += 1;
            }
        }
        polled
    }
}

async fn carry_out(job: Job, work: Work, memory: Memory, world: Arc<World>, ports: Ports) -> Result<()> {
    if world.is_withdrawn(&job.token) {
        return Ok(());
    }
    let name = job.token.to_string();
    let known = memory.borrow().get(&name).cloned();
    let result = match known {
        Some(Some(result)) => result,
        Some(None) if job.at_most_once => Err(Error::outcome_unknown("the worker died over it")),
        _ if ports.clock.now() >= job.start_by => return Ok(()),
        _ => {
            memory.borrow_mut().insert(name.clone(), None);
            let doing = work(job.work.load(&*ports.blobs).await?);
            let result = match select(doing, pin!(show_life(&job.token, &world, &ports))).await {
                Either::Left((result, _)) => result,
                Either::Right((withdrawn, _)) => return withdrawn,
            };
            memory.borrow_mut().insert(name, Some(result.clone()));
            result
        }
    };
    let answer = answer_of(&ports, &job.token, result).await?;
    callback::answer(&ports, &job.token, &answer).await.map(drop)
}

/// Signs of life, until the job is withdrawn.
async fn show_life(token: &Token, world: &World, ports: &Ports) -> Result<()> {
    loop {
        ports.clock.sleep_until(after(ports.clock.now(), SILENCE / 3)).await;
        if world.is_withdrawn(token) {
            return Ok(());
        }
        callback::answer(ports, token, &Answer::Alive).await?;
    }
}

async fn answer_of(ports: &Ports, token: &Token, result: Result<Value>) -> Result<Answer> {
    match result {
        Ok(value) => callback::done(ports, token, value.to_string()).await,
        Err(error) => Ok(Answer::Failed(error)),
    }
}
