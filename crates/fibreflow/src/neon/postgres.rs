//! Neon over the PostgreSQL protocol.

use std::{collections::HashSet, future::Future, pin::Pin};

use async_trait::async_trait;
use durable::{Error, Result, seconds};
use futures::future::join;
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Client, Config, NoTls, config::SslMode, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Neon, Page, Span, reading};
use crate::{mirror::Table, vlm::Evaluation};

/// A PostgreSQL database at an address.
///
/// Neon counts its connections: there is one an operation, closed at its end. TLS is used when the address asks for it
/// (`sslmode=require`), and then the server's certificate is checked. What is mirrored is read in single statements without a
/// name, each complete in itself: a pooler may hand each to another server.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// Parsed anew for each connection: the parsed form would show the password when printed.
    url: SecretString,
}

type PgResult<T> = Result<T, tokio_postgres::Error>;

impl Postgres {
    /// The database at `postgresql://user:password@host/name?sslmode=…`. Connects when it is first used.
    pub fn new(url: SecretString) -> Result<Self> {
        let postgres = Self { url };
        postgres.config()?;
        Ok(postgres)
    }

    fn config(&self) -> Result<Config> {
        let mut config: Config = self.url.expose_secret().parse().map_err(|_| {
            Error::fatal(
                "NEON_DATABASE_URL: expected postgresql://user:password@host/database?sslmode=require",
            )
        })?;
        // A database that sleeps takes seconds to wake.
        config.connect_timeout(seconds(30)).application_name("fibreflow");
        Ok(config)
    }

    async fn connect(&self) -> Result<(Client, Connection)> {
        let config = self.config()?;
        if config.get_ssl_mode() == SslMode::Require {
            let (client, connection) = config.connect(tls()).await.map_err(|error| explain(&error))?;
            Ok((client, Box::pin(connection)))
        } else {
            let (client, connection) = config.connect(NoTls).await.map_err(|error| explain(&error))?;
            Ok((client, Box::pin(connection)))
        }
    }
}

/// What moves a client's requests and answers; it ends when its client is gone.
type Connection = Pin<Box<dyn Future<Output = PgResult<()>> + Send>>;

/// Does something with a client, which it must drop, while its connection is driven beside it.
async fn over<T>(connection: Connection, work: impl Future<Output = Result<T>>) -> Result<T> {
    join(work, connection).await.0
}

#[async_trait]
impl Neon for Postgres {
    async fn page(&self, table: &Table, span: &Span) -> Result<Page> {
        let (client, connection) = self.connect().await?;
        over(connection, async move { reading::page(&client, table, span).await }).await
    }

    async fn existing(&self, table: &Table, keys: &[String]) -> Result<HashSet<String>> {
        let (client, connection) = self.connect().await?;
        over(connection, async move { reading::existing(&client, table, keys).await }).await
    }

    async fn store(&self, evaluation: &Evaluation) -> Result<()> {
        let steps = serde_json::to_value(&evaluation.step_results)?;
        let (client, connection) = self.connect().await?;
        over(
            connection,
            async move { store(&client, evaluation, steps).await.map_err(|error| explain(&error)) },
        )
        .await
    }
}

async fn store(client: &Client, evaluation: &Evaluation, steps: serde_json::Value) -> PgResult<()> {
    // An evaluation that is stored again, after a crash, has not been sent to anybody yet either way.
    client
        .execute(
            "insert into foto_ai_reviews
                 (dr_number, overall_status, average_score, total_steps, passed_steps, step_results, markdown_report,
                  evaluation_date, created_at, updated_at)
             values ($1, $2, $3::float8::numeric(4, 2), $4, $5, $6, $7, now(), now(), now())
             on conflict (dr_number) do update set
                 overall_status = excluded.overall_status, average_score = excluded.average_score,
                 total_steps = excluded.total_steps, passed_steps = excluded.passed_steps,
                 step_results = excluded.step_results, markdown_report = excluded.markdown_report,
                 feedback_sent = false, feedback_sent_at = null,
                 evaluation_date = excluded.evaluation_date, updated_at = excluded.updated_at",
            &[
                &evaluation.dr_number,
                &evaluation.overall_status.as_str(),
                &evaluation.average_score,
                &evaluation.total_steps,
                &evaluation.passed_steps,
                &steps,
                &evaluation.markdown_report,
            ],
        )
        .await?;
    Ok(())
}

fn tls() -> MakeRustlsConnect {
    // Another part of the program may have chosen a provider already; then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    MakeRustlsConnect::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// What an error of the database's means. Its text never holds the address.
pub(super) fn explain(error: &tokio_postgres::Error) -> Error {
    let text = match error.as_db_error() {
        Some(refused) => format!("Neon: {}: {}", refused.code().code(), refused.message()),
        None => format!(
            "Neon: {error}{}",
            std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default()
        ),
    };
    // The client has no names for these two, only words. No attempt mends them: a person must.
    let distrusted = ["server does not support TLS", "invalid peer certificate"];
    if distrusted.iter().any(|words| text.contains(words)) {
        return Error::fatal(text);
    }
    match error.code() {
        Some(
            &(SqlState::INVALID_PASSWORD
            | SqlState::INVALID_AUTHORIZATION_SPECIFICATION
            | SqlState::INVALID_CATALOG_NAME
            | SqlState::UNDEFINED_TABLE
            | SqlState::UNDEFINED_COLUMN
            | SqlState::UNDEFINED_FUNCTION
            | SqlState::SYNTAX_ERROR
            | SqlState::DATATYPE_MISMATCH
            | SqlState::INSUFFICIENT_PRIVILEGE),
        ) => Error::fatal(text),
        _ => Error::new(text),
    }
}
