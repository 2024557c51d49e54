//! Neon's client and TLS: it uses it when asked, and trusts no certificate that nobody vouches for.

use base64::{Engine, engine::general_purpose::STANDARD};
use durable::ErrorKind;
use fibreflow::sandbox::postgres::PostgresSandbox;

use crate::{
    neon::{assert_refused, fetch},
    server::{changed, execute, home, password, until, with_server},
};

#[tokio::test]
async fn a_server_without_tls_is_refused_when_tls_is_required() {
    let home = home();
    with_server(home.path(), async |server| {
        let error = fetch(&over_tls(server)).await.unwrap_err();
        assert_refused(&error, "server does not support TLS", ErrorKind::Fatal, &password(server));
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let home = home();
    with_server(home.path(), async |server| {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
        put(server, "server.crt", &made.cert.pem()).await;
        put(server, "server.key", &made.signing_key.serialize_pem()).await;
        execute(server, "alter system set ssl = on").await;
        execute(server, "select pg_reload_conf()").await;
        until(server, "select current_setting('ssl')::boolean").await;

        let error = fetch(&over_tls(server)).await.unwrap_err();
        assert_refused(
            &error,
            "invalid peer certificate: UnknownIssuer",
            ErrorKind::Fatal,
            &password(server),
        );
        // The server is there and would have served.
        fetch(server.url()).await.unwrap();
    })
    .await;
}

fn over_tls(server: &PostgresSandbox) -> String {
    changed(server, |url| url.set_query(Some("sslmode=require")))
}

/// Writes a file into the server's folder as the server's user, whom it must belong to.
async fn put(server: &PostgresSandbox, name: &str, text: &str) {
    let text = STANDARD.encode(text);
    execute(server, &format!("copy (select '{text}') to program 'base64 -d > {name}'")).await;
}
