//! PostgreSQL's own programs: where they are, and which version they are of.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use durable::{Error, Result};
use tokio::process::Command;

use super::{
    fetched,
    place::{Place, User},
};

/// A folder with `initdb`, `pg_ctl` and `postgres`.
#[derive(Debug)]
pub(super) struct Programs {
    bin: PathBuf,
}

impl Programs {
    /// The first that fit the cluster, if there is one already: in the folder that was named, Debian's (the newest first),
    /// those on the path, or fetched.
    pub(super) async fn find(named: Option<PathBuf>, path: Vec<PathBuf>, place: &Place) -> Result<Self> {
        let needed = needed(place)?;
        if let Some(bin) = named {
            let version = version(&bin).await.map_err(|error| {
                Error::fatal(format!(
                    "FIBREFLOW_POSTGRES_BIN: expected a folder with PostgreSQL's programs: {error}"
                ))
            })?;
            return match needed {
                Some(needed) if needed != version => Err(unfit(place, needed)),
                _ => Ok(Self { bin }),
            };
        }
        let fetched = fetched::bin(&place.fetched);
        let mut looked_at = debian(Path::new("/usr/lib/postgresql"));
        looked_at.extend(path);
        looked_at.extend(fetched.clone());
        if let Some(bin) = first_of(looked_at, needed).await {
            return Ok(Self { bin });
        }
        if let (Some(bin), Some(fetched::MAJOR) | None) = (fetched, needed) {
            fetched::fetch(&place.fetched).await?;
            version(&bin)
                .await
                .map_err(|error| Error::fatal(format!("PostgreSQL as fetched does not run: {error}")))?;
            return Ok(Self { bin });
        }
        Err(needed.map_or_else(fetched::missing, |needed| unfit(place, needed)))
    }

    /// One of these programs, to be run as the server's user, without this program's environment: it may hold secrets.
    pub(super) fn command(&self, name: &str, place: &Place) -> std::process::Command {
        use std::os::unix::process::CommandExt;

        let mut command = std::process::Command::new(self.bin.join(name));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
        command.current_dir(&place.cluster).stdin(Stdio::null());
        // The terminal's Ctrl-C is for this program, which then stops the server.
        command.process_group(0);
        if let Some(User { uid, gid }) = place.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Runs one of these programs to its end.
    pub(super) async fn run(&self, name: &str, place: &Place, arguments: &[&str]) -> Result<()> {
        let mut command = Command::from(self.command(name, place));
        let output = command.args(arguments).output().await;
        succeeded(name, output).map_err(|error| error.context("the sandbox's PostgreSQL"))
    }
}

/// The version that an existing cluster needs: the data of one does not fit another.
fn needed(place: &Place) -> Result<Option<u32>> {
    match fs::read_to_string(place.cluster.join("data/PG_VERSION")) {
        Ok(version) => Ok(version.trim().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn unfit(place: &Place, needed: u32) -> Error {
    Error::fatal(format!(
        "the sandbox's PostgreSQL was made by version {needed}: install that version, or remove {} to start afresh",
        place.cluster.display()
    ))
}

/// Debian keeps several versions side by side, away from the path.
fn debian(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by(|one, other| other.cmp(one));
    versions.into_iter().map(|(_, bin)| bin).collect()
}

async fn first_of(folders: Vec<PathBuf>, needed: Option<u32>) -> Option<PathBuf> {
    for bin in folders {
        if let Ok(version) = version(&bin).await
            && needed.is_none_or(|needed| needed == version)
        {
            return Some(bin);
        }
    }
    None
}

/// The major version of the programs in a folder that has all of them.
async fn version(bin: &Path) -> Result<u32> {
    if let Some(missing) = ["initdb", "pg_ctl", "postgres"].iter().find(|name| !bin.join(name).is_file()) {
        return Err(Error::fatal(format!("{} has no {missing}", bin.display())));
    }
    let output = Command::new(bin.join("postgres")).arg("--version").stdin(Stdio::null()).output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    succeeded("postgres", Ok(output))?;
    major(&text)
        .ok_or_else(|| Error::fatal(format!("{}: postgres --version says {}", bin.display(), text.trim())))
}

/// The 15 of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` or of `postgres (PostgreSQL) 15beta2`.
fn major(text: &str) -> Option<u32> {
    let version = text.split("(PostgreSQL)").nth(1)?.trim_start();
    version.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// Whether a program ended well; if not, its last words say why.
fn succeeded(name: &str, output: io::Result<Output>) -> Result<()> {
    let output = output.map_err(|error| Error::fatal(format!("cannot run {name}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(Error::fatal(format!("{name} failed ({}): {last}", output.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 19beta2"), Some(19));
        assert_eq!(major("postgres 9"), None);
    }

    #[test]
    fn of_debians_the_newest_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for name in ["9", "15", "16", "common"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let found: Vec<_> = debian(root.path());
        assert_eq!(found, ["16/bin", "15/bin", "9/bin"].map(|bin| root.path().join(bin)));
    }

    #[tokio::test]
    async fn a_named_folder_without_the_programs_is_an_error_that_says_so() {
        let home = tempfile::tempdir().unwrap();
        let place = Place::of(home.path()).unwrap();
        let error = Programs::find(Some("/nowhere".into()), Vec::new(), &place).await.unwrap_err();
        assert_eq!(
            error.message(),
            "FIBREFLOW_POSTGRES_BIN: expected a folder with PostgreSQL's programs: /nowhere has no initdb"
        );
        assert!(!error.is_retryable());
    }
}
