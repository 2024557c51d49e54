//! Messages that were given up: each with the run that it was for, which failed over it.

use async_trait::async_trait;
use durable::{
    Cursor, DeadLetter, DeadLetters, Page, PageRequest, Redriven, Result, RunId, records_kept, run_again,
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    history::after,
    journal, messages,
    store::{Store, time},
};

#[async_trait]
impl DeadLetters for Store {
    async fn dead_letters(&self, workflow: Option<&str>, page: &PageRequest) -> Result<Page<DeadLetter>> {
        let (workflow, size) = (workflow.map(str::to_owned), page.size());
        let after = after(page)?.and_then(|(_, id)| id.parse::<i64>().ok());
        let letters = self.look(move |db| {
            let mut query = db.prepare_cached(
                "select id, workflow, run_id, reason, at from dead_letters
                 where (?1 is null or id < ?1) and (?2 is null or workflow = ?2) order by id desc limit ?3",
            )?;
            let limit = i64::try_from(size + 1).unwrap_or(i64::MAX);
            let letters = query.query_map(params![after, workflow, limit], |row| {
                Ok(DeadLetter {
                    id: row.get::<_, i64>(0)?.to_string(),
                    workflow: row.get(1)?,
                    run: Some(RunId::from_text(row.get::<_, String>(2)?)),
                    reason: row.get(3)?,
                    at: Some(time(row.get(4)?)),
                    receives: None,
                    body: None,
                })
            })?;
            letters.collect::<rusqlite::Result<Vec<_>>>()
        });
        Ok(Page::of(letters.await?, size, |letter| Cursor::of(letter.at.unwrap_or_default(), &letter.id)))
    }

    async fn redrive(&self, id: &str, now: Timestamp) -> Result<Option<Redriven>> {
        let Ok(id) = id.parse::<i64>() else { return Ok(None) };
        let redriven = self.write(move |db| redrive(db, id, now)).await?;
        self.messages().notify_one();
        Ok(redriven)
    }

    async fn redrive_all(&self, workflow: &str, now: Timestamp) -> Result<u64> {
        let workflow = workflow.to_owned();
        let redriven = self.write(move |db| {
            let mut query =
                db.prepare_cached("select id from dead_letters where workflow = ? order by id")?;
            let ids =
                query.query_map([workflow], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
            ids.into_iter().try_fold(0, |sum, id| Ok(sum + u64::from(redrive(db, id, now)?.is_some())))
        });
        let redriven = redriven.await?;
        self.messages().notify_one();
        Ok(redriven)
    }

    async fn discard(&self, id: &str) -> Result<bool> {
        let Ok(id) = id.parse::<i64>() else { return Ok(false) };
        self.write(move |db| {
            Ok(db.prepare_cached("delete from dead_letters where id = ?")?.execute([id])? == 1)
        })
        .await
    }
}

/// The run that failed over the letter goes on as another one, where it stood; one that has not ended is woken.
fn redrive(db: &Connection, id: i64, now: Timestamp) -> rusqlite::Result<Option<Redriven>> {
    let mut gone = db.prepare_cached("delete from dead_letters where id = ? returning run_id")?;
    let Some(run) = gone.query_row([id], |row| row.get::<_, String>(0)).optional()? else { return Ok(None) };
    let Some(run) = journal::read(db, &RunId::from_text(run))? else { return Ok(Some(Redriven::Sent)) };
    if !run.status.is_final() {
        messages::insert(db, &run.workflow, &run.id, now)?;
        return Ok(Some(Redriven::Sent));
    }
    let again = run_again(&run, &format!("dead-letter-{id}"), now);
    journal::create(db, &again, &records_kept(&journal::records(db, &run.id)?))?;
    messages::insert(db, &again.workflow, &again.id, now)?;
    Ok(Some(Redriven::Rerun { run: again.id }))
}

#[cfg(test)]
mod tests {
    use durable::{
        Begin, Checkpoint, Envelope, Error, History, Journal, Lease, Outcome, Payload, Run, StepId, StepKind,
        StepState, after, seconds,
    };

    use super::*;
    use crate::messages::Message;

    fn at(second: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, seconds(second))
    }

    fn done() -> Checkpoint {
        Checkpoint::new(
            StepId { name: "fetch".into(), nth: 1 },
            StepKind::Run,
            StepState::Completed { output: Payload::Json("1".into()) },
            at(1),
        )
    }

    /// A run that was given up after its first step, as the worker leaves it.
    async fn given_up(store: &Store, id: &str) -> Run {
        let event = Envelope { id: id.into(), name: "go".into(), data: 1.into(), sent_at: at(0) };
        let run = Run::queued("flow", event, at(0));
        store.begin(run.clone(), at(0), at(60)).await.unwrap();
        let lease = Lease { run: run.id.clone(), epoch: 1 };
        store.checkpoint(&lease, &done()).await.unwrap();
        store.finish(&lease, &Outcome::Failed(Error::fatal("given up")), None, at(2)).await.unwrap();
        let message = Message {
            id: 0,
            workflow: "flow".into(),
            run: run.id.clone(),
            received_at: run.created_at,
            receives: 20,
        };
        store.bury(message, "given up after 20 deliveries".into(), at(2)).await.unwrap();
        run
    }

    #[tokio::test]
    async fn a_run_that_was_given_up_goes_on_where_it_stood() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path(), []).unwrap();
        let run = given_up(&store, "1").await;
        let page = store.dead_letters(Some("flow"), &PageRequest::default()).await.unwrap();
        let [letter] = &page.items[..] else { panic!("one: {page:?}") };
        assert_eq!((letter.run.as_ref(), letter.at), (Some(&run.id), Some(at(2))));
        let Some(Redriven::Rerun { run: again }) = store.redrive(&letter.id, at(9)).await.unwrap() else {
            panic!("its run had ended")
        };
        assert_eq!(store.redrive(&letter.id, at(9)).await.unwrap(), None, "it is gone");
        assert_eq!(store.checkpoints(&again).await.unwrap(), [done()]);
        let Begin::Leased(leased) = store.resume(&again, at(10), at(60)).await.unwrap() else {
            panic!("it is due")
        };
        assert_eq!((leased.rerun_of, leased.event), (Some(run.id), run.event));
    }

    #[tokio::test]
    async fn all_of_a_workflow_are_redriven_or_one_is_dropped() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path(), []).unwrap();
        for id in ["1", "2", "3"] {
            given_up(&store, id).await;
        }
        let first = store.dead_letters(None, &PageRequest::first(2)).await.unwrap();
        let next = PageRequest { limit: 2, after: first.next };
        let rest = store.dead_letters(None, &next).await.unwrap();
        assert_eq!((first.items.len(), rest.items.len(), rest.next), (2, 1, None));
        assert!(store.discard(&rest.items[0].id).await.unwrap());
        assert!(!store.discard(&rest.items[0].id).await.unwrap() && !store.discard("x").await.unwrap());
        assert_eq!(store.redrive_all("other", at(9)).await.unwrap(), 0);
        assert_eq!(store.redrive_all("flow", at(9)).await.unwrap(), 2);
        let runs = store.runs_of_events(&["2".into(), "3".into()]).await.unwrap();
        assert!(runs.iter().all(|runs| runs.len() == 2), "each has a rerun");
    }
}
