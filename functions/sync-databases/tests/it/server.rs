//! A PostgreSQL for a test that is not asynchronous. Without PostgreSQL such a test fails.

use std::{
    collections::HashSet,
    os::unix::fs::PermissionsExt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use fibreflow::sandbox::postgres::PostgresSandbox;
use futures::future::join;
use serde_json::{Map, Value};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

/// The server, and a runtime on which to wait for it.
pub(crate) struct Server {
    pub(crate) runtime: Arc<Runtime>,
    url: String,
}

/// Runs a test with a server, and stops the server however the test ends.
pub(crate) fn with_server(test: impl FnOnce(&Arc<Server>)) {
    // The server's user must enter it too.
    let everybody = std::fs::Permissions::from_mode(0o755);
    let home = tempfile::Builder::new().permissions(everybody).tempdir().unwrap();
    let runtime = Arc::new(Runtime::new().unwrap());
    let postgres = runtime.block_on(PostgresSandbox::start(home.path())).unwrap();
    let server = Arc::new(Server { runtime: runtime.clone(), url: postgres.url().to_owned() });
    let result = catch_unwind(AssertUnwindSafe(|| test(&server)));
    runtime.block_on(postgres.stop()).unwrap();
    if let Err(panic) = result {
        resume_unwind(panic);
    }
}

impl Server {
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    fn ask<T>(&self, work: impl AsyncFnOnce(&Client) -> T) -> T {
        self.runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
            let work = async {
                let client = client;
                work(&client).await
            };
            join(work, connection).await.0
        })
    }

    /// Runs statements as the database's owner.
    pub(crate) fn execute(&self, statements: &str) {
        self.ask(async |client| client.batch_execute(statements).await.unwrap());
    }

    /// Keys and documents.
    pub(crate) fn documents(&self, question: &str) -> Vec<(String, Map<String, Value>)> {
        let rows = self.ask(async |client| client.query(question, &[]).await.unwrap());
        let document = |row: tokio_postgres::Row| match row.get(1) {
            Value::Object(document) => (row.get(0), document),
            other => panic!("{other}"),
        };
        rows.into_iter().map(document).collect()
    }

    pub(crate) fn keys(&self, question: &str) -> HashSet<String> {
        let rows = self.ask(async |client| client.query(question, &[]).await.unwrap());
        rows.into_iter().map(|row| row.get(0)).collect()
    }
}
