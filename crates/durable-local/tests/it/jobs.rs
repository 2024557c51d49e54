//! What is left to workers, as two processes on one file see it.

use std::collections::BTreeSet;

use durable::{Clock, Jobs, Payload, RunId, StepId, after, callback::Token, job::Job, seconds};
use durable_local::{Store, SystemClock};
use futures::future::join_all;

fn job(number: u32) -> Job {
    let step = StepId { name: "work/1.1".into(), nth: number };
    let now = SystemClock.now();
    Job {
        token: Token { run: RunId::of("w", "1"), step, attempt: 1 },
        workflow: "w".into(),
        at_most_once: true,
        start_by: now,
        end_by: now,
        limit_ms: 1,
        work: Payload::Json("{}".into()),
    }
}

fn stores(home: &tempfile::TempDir) -> [Store; 2] {
    [Store::open(home.path(), []).unwrap(), Store::open(home.path(), []).unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_to_one_of_many_and_comes_again_when_that_one_is_silent() {
    let home = tempfile::tempdir().unwrap();
    let stores = stores(&home);
    assert!(stores[0].receive_job(seconds(60)).await.unwrap().is_none());
    for number in 1..=20 {
        stores[0].post(&job(number)).await.unwrap();
    }
    assert!(stores[1].oldest_job().await.unwrap().is_some());
    let received = join_all((0..40).map(|n| stores[n % 2].receive_job(seconds(60)))).await;
    let received: Vec<_> = received.into_iter().filter_map(|received| received.unwrap()).collect();
    let numbers: BTreeSet<_> = received.iter().map(|received| received.job.token.step.nth).collect();
    assert_eq!((received.len(), numbers.len()), (20, 20));
    assert_eq!(stores[0].oldest_job().await.unwrap(), None, "all are at work");

    stores[0].return_job(received[0].id, SystemClock.now()).await.unwrap();
    let again = stores[1].receive_job(seconds(60)).await.unwrap().unwrap();
    assert_eq!(again.job, received[0].job);
    stores[1].delete_job(again.id).await.unwrap();
    stores[1].return_job(again.id, after(SystemClock.now(), seconds(0))).await.unwrap();
    assert!(stores[0].receive_job(seconds(60)).await.unwrap().is_none(), "what is deleted stays away");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_makes_a_claim_and_whoever_saw_an_older_one_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let stores = stores(&home);
    let claims = join_all((0..40).map(|n| stores[n % 2].swap_claim("job", n.to_string(), None))).await;
    let made: Vec<_> =
        claims.iter().enumerate().filter(|(_, made)| *made.as_ref().unwrap() == Some(1)).collect();
    assert_eq!(made.len(), 1);
    let standing = stores[1].claim("job").await.unwrap().unwrap();
    assert_eq!((standing.claim, standing.version), (made[0].0.to_string(), 1));

    let changes = join_all((0..40).map(|n| stores[n % 2].swap_claim("job", "next".into(), Some(1)))).await;
    assert_eq!(changes.iter().filter(|changed| changed.as_ref().unwrap().is_some()).count(), 1);
    assert_eq!(stores[0].swap_claim("job", "late".into(), Some(1)).await.unwrap(), None);
    assert_eq!(stores[0].claim("other").await.unwrap(), None);
}
