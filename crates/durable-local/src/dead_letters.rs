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
