//! Where a cluster's files are, and whose they are.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown},
    path::{Path, PathBuf},
};

use durable::{Error, Result};

/// The folders of the server that belongs to a home directory.
#[derive(Debug)]
pub(super) struct Place {
    /// The password, the port, the locks and the log: this user's, who may be root.
    own: PathBuf,
    /// The cluster: the server's user's, and nobody else may enter it.
    pub(super) cluster: PathBuf,
    /// Programs that were fetched: this user's.
    pub(super) fetched: PathBuf,
    /// Whom the server runs as, if not as this user.
    pub(super) user: Option<User>,
}

/// A user of the operating system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Place {
    pub(super) fn of(home: &Path) -> Result<Self> {
        let own = home.join("postgres");
        fs::create_dir_all(&own).map_err(|error| problem(&own, error))?;
        let own = own.canonicalize()?;
        let this_user = this_user(&own)?;
        let user = if this_user.uid == 0 { Some(server_user()?) } else { None };
        let base = match user {
            Some(user) if !user.can_enter(&own)? => elsewhere(&own, user)?,
            _ => own.join("cluster"),
        };
        let fetched = PathBuf::from(format!("{}-programs", base.display()));
        folder(&base, 0o700, this_user, user.unwrap_or(this_user))?;
        if fs::symlink_metadata(&fetched).is_ok_and(|found| found.uid() != this_user.uid || !found.is_dir()) {
            return Err(Error::fatal(format!("{}: belongs to somebody else: remove it", fetched.display())));
        }
        Ok(Self { own, cluster: base, fetched, user })
    }

    /// A file of this user's.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.own.join(name)
    }

    /// What such a file holds, if it is there.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>> {
        match fs::read_to_string(self.file(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(problem(&self.file(name), error)),
        }
    }

    /// Writes such a file, which only this user may read, all of it or nothing.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        let unfinished = self.file(&format!("{name}.new"));
        write_secret(&unfinished, text)?;
        fs::rename(unfinished, self.file(name))?;
        Ok(())
    }

    /// Writes a file that only the server's user may read.
    pub(super) fn hand_over(&self, path: &Path, text: &str) -> Result<()> {
        write_secret(path, text)?;
        if let Some(User { uid, gid }) = self.user {
            chown(path, Some(uid), Some(gid))?;
        }
        Ok(())
    }
}

impl User {
    /// Whether a folder, which is not this user's, and all above it let this user pass.
    fn can_enter(self, folder: &Path) -> Result<bool> {
        for folder in folder.ancestors() {
            let metadata = fs::metadata(folder)?;
            let bit = match metadata {
                _ if metadata.uid() == self.uid => 0o100,
                _ if metadata.gid() == self.gid => 0o010,
                _ => 0o001,
            };
            if metadata.mode() & bit == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A folder for temporary files that belongs to a home which the server's user may not enter.
fn elsewhere(own: &Path, user: User) -> Result<PathBuf> {
    let temporary = env::temp_dir().canonicalize()?;
    if !user.can_enter(&temporary)? {
        return Err(Error::fatal(format!(
            "PostgreSQL does not run as root, and the user {} may enter neither {} nor {}: set TMPDIR or FIBREFLOW_HOME to a folder that others may enter",
            user.uid,
            own.display(),
            temporary.display()
        )));
    }
    // Another Rust may hash in another way; then the cluster is made anew.
    let mut hasher = DefaultHasher::new();
    own.hash(&mut hasher);
    Ok(temporary.join(format!("fibreflow-postgres-{:016x}", hasher.finish())))
}

/// Makes a folder, or makes sure that nobody else has made it or can look into it.
fn folder(path: &Path, mode: u32, this_user: User, owner: User) -> Result<()> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(problem(path, error)),
        _ => {}
    }
    // Not of what a link points to: in a shared folder anybody may have made one.
    let found = fs::symlink_metadata(path)?;
    let is_ours = [this_user.uid, owner.uid].contains(&found.uid());
    if !found.is_dir() || !is_ours || found.mode() & 0o777 & !mode != 0 {
        return Err(Error::fatal(format!(
            "{}: expected a folder of the user {} that nobody else may enter: remove it, then start again",
            path.display(),
            owner.uid
        )));
    }
    if found.uid() != owner.uid {
        chown(path, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(())
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    // Left by a start that was killed.
    let _ = fs::remove_file(path);
    let file = fs::File::options().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| problem(path, error))
}

/// Who runs this program: the owner of what it makes.
fn this_user(own: &Path) -> Result<User> {
    let probe = own.join(format!("owner.{}", std::process::id()));
    write_secret(&probe, "")?;
    let made = fs::metadata(&probe)?;
    fs::remove_file(probe)?;
    Ok(User { uid: made.uid(), gid: made.gid() })
}

/// Whom PostgreSQL runs as when this program is root's.
fn server_user() -> Result<User> {
    let users = fs::read_to_string("/etc/passwd")?;
    let found = ["postgres", "nobody"].iter().find_map(|name| user_named(&users, name));
    found.ok_or_else(|| {
        Error::fatal("PostgreSQL does not run as root: add a user named postgres, or start as another user")
    })
}

fn user_named(users: &str, name: &str) -> Option<User> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let user = (fields.next() == Some(name))
            .then(|| Some(User { uid: fields.nth(1)?.parse().ok()?, gid: fields.next()?.parse().ok()? }));
        user.flatten().filter(|user| user.uid != 0)
    })
}

fn problem(path: &Path, error: std::io::Error) -> Error {
    Error::fatal(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name() {
        let users = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:nobody:/nonexistent:/bin/false\n";
        assert_eq!(user_named(users, "nobody"), Some(User { uid: 65534, gid: 65533 }));
        assert_eq!(user_named(users, "postgres"), None);
        assert_eq!(user_named(users, "root"), None);
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let user = this_user(home.path()).unwrap();
        let open = home.path().join("open");
        folder(&open, 0o755, user, user).unwrap();
        assert!(folder(&open, 0o700, user, user).unwrap_err().message().contains("nobody else may enter"));
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&open, &link).unwrap();
        assert!(folder(&link, 0o755, user, user).is_err());
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let user = this_user(home.path()).unwrap();
        let somebody = User { uid: user.uid + 1, gid: user.gid };
        let theirs = home.path().join("theirs");
        folder(&theirs, 0o700, user, user).unwrap();
        assert!(folder(&theirs, 0o700, somebody, somebody).is_err());
    }

    #[test]
    fn a_secret_is_for_its_owner_only() {
        let home = tempfile::tempdir().unwrap();
        let place = Place::of(home.path()).unwrap();
        place.write("password", "one").unwrap();
        place.write("password", "two").unwrap();
        assert_eq!(place.read("password").unwrap().as_deref(), Some("two"));
        assert_eq!(fs::metadata(place.file("password")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(place.read("port").unwrap(), None);
    }
}
