//! Step records: each written once (I2), and only by whoever holds the run's lease (I9).
//!
//! The fence is a condition on the run's item, so a record is a transaction: the check of the fence, and the record, which
//! must not replace a final one. Two transactions that check one item stand in each other's way, so the branches of a run
//! that record at the same moment share one. Each record costs 4 write units, twice the plain write; kept inside the run's
//! item instead, records would cost less up to about 4 KB of them, and grow quadratically beyond.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use durable::{Checkpoint, Error, FINAL, Lease, Payload, Result, RunId, StepId, StepState, Written};

use crate::{
    failure::Reason,
    items::{Change, Item, Key, n, number, parsed, required, s},
    runs::{self, ALIVE},
    table::{Table, Transacted},
};

/// A transaction takes 100 parts; one is the fence.
const LARGEST_GROUP: usize = 99;

/// A transaction takes 4 MB.
const GROUP_BYTES: usize = 3_500_000;

/// Sort keys of steps begin with this.
pub(crate) const STEP: &str = "step#";

type Answer = Result<Written<Option<Checkpoint>>>;

/// One for each lease of this process.
#[derive(Debug, Default)]
pub(crate) struct Committers(Mutex<HashMap<RunId, Arc<Committer>>>);

impl Committers {
    /// The one of a lease; that of an earlier lease of the run is forgotten.
    pub(crate) fn of(&self, lease: &Lease) -> Arc<Committer> {
        let mut committers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(Committer::new(lease.clone()));
        let committer = committers.entry(lease.run.clone()).or_insert_with(fresh);
        if committer.lease.epoch < lease.epoch {
            *committer = fresh();
        }
        // A late call with an old lease gets one of its own, and is refused by the fence.
        if committer.lease == *lease { committer.clone() } else { fresh() }
    }

    pub(crate) fn forget(&self, lease: &Lease) {
        let mut committers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if committers.get(&lease.run).is_some_and(|committer| committer.lease == *lease) {
            committers.remove(&lease.run);
        }
    }
}

/// Records the steps of one lease, many at a time.
#[derive(Debug)]
pub(crate) struct Committer {
    lease: Lease,
    recorded: AtomicU64,
    waiting: Mutex<Vec<Arc<Entry>>>,
    /// Whoever holds it writes for all that wait.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Entry {
    record: StepRecord,
    answer: OnceLock<Answer>,
}

