//! A PostgreSQL for a test. Without PostgreSQL such a test fails.

use std::{os::unix::fs::PermissionsExt, panic::AssertUnwindSafe, path::Path};

use fibreflow::{neon::Postgres, sandbox::postgres::PostgresSandbox};
use futures::{FutureExt, future::join};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls, Row};
use url::Url;

/// A home that the server's user may enter too.
pub(crate) fn home() -> TempDir {
    let everybody = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().permissions(everybody).tempdir().unwrap()
}

/// Runs a test with a server, and stops the server however the test ends.
pub(crate) async fn with_server(home: &Path, test: impl AsyncFnOnce(&PostgresSandbox)) {
    let server = PostgresSandbox::start(home).await.unwrap();
    let result = AssertUnwindSafe(test(&server)).catch_unwind().await;
    server.stop().await.unwrap();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// The client under test.
pub(crate) fn neon(url: &str) -> Postgres {
    Postgres::new(SecretString::from(url)).unwrap()
}

/// The address with something changed.
pub(crate) fn changed(server: &PostgresSandbox, change: impl FnOnce(&mut Url)) -> String {
    let mut url = Url::parse(server.url()).unwrap();
    change(&mut url);
    url.into()
}

/// The server's password.
pub(crate) fn password(server: &PostgresSandbox) -> String {
    Url::parse(server.url()).unwrap().password().unwrap().to_owned()
}

/// Does something as the database's owner.
pub(crate) async fn as_owner<T>(server: &PostgresSandbox, work: impl AsyncFnOnce(&Client) -> T) -> T {
    let (client, connection) = tokio_postgres::connect(server.url(), NoTls).await.unwrap();
    let work = async {
        let client = client;
        work(&client).await
    };
    join(work, connection).await.0
}

/// Runs statements as the database's owner.
pub(crate) async fn execute(server: &PostgresSandbox, statements: &str) {
    as_owner(server, async |client| client.batch_execute(statements).await.unwrap()).await;
}

/// The one row that a question has for an answer.
pub(crate) async fn row(server: &PostgresSandbox, question: &str) -> Row {
    as_owner(server, async |client| client.query_one(question, &[]).await.unwrap()).await
}

/// Asks until the answer is yes.
pub(crate) async fn until(server: &PostgresSandbox, question: &str) {
    for _ in 0..1_000 {
        if row(server, question).await.get(0) {
            return;
        }
    }
    panic!("never: {question}");
}
