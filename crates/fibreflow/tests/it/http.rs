//! What holds for every service that is reached over HTTP, with real sockets.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::ConnectInfo,
    response::{IntoResponse, Response},
};
use durable::ErrorKind;
use fibreflow::{
    config::Settings,
    http::{Endpoint, Http},
    whatsapp::Recipient,
};
use http::{StatusCode, header};
use tokio::{io::AsyncReadExt, net::TcpListener};

/// Serves until the test's runtime ends.
#[expect(clippy::disallowed_methods, reason = "a server beside the test")]
async fn served(service: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = service.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::new(Http::network().unwrap(), format!("http://{address}/base").parse().unwrap())
}

/// A connection each time would cost a handshake each time, and a client a service a pool a service.
#[tokio::test]
async fn all_services_share_one_client_and_its_connections() {
    let peers = Arc::<Mutex<HashSet<SocketAddr>>>::default();
    let requests = Arc::<AtomicUsize>::default();
    let (seen, count) = (peers.clone(), requests.clone());
    let note = move |ConnectInfo(peer): ConnectInfo<SocketAddr>| {
        seen.lock().unwrap().insert(peer);
        count.fetch_add(1, Ordering::Relaxed);
        async { r#"{"success":true}"# }
    };
    let address = served(Router::new().fallback(note)).await;
    let setting = move |name: &str| match name {
        _ if name.ends_with("_URL") => Some(format!("http://{address}")),
        "WHATSAPP_SECRET" => Some("secret".to_owned()),
        _ => None,
    };
    let services = Settings::new(setting, Http::network().unwrap());
    let (slack, whatsapp) =
        services.make(|settings| Some((settings.slack()?, settings.whatsapp()?))).unwrap();
    let to = Recipient::new("0821234567".parse().unwrap(), None).unwrap();
    for _ in 0..3 {
        slack.notify("hello").await.unwrap();
        whatsapp.send(&to, "hello").await.unwrap();
    }
    assert_eq!((requests.load(Ordering::Relaxed), peers.lock().unwrap().len()), (6, 1));
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up_in_time_and_may_have_acted() {
    let address = served(Router::new().fallback(std::future::pending::<Response>)).await;
    let error = endpoint(address).timeout(Duration::from_millis(50)).get("/slow").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retryable, "{error}");
    assert!(
        error.message().starts_with("GET 127.0.0.1/slow: ") && error.message().contains("timed out"),
        "{error}"
    );
}

#[tokio::test]
async fn a_service_that_was_not_reached_certainly_did_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = endpoint(address).post("/x", &serde_json::json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoEffect, "{error}");
}

/// Whether to try again is the step's decision, which knows what may have happened.
#[tokio::test]
async fn no_request_is_made_again_by_the_client_itself() {
    let answers = [
        (StatusCode::INTERNAL_SERVER_ERROR, None, ErrorKind::Retryable),
        (StatusCode::BAD_GATEWAY, None, ErrorKind::Retryable),
        (StatusCode::REQUEST_TIMEOUT, None, ErrorKind::Retryable),
        (StatusCode::TOO_MANY_REQUESTS, Some("0"), ErrorKind::NoEffect),
        (StatusCode::SERVICE_UNAVAILABLE, Some("0"), ErrorKind::Retryable),
        (StatusCode::NOT_FOUND, None, ErrorKind::Fatal),
    ];
    for (status, retry_after, kind) in answers {
        let requests = Arc::<AtomicUsize>::default();
        let count = requests.clone();
        let answer = async move || {
            count.fetch_add(1, Ordering::Relaxed);
            let headers = retry_after.map(|seconds| [(header::RETRY_AFTER, seconds)]);
            headers.map_or_else(|| status.into_response(), |headers| (status, headers).into_response())
        };
        let address = served(Router::new().fallback(answer)).await;
        let error = endpoint(address).post("/x", &serde_json::json!({})).await.unwrap_err();
        assert_eq!((error.kind(), requests.load(Ordering::Relaxed)), (kind, 1), "{status}: {error}");
        assert!(error.message().starts_with(&format!("POST 127.0.0.1/x: {}", status.as_u16())), "{error}");
    }
}

/// A reset after the request was written: nobody knows what became of it.
#[tokio::test]
async fn a_request_that_was_cut_off_is_not_made_again_and_may_have_acted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = AtomicUsize::new(0);
    let cuts_off = async {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            connections.fetch_add(1, Ordering::Relaxed);
            assert!(connection.read(&mut [0; 1024]).await.unwrap() > 0);
        }
    };
    let (endpoint, body) = (endpoint(address), serde_json::json!({}));
    let error = tokio::select! {
        ended = endpoint.post("/x", &body) => ended.unwrap_err(),
        () = cuts_off => unreachable!("a server does not end"),
    };
    assert_eq!((error.kind(), connections.into_inner()), (ErrorKind::Retryable, 1), "{error}");
}