impl Committer {
    fn new(lease: Lease) -> Self {
        let (recorded, waiting) = (AtomicU64::new(0), Mutex::default());
        Self { lease, recorded, waiting, turn: tokio::sync::Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Arc<Entry>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that puts records in the order in which they were first written, across invocations.
    fn next(&self) -> u64 {
        (self.lease.epoch << 20) + self.recorded.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn prepare(&self, record: &Checkpoint) -> Result<StepRecord> {
        StepRecord::new(&self.lease.run, record, self.next())
    }

    pub(crate) async fn commit(&self, table: &Table, record: &Checkpoint) -> Answer {
        let entry = Arc::new(Entry { record: self.prepare(record)?, answer: OnceLock::new() });
        self.waiting().push(entry.clone());
        let _turn = self.turn.lock().await;
        loop {
            if let Some(answer) = entry.answer.get() {
                return answer.clone();
            }
            // Entries leave the list when they are answered: a caller that is dropped in the middle loses nobody's record.
            let group = group(&self.waiting());
            self.write(table, &group).await;
            self.waiting().retain(|entry| entry.answer.get().is_none());
        }
    }

    /// Writes a group; answers at least one of it.
    async fn write(&self, table: &Table, group: &[Arc<Entry>]) {
        let written = async {
            let mut parts = vec![fence(&self.lease).part(&table.name)?];
            for entry in group {
                parts.push(entry.record.change().part(&table.name)?);
            }
            table.transact(parts).await
        };
        match written.await {
            Err(error) => answer(group, |_| Some(Err(error.clone()))),
            Ok(Transacted::Done) => {
                answer(group, |_| Some(Ok(Written::Done(None))));
                self.answer_the_late(group);
            }
            Ok(Transacted::Refused(reasons)) => {
                if reasons.first().is_some_and(|(reason, _)| *reason == Reason::Condition) {
                    answer(group, |_| Some(Ok(Written::Fenced)));
                    return;
                }
                answer(group, |place| {
                    let (reason, found) = reasons.get(place + 1)?;
                    (*reason == Reason::Condition).then(|| standing(found.as_ref()))
                });
            }
        }
    }

    /// Whoever waits to record a step that has just got its final record is told that one.
    fn answer_the_late(&self, group: &[Arc<Entry>]) {
        let finals: HashMap<_, _> = group
            .iter()
            .filter(|entry| entry.record.checkpoint.state.is_final())
            .map(|entry| (&entry.record.key.sk, &entry.record.checkpoint))
            .collect();
        for late in self.waiting().iter().filter(|entry| entry.answer.get().is_none()) {
            if let Some(standing) = finals.get(&late.record.key.sk) {
                let _ = late.answer.set(Ok(Written::Done(Some((*standing).clone()))));
            }
        }
    }
}

fn answer(group: &[Arc<Entry>], answer: impl Fn(usize) -> Option<Answer>) {
    for (place, entry) in group.iter().enumerate() {
        if let Some(answer) = answer(place) {
            // One that was answered before, while its caller was gone, keeps that answer.
            let _ = entry.answer.set(answer);
        }
    }
}

/// Those that go together: from the first on, each step once, within what a transaction takes.
fn group(waiting: &[Arc<Entry>]) -> Vec<Arc<Entry>> {
    let (mut steps, mut bytes) = (HashSet::new(), 0);
    let mut group = Vec::new();
    for entry in waiting {
        bytes += entry.record.bytes();
        if group.len() == LARGEST_GROUP || (bytes > GROUP_BYTES && !group.is_empty()) {
            break;
        }
        if steps.insert(&entry.record.key.sk) {
            group.push(entry.clone());
        }
    }
    group
}

/// The record that stands, from the item that a refused write found.
pub(crate) fn standing(found: Option<&Item>) -> Answer {
    let found = found.ok_or_else(|| Error::new("DynamoDB: a refused record is not there"))?;
    Ok(Written::Done(Some(read(found)?.1)))
}

/// The condition that a lease still holds.
pub(crate) fn fence(lease: &Lease) -> Change {
    let mut values = vec![(":epoch", n(lease.epoch))];
    values.extend(runs::alive());
    Change {
        key: runs::key(&lease.run),
        update: String::new(),
        condition: format!("#epoch = :epoch AND {ALIVE}"),
        values,
    }
}

/// A record as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct StepRecord {
    key: Key,
    seq: u64,
    /// The record's JSON. An output is an attribute of its own: within JSON, its quotes would make it up to twice as long.
    json: String,
    output: Option<(&'static str, String)>,
    pub(crate) checkpoint: Checkpoint,
}

impl StepRecord {
    pub(crate) fn new(run: &RunId, checkpoint: &Checkpoint, seq: u64) -> Result<Self> {
        let mut bare = checkpoint.clone();
        let output = match &mut bare.state {
            StepState::Completed { output } => {
                let kept = runs::payload_attribute(output)?;
                *output = Payload::Json(String::new());
                Some(kept)
            }
            _ => None,
        };
        let json = serde_json::to_string(&bare)?;
        Ok(Self { key: key(run, &checkpoint.step), seq, json, output, checkpoint: checkpoint.clone() })
    }

    fn bytes(&self) -> usize {
        256 + self.key.sk.len() + self.json.len() + self.output.as_ref().map_or(0, |(_, text)| text.len())
    }

    /// Writes the record, unless the one there is has come further. One that is replaced keeps its number.
    pub(crate) fn change(&self) -> Change {
        let mut update = "SET #record = :record, #rank = :rank, #seq = if_not_exists(#seq, :seq)".to_owned();
        let mut values = vec![
            (":record", s(&self.json)),
            (":rank", n(self.checkpoint.rank())),
            (":seq", n(self.seq)),
            (":final", n(FINAL)),
        ];
        if let Some((name, text)) = &self.output {
            update = format!("{update}, #{name} = :output");
            values.push((":output", s(text)));
        }
        Change {
            key: self.key.clone(),
            update,
            condition: "attribute_not_exists(pk) OR (#rank <= :rank AND #rank < :final)".to_owned(),
            values,
        }
    }
}

pub(crate) fn key(run: &RunId, step: &StepId) -> Key {
    // Sort keys hold 1,024 bytes.
    let name =
        if step.name.len() <= 900 { step.name.clone() } else { RunId::of("step", &step.name).to_string() };
    Key::new(runs::partition(run), format!("{STEP}{name}#{}", step.nth))
}

/// A record, and its place in the order of first records.
pub(crate) fn read(item: &Item) -> Result<(i64, Checkpoint)> {
    let mut checkpoint: Checkpoint = parsed("record", required(item, "record")?)?;
    if let StepState::Completed { output } = &mut checkpoint.state {
        *output = runs::payload(item)?.ok_or_else(|| Error::fatal("a stored record lacks its output"))?;
    }
    Ok((number(item, "seq").unwrap_or(i64::MAX), checkpoint))
}
