//! A cluster's server: made, started, taken over, stopped.

use std::{
    fmt::Display,
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use durable::{Error, Result, seconds};
use futures::future::join;
use tokio::{
    process::{Child, Command},
    time::timeout,
};
use tokio_postgres::{Client, Config, NoTls};

use super::{place::Place, programs::Programs, random};

/// The database's user and owner.
pub(super) const USER: &str = "fibreflow";

/// For a database that is small, used by few, and lost without harm when the machine loses its power. What was committed
/// survives the server's death all the same: it was handed to the operating system.
const SETTINGS: [&str; 12] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "shared_buffers=16MB",
    "max_connections=50",
    "wal_level=minimal",
    "max_wal_senders=0",
    "min_wal_size=8MB",
    "max_wal_size=64MB",
    "jit=off",
    "log_checkpoints=off",
    // Statements hold phone numbers.
    "log_min_error_statement=panic",
];

/// How long a server may take until it answers, and until it has ended.
const PATIENCE: Duration = seconds(30);

/// A cluster and the programs that serve it.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) place: Place,
    programs: Programs,
    data: PathBuf,
}

/// What a server says about itself in its folder.
#[derive(Debug, PartialEq, Eq)]
struct Postmaster {
    pid: u32,
    port: u16,
}

impl Cluster {
    pub(super) fn new(place: Place, programs: Programs) -> Self {
        let data = place.cluster.join("data");
        Self { place, programs, data }
    }

    /// Makes the cluster, unless there is one.
    pub(super) async fn make(&self, password: &str) -> Result<()> {
        if self.data.exists() {
            return Ok(());
        }
        tracing::info!(folder = %self.data.display(), "making a PostgreSQL cluster");
        self.clear()?;
        // Under a name of its own until it is complete: an `initdb` of a start that was killed may still be writing.
        let unfinished = self.place.cluster.join(format!("new-{}", random()?));
        let handed_over = unfinished.with_extension("password");
        self.place.hand_over(&handed_over, password)?;
        let made = self
            .programs
            .run(
                "initdb",
                &self.place,
                &[
                    "--no-sync",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--auth=scram-sha-256",
                    "--wal-segsize=1",
                    &format!("--username={USER}"),
                    &format!("--pwfile={}", handed_over.display()),
                    &format!("--pgdata={}", unfinished.display()),
                ],
            )
            .await;
        fs::remove_file(handed_over)?;
        made?;
        fs::rename(unfinished, &self.data)?;
        Ok(())
    }

    /// Removes the cluster, with whatever serves it.
    pub(super) async fn discard(&self) -> Result<()> {
        self.stop("immediate").await?;
        if self.data.exists() {
            fs::remove_dir_all(&self.data)?;
        }
        Ok(())
    }

