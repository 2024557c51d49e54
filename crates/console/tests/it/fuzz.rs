//! Everything that the API's description allows, and much that it does not: schemathesis asks.

use std::{fs, net::Ipv4Addr, process::Stdio, time::Duration};

use console::{Access, Console, Live};
use tokio::{net::TcpListener, process::Command};

use crate::scene;

/// Where `scripts/api-tools` puts it.
const SCHEMATHESIS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/api/bin/schemathesis");

/// What is asked of every answer: no 5xx, and nothing that the description does not say.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                      response_headers_conformance,unsupported_method";

/// What is there to be asked about.
fn known(cast: &scene::Cast) -> String {
    let of = |path: &str, name: &str, value: &str| {
        format!(
            "[[operations]]\ninclude-path-regex = \"{path}\"\nparameters = {{ \"path.{name}\" = \"{value}\" }}\n"
        )
    };
    [
        of("/runs/.id.", "id", cast.completed.as_str()),
        of("/workflows/.name.", "name", "build-agent"),
        of("/events/.id.", "id", "event-1"),
        of("/callbacks/.token.", "token", &format!("{}.1.1.approve-deployment", cast.asking)),
        of("/dead-letters/.id.", "id", "letter-1"),
        of("/keys/.key.", "key", "build-agent:sharepoint"),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_gets_a_server_error_or_an_answer_that_is_not_described() {
    let (simulation, cast) = scene::day();
    let access = Access::loopback(&*simulation.ports().random).unwrap();
    // Streams end at once, or nothing would come after the first.
    let live = Live { longest: Duration::ZERO, ..Live::default() };
    let router = Console::new(simulation.desk(), access).live(live).router();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/api/v1/openapi.json", listener.local_addr().unwrap());
    let asking = async {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("schemathesis.toml"), known(&cast)).unwrap();
        let asked = Command::new(SCHEMATHESIS)
            .args(["run", &url, "--checks", CHECKS, "--phases", "examples,coverage,fuzzing"])
            // The same requests each time.
            .args([
                "--seed",
                "20260301",
                "--max-examples",
                "25",
                "--generation-database",
                "none",
                "--no-color",
            ])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .await
            .expect("scripts/api-tools puts schemathesis there");
        let said = String::from_utf8_lossy(&asked.stdout).into_owned();
        println!("{said}");
        assert!(asked.status.success(), "{said}{}", String::from_utf8_lossy(&asked.stderr));
    };
    tokio::select! {
        () = asking => {}
        ended = axum::serve(listener, router) => ended.unwrap(),
    }
}
