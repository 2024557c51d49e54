//! Which workflows start no new runs.

use async_trait::async_trait;
use durable::{Pause, Pauses, Result};
use jiff::Timestamp;
use rusqlite::params;

use crate::{
    store::{Store, ms, time},
    writer::storage,
};

#[async_trait]
impl Pauses for Store {
    async fn is_paused(&self, workflow: &str, _fresh: bool) -> Result<bool> {
        // So quick that a thread of its own would cost more.
        let db = self.reader();
        let mut query = db.prepare_cached("select 1 from pauses where workflow = ?").map_err(storage)?;
        query.exists([workflow]).map_err(storage)
    }

    async fn pause(&self, pause: &Pause) -> Result<bool> {
        let pause = pause.clone();
        self.write(move |db| {
            let mut insert =
                db.prepare_cached("insert into pauses values (?, ?, ?) on conflict do nothing")?;
            Ok(insert.execute(params![pause.workflow, ms(pause.since), pause.by])? == 1)
        })
        .await
    }

    async fn unpause(&self, workflow: &str, now: Timestamp) -> Result<bool> {
        let workflow = workflow.to_owned();
        let was_paused = self
            .write(move |db| {
                let gone =
                    db.prepare_cached("delete from pauses where workflow = ?")?.execute([&workflow])?;
                if gone == 1 {
                    db.prepare_cached(WAKE)?.execute(params![ms(now), workflow])?;
                }
                Ok(gone == 1)
            })
            .await?;
        self.messages().notify_one();
        Ok(was_paused)
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        self.look(|db| {
            let mut query = db.prepare_cached("select workflow, since, by from pauses order by workflow")?;
            let pauses = query.query_map([], |row| {
                Ok(Pause { workflow: row.get(0)?, since: time(row.get(1)?), by: row.get(2)? })
            })?;
            pauses.collect()
        })
        .await
    }
}

/// Wakes what waits for the end of a pause, in the order in which it came: with the end of the pause, or not at all.
const WAKE: &str = "insert into messages (workflow, run_id, visible_at)
     select workflow, id, ?1 from runs where workflow = ?2 and status = 'queued'
         and not exists (select 1 from messages where run_id = runs.id)
         and not exists (select 1 from members where run_id = runs.id and place = 'waiting')
     order by created_at, id";