    /// Removes what starts left that were killed.
    fn clear(&self) -> Result<()> {
        for entry in fs::read_dir(&self.place.cluster)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("new-") {
                let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
            }
        }
        Ok(())
    }

    /// The port of a server that answers: of the one that runs already, or else of a new one.
    pub(super) async fn serve(&self, password: &str) -> Result<u16> {
        // A server may have died of a port that another program took, or of what is left of one that was killed.
        for _ in 0..10 {
            if let Some(port) = self.running(password).await? {
                return Ok(port);
            }
            let port = self.port()?;
            let server = self.launch(port)?;
            if self.answers_before_it_ends(server, port, password).await? {
                return Ok(port);
            }
            pause(200).await;
        }
        Err(self.failure("ended at once"))
    }

    /// The port of the server that serves this cluster already, if it answers.
    async fn running(&self, password: &str) -> Result<Option<u16>> {
        let started = Instant::now();
        while let Some(Postmaster { pid, port }) = self.postmaster() {
            if self.answers(port, password).await {
                return Ok(Some(port));
            }
            if !self.is_server(pid) {
                // It was killed. PostgreSQL would take a process that has its number by now for it.
                if Path::new(&format!("/proc/{pid}")).exists() {
                    remove(&self.data.join("postmaster.pid"))?;
                }
                return Ok(None);
            }
            if started.elapsed() > PATIENCE {
                self.stop("immediate").await?;
                return Ok(None);
            }
            pause(20).await;
        }
        Ok(None)
    }

    /// The port that this cluster had before, or a free one.
    fn port(&self) -> Result<u16> {
        let kept = self.place.read("port")?.and_then(|text| text.trim().parse().ok());
        let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.local_addr();
        let port = match kept.map(free) {
            Some(Ok(address)) => address.port(),
            _ => free(0)?.port(),
        };
        if Some(port) != kept {
            self.place.write("port", &port.to_string())?;
        }
        Ok(port)
    }

    fn launch(&self, port: u16) -> Result<Child> {
        self.place.write("log", "")?;
        let log = fs::File::options().append(true).open(self.place.file("log"))?;
        let mut command = self.programs.command("postgres", &self.place);
        command.arg("-D").arg(&self.data).arg("-c").arg(format!("port={port}"));
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.stdout(Stdio::from(log.try_clone()?)).stderr(log);
        Command::from(command).spawn().map_err(|error| self.failure(error))
    }

    async fn answers_before_it_ends(&self, mut server: Child, port: u16, password: &str) -> Result<bool> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if self.answers(port, password).await {
                return Ok(true);
            }
            if server.try_wait()?.is_some() {
                return Ok(false);
            }
            pause(20).await;
        }
        server.kill().await?;
        Err(self.failure("does not answer"))
    }

    /// Whether this cluster's server, and no other, answers at a port.
    async fn answers(&self, port: u16, password: &str) -> bool {
        let folder = ask(port, password, async |client| client.query_one("show data_directory", &[]).await);
        match timeout(seconds(2), folder).await {
            Ok(Ok(row)) => row.try_get::<_, &str>(0).is_ok_and(|folder| Path::new(folder) == self.data),
            _ => false,
        }
    }

    /// Ends the server, if it runs: `fast` waits for no client, `immediate` does not tidy up.
    pub(super) async fn stop(&self, mode: &str) -> Result<()> {
        let Some(Postmaster { pid, .. }) = self.postmaster() else { return Ok(()) };
        // Where this cannot be told, `pg_ctl` relies on the number in the file.
        if !self.is_server(pid) && Path::new("/proc/self").exists() {
            return Ok(());
        }
        let patience = format!("--timeout={}", PATIENCE.as_secs());
        let folder = format!("--pgdata={}", self.data.display());
        let mode = format!("--mode={mode}");
        self.programs.run("pg_ctl", &self.place, &["stop", "--wait", &folder, &mode, &patience]).await
    }

    fn postmaster(&self) -> Option<Postmaster> {
        Postmaster::read(&fs::read_to_string(self.data.join("postmaster.pid")).ok()?)
    }

    /// Whether a process is this cluster's server.
    fn is_server(&self, pid: u32) -> bool {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let folder = self.data.as_os_str().as_encoded_bytes();
        command.split(|byte| *byte == 0).any(|argument| argument == folder)
    }

    /// An error with the last words of the server's log.
    fn failure(&self, what: impl Display) -> Error {
        let log = self.place.read("log").ok().flatten().unwrap_or_default();
        let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        Error::fatal(format!(
            "the sandbox's PostgreSQL: {what}: {last} (all of it: {}; to start afresh, remove {})",
            self.place.file("log").display(),
            self.data.display()
        ))
    }
}

impl Postmaster {
    /// Reads `postmaster.pid`: a line each for process, folder, time of start and port.
    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        Some(Self { pid: lines.next()?.trim().parse().ok()?, port: lines.nth(2)?.trim().parse().ok()? })
    }
}

/// Does something over a connection of its own.
pub(super) async fn ask<T>(
    port: u16,
    password: &str,
    work: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
) -> Result<T, tokio_postgres::Error> {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user(USER).password(password).dbname("postgres");
    let (client, connection) = config.connect(NoTls).await?;
    let work = async {
        // The connection ends when its client is dropped.
        let client = client;
        work(&client).await
    };
    join(work, connection).await.0
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for another process, which no simulated clock drives")]
async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_who_and_where_it_is() {
        let text = "4321\n/home/x/data\n1764000000\n54321\n\n127.0.0.1\n  5432101         3\nready   \n";
        assert_eq!(Postmaster::read(text), Some(Postmaster { pid: 4321, port: 54321 }));
        assert_eq!(Postmaster::read("4321\n/home/x/data\n"), None);
        assert_eq!(Postmaster::read(""), None);
    }
}
