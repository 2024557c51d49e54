//! Servers that outlive the programs that started them.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use fibreflow::sandbox::postgres::PostgresSandbox;
use futures::future::join;

use crate::{
    neon::fetch,
    server::{as_owner, execute, home, password, row, with_server},
};

#[tokio::test]
async fn a_server_is_taken_over_with_its_data() {
    let home = home();
    let begun = Instant::now();
    let first = PostgresSandbox::start(home.path()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    execute(&first, "delete from sow_drops where id > 1").await;
    let (url, pid) = (first.url().to_owned(), pid(&folder(&first).await));
    // As SIGKILL leaves it: nothing is stopped, and the locks are gone.
    drop(first);

    with_server(home.path(), async |second| {
        let folder = folder(second).await;
        assert_eq!((second.url(), self::pid(&folder)), (url.as_str(), pid));
        assert_eq!(row(second, "select count(*) from sow_drops").await.get::<_, i64>(0), 1);
    })
    .await;
    assert!(!Path::new(&format!("/proc/{pid}")).exists() || is_zombie(pid));
}

#[tokio::test]
async fn a_server_that_was_killed_is_started_again_on_its_port() {
    let home = home();
    let first = PostgresSandbox::start(home.path()).await.unwrap();
    execute(&first, "insert into projects (project_name) values ('Kept')").await;
    let (url, folder) = (first.url().to_owned(), folder(&first).await);
    kill(pid(&folder));
    // The number in the file is another process's by now: this one's.
    let stale = fs::read_to_string(folder.join("postmaster.pid")).unwrap();
    let rest = stale.split_once('\n').unwrap().1;
    fs::write(folder.join("postmaster.pid"), format!("{}\n{rest}", std::process::id())).unwrap();
    drop(first);

    with_server(home.path(), async |second| {
        assert_eq!(second.url(), url);
        assert_eq!(row(second, "select count(*) from projects").await.get::<_, i64>(0), 26);
    })
    .await;
}

#[tokio::test]
async fn programs_that_start_at_once_share_a_server_until_the_last_stops() {
    let home = home();
    let (one, other) = join(PostgresSandbox::start(home.path()), PostgresSandbox::start(home.path())).await;
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.url(), other.url());
    one.stop().await.unwrap();
    let folder = folder(&other).await;
    let url = other.url().to_owned();
    other.stop().await.unwrap();
    assert!(!folder.join("postmaster.pid").exists());
    assert!(fetch(&url).await.is_err());
}

#[tokio::test]
async fn a_port_that_somebody_took_is_given_up() {
    let home = home();
    let mut taken = None;
    with_server(home.path(), async |server| taken = url::Url::parse(server.url()).unwrap().port()).await;
    let _somebody = std::net::TcpListener::bind(("127.0.0.1", taken.unwrap())).unwrap();
    with_server(home.path(), async |server| {
        assert_ne!(url::Url::parse(server.url()).unwrap().port(), taken);
        fetch(server.url()).await.unwrap();
    })
    .await;
}

/// For root, whose server runs as somebody else, the cluster is elsewhere then.
#[tokio::test]
async fn a_home_that_only_its_owner_may_enter_serves_too_and_so_does_the_next_of_that_name() {
    let home = home();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let first = PostgresSandbox::start(home.path()).await.unwrap();
    let (cluster, pid) = (folder(&first).await.parent().unwrap().to_owned(), pid(&folder(&first).await));
    let folder = fs::metadata(&cluster).unwrap();
    assert_eq!(folder.mode() & 0o777, 0o700);
    assert_ne!(folder.uid(), 0);
    let old = password(&first);
    // Removed while its server runs, as nobody should.
    fs::remove_dir_all(home.path().join("postgres")).unwrap();
    drop(first);
    with_server(home.path(), async |second| {
        assert_ne!(password(second), old);
        assert_eq!(fetch(second.url()).await.unwrap().rows.len(), 25);
    })
    .await;
    if cluster.starts_with(home.path()) {
        // With its folder gone nobody finds this server; in a minute it would have noticed, and ended.
        kill(pid);
    }
    fs::remove_dir_all(cluster).unwrap();
}

#[tokio::test]
async fn nobody_else_reads_the_password_or_reaches_the_server() {
    let home = home();
    with_server(home.path(), async |server| {
        let kept = home.path().join("postgres/password");
        assert_eq!(fs::read_to_string(&kept).unwrap(), password(server));
        assert_eq!(fs::metadata(kept).unwrap().mode() & 0o777, 0o600);
        let setting = async |name: &str| {
            as_owner(server, async |client| {
                client.query_one("select current_setting($1)", &[&name]).await.unwrap().get(0)
            })
            .await
        };
        let (addresses, sockets): (String, String) =
            (setting("listen_addresses").await, setting("unix_socket_directories").await);
        assert_eq!((addresses.as_str(), sockets.as_str()), ("127.0.0.1", ""));
        let log = fs::read_to_string(home.path().join("postgres/log")).unwrap();
        assert!(!log.contains(&password(server)) && !format!("{server:?}").contains(&password(server)));
    })
    .await;
}

async fn folder(server: &PostgresSandbox) -> PathBuf {
    row(server, "show data_directory").await.get::<_, String>(0).into()
}

fn pid(folder: &Path) -> u32 {
    let file = fs::read_to_string(folder.join("postmaster.pid")).unwrap();
    file.lines().next().unwrap().trim().parse().unwrap()
}

fn kill(pid: u32) {
    // By the shell: not every machine has a program of that name.
    assert!(Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).status().unwrap().success());
}

fn is_zombie(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}
