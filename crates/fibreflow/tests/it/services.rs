//! Every client over sockets, against stand-ins that answer, refuse, hang and reset as the real services did.

use std::{sync::Arc, time::Duration};

use durable::{Clock, ErrorKind, Result};
use fibreflow::{
    config::Settings,
    harness::Harness,
    http::Http,
    photos::{Photo, PhotoAddress, PhotoRef, Photos},
    sandbox::{Fault, Listening, Sandbox, Scene},
    slack::Slack,
    vlm::{Answer, Health, Vlm},
    whatsapp::{Pairing, Recipient, Trace, WhatsApp},
};
use jiff::Timestamp;

/// The real time.
#[derive(Debug)]
struct Now;

#[async_trait::async_trait]
impl Clock for Now {
    #[allow(clippy::disallowed_methods, reason = "this is a clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    #[allow(clippy::disallowed_methods, reason = "this is a clock")]
    async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep(durable::until(self.now(), at)).await;
    }
}

struct Rig {
    sandbox: Sandbox,
    listening: Listening,
}

impl Rig {
    async fn start() -> Self {
        let scene = Scene { time_scale: 1_000, ..Scene::new(Arc::new(Now)) };
        let sandbox = Sandbox::open(scene).unwrap();
        let listening = sandbox.listen(0).await.unwrap();
        Self { sandbox, listening }
    }

    fn settings(&self) -> Settings<'_> {
        Settings::new(|name| self.listening.setting(name), Http::network().unwrap())
    }

    fn whatsapp(&self) -> WhatsApp {
        self.settings().make(Settings::whatsapp).unwrap()
    }

    fn harness(&self) -> Harness {
        self.settings().make(Settings::harness).unwrap()
    }

    fn slack(&self) -> Slack {
        self.settings().make(Settings::slack).unwrap()
    }

    fn vlm(&self) -> Vlm {
        self.settings().make(Settings::vlm).unwrap()
    }

    fn photos(&self) -> Photos {
        self.settings().make(Settings::photos).unwrap()
    }

    async fn check(&self, key: &str) -> Result<Vec<PhotoRef>> {
        let url = format!("s3://fibreflow-photos/{key}");
        self.photos().check(&[PhotoAddress { field: "photos[3]".into(), url }]).await
    }

    async fn photo(&self) -> Vec<Photo> {
        self.photos().load(&self.check("DR1/house.jpg").await.unwrap()).await.unwrap()
    }
}

fn person() -> Recipient {
    Recipient::new("0821234567".parse().unwrap(), None).unwrap()
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[tokio::test]
async fn everything_answers() {
    let rig = Rig::start().await;
    assert_eq!(rig.whatsapp().health().await.unwrap(), Pairing::Paired);
    let to = person();
    rig.whatsapp().send(&to, "hello").await.unwrap();
    rig.slack().notify("hello").await.unwrap();
    assert_eq!(rig.vlm().health().await.unwrap(), Health::Serving);
    let answer = rig.vlm().evaluate("DR1", &rig.photo().await).await.unwrap();
    assert!(matches!(&answer, Answer::Judged { photos: 1, steps } if steps.len() == 10), "{answer:?}");
    let (harness, built) = (rig.harness(), "build");
    let sessions = harness.sessions("sharepoint", built);
    let list = sessions.initialize().await.unwrap();
    list.validate().unwrap();
    sessions.build(&list.features[0], 1).await.unwrap();
    assert!(sessions.deploy().await.unwrap().health_url.contains("sharepoint"));
}

/// What may have happened decides whether a send is made again: so each way to fail must be told apart.
#[tokio::test]
async fn a_send_that_fails_says_what_may_have_happened() {
    let rig = Rig::start().await;
    let to = person();
    for (fault, kind_of_it) in [
        (Fault::Reset, ErrorKind::Retryable),
        (Fault::LostAnswer, ErrorKind::Retryable),
        (Fault::ServerError, ErrorKind::Retryable),
        (Fault::TooManyRequests, ErrorKind::NoEffect),
    ] {
        rig.sandbox.whatsapp().break_down(fault, Some(1));
        assert_eq!(kind(rig.whatsapp().send(&to, "hello").await), kind_of_it, "{fault}");
    }
    assert_eq!(rig.sandbox.whatsapp().messages().len(), 1, "only the one whose answer was lost");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = move |name: &str| match name {
        "WHATSAPP_URL" => Some(format!("http://{nobody}")),
        _ => Some("secret".into()),
    };
    let setting = move |name: &str| address(name).filter(|_| name != "WHATSAPP_GROUP_JID");
    let whatsapp = Settings::new(setting, Http::network().unwrap()).make(Settings::whatsapp).unwrap();
    assert_eq!(kind(whatsapp.send(&to, "hello").await), ErrorKind::NoEffect, "it never left");
    assert_eq!(whatsapp.health().await.unwrap(), Pairing::Unreachable);
}

#[tokio::test]
async fn what_was_sent_is_found_in_the_list_of_recent_messages() {
    let rig = Rig::start().await;
    let (to, began) = (person(), Now.now());
    rig.sandbox.whatsapp().break_down(Fault::LostAnswer, Some(1));
    let text = "DR1733758: PASS (9 of 10 steps, 7.4 of 10) • Kühlschrank, längere Nachricht";
    rig.whatsapp().send(&to, text).await.unwrap_err();
    let found = rig.whatsapp().find_recent(&to, text, began).await.unwrap();
    assert!(matches!(found, Trace::Sent { .. }), "{found:?}");
    assert_eq!(rig.whatsapp().find_recent(&to, "another", began).await.unwrap(), Trace::Unknown);
}

#[tokio::test]
async fn health_is_judged_by_what_it_says_not_by_ok() {
    let rig = Rig::start().await;
    for (fault, verdict) in [
        (Fault::LoggedOut, Pairing::LoggedOut),
        (Fault::Disconnected, Pairing::Disconnected),
        (Fault::Unreachable, Pairing::Unreachable),
    ] {
        rig.sandbox.whatsapp().break_down(fault, None);
        assert_eq!(rig.whatsapp().health().await.unwrap(), verdict);
    }
}

#[tokio::test]
async fn the_older_service_says_when_it_is_not_connected_and_nothing_was_sent() {
    let rig = Rig::start().await;
    let (_, sender) =
        rig.listening.services().into_iter().find(|(name, _)| *name == "whatsapp-sender").unwrap();
    let setting = move |name: &str| match name {
        "WHATSAPP_URL" => Some(format!("http://{sender}")),
        "WHATSAPP_GROUP_JID" => Some("120363401234567890@g.us".into()),
        "WHATSAPP_SECRET" => Some("unused".into()),
        _ => None,
    };
    let whatsapp = Settings::new(setting, Http::network().unwrap()).make(Settings::whatsapp).unwrap();
    let to = person();
    whatsapp.send(&to, "hello").await.unwrap();
    let sent = &rig.sandbox.sender().messages()[0];
    assert_eq!((sent.to.as_str(), sent.text.as_str()), ("120363401234567890@g.us", "@27821234567 hello"));
    rig.sandbox.sender().break_down(Fault::LoggedOut, None);
    assert_eq!(whatsapp.health().await.unwrap(), Pairing::Disconnected);
    assert_eq!(kind(whatsapp.send(&to, "hello").await), ErrorKind::NoEffect);
}

#[tokio::test]
async fn a_model_that_is_missing_is_an_error_and_never_a_score() {
    let rig = Rig::start().await;
    let photo = rig.photo().await;
    for (fault, kind_of_it) in [
        (Fault::ModelMissing, ErrorKind::Retryable),
        (Fault::TooLong, ErrorKind::Fatal),
        (Fault::CutOff, ErrorKind::Retryable),
        (Fault::Prose, ErrorKind::Retryable),
        (Fault::Refusal, ErrorKind::Retryable),
        (Fault::ServerError, ErrorKind::Retryable),
        (Fault::TooManyRequests, ErrorKind::NoEffect),
        (Fault::Reset, ErrorKind::Retryable),
    ] {
        rig.sandbox.vlm().break_down(fault, Some(1));
        assert_eq!(kind(rig.vlm().evaluate("DR1", &photo).await), kind_of_it, "{fault}");
    }
}

#[tokio::test]
async fn a_model_that_is_away_is_told_from_one_that_fails() {
    let rig = Rig::start().await;
    let photo = rig.photo().await;
    for (fault, says) in [
        (
            Fault::ModelMissing,
            "the server has Qwen/Qwen3-VL-30B-A3B-Instruct, and not Qwen/Qwen3-VL-8B-Instruct",
        ),
        (Fault::Unreachable, "/health"),
        (Fault::Dies, "/health"),
    ] {
        rig.sandbox.vlm().break_down(fault, None);
        let answer = rig.vlm().evaluate("DR1", &photo).await.unwrap();
        let Answer::Away { reason } = answer else { panic!("{fault}: {answer:?}") };
        assert!(reason.contains(says), "{fault}: {reason}");
        assert!(matches!(rig.vlm().health().await.unwrap(), Health::Away { .. }), "{fault}");
        rig.sandbox.vlm().mend();
        assert_eq!(rig.vlm().health().await.unwrap(), Health::Serving, "{fault}");
    }
}

#[tokio::test]
async fn more_than_the_model_takes_at_once_asks_for_fewer() {
    let rig = Rig::start().await;
    let photo = rig.photo().await;
    let two = [photo.clone(), photo.clone()].concat();
    for fault in [Fault::TooLong, Fault::CutOff] {
        rig.sandbox.vlm().break_down(fault, Some(1));
        let answer = rig.vlm().evaluate("DR1", &two).await.unwrap();
        assert!(matches!(answer, Answer::TooMany { photos: 2, .. }), "{fault}: {answer:?}");
    }
    // More photos than the server was set up for.
    let seven: Vec<_> = photo.iter().cycle().take(7).cloned().collect();
    let answer = rig.vlm().evaluate("DR1", &seven).await.unwrap();
    assert!(matches!(answer, Answer::TooMany { photos: 7, .. }), "{answer:?}");
}

#[tokio::test]
async fn a_photo_that_is_too_large_is_not_read_to_its_end() {
    let rig = Rig::start().await;
    let error = rig.check("DR1/heavy.jpg").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.message().starts_with("photos[3]: GET 127.0.0.1"), "{error}");
    assert!(error.message().ends_with("the answer has more than 10485760 bytes"), "{error}");
    let [photo] = &rig.check("DR1/large.jpg").await.unwrap()[..] else { panic!("not one photo") };
    assert_eq!((photo.width, photo.height), (1280, 960));
}

#[tokio::test]
async fn an_order_repeated_under_its_key_is_one_session() {
    let rig = Rig::start().await;
    let harness = rig.harness();
    let sessions = harness.sessions("sharepoint", "build");
    rig.sandbox.harness().break_down(Fault::LostAnswer, Some(1));
    sessions.initialize().await.unwrap_err();
    sessions.initialize().await.unwrap();
    assert_eq!(rig.sandbox.harness().sessions().len(), 1);
}

#[tokio::test]
async fn no_error_shows_a_secret() {
    let rig = Rig::start().await;
    for fault in [Fault::NoService, Fault::Reset, Fault::ServerError] {
        rig.sandbox.slack().break_down(fault, Some(1));
        let error = rig.slack().notify("hello").await.unwrap_err();
        assert!(
            !error.message().contains("sandbox-key") && !error.message().contains("/services"),
            "{error}"
        );
    }
}

/// A secret goes to the address that was configured and nowhere else.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let rig = Rig::start().await;
    let (_, slack) = rig.listening.services().into_iter().find(|(name, _)| *name == "slack").unwrap();
    let elsewhere = format!("http://{slack}{}", "/services/T000/B000/sandbox-key");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let redirect =
        async move || (http::StatusCode::TEMPORARY_REDIRECT, [(http::header::LOCATION, elsewhere)]);
    let server = axum::serve(listener, axum::Router::new().fallback(redirect));
    let setting = move |_: &str| Some(format!("http://{address}/services/secret"));
    let client = Settings::new(setting, Http::network().unwrap()).make(Settings::slack).unwrap();
    let error = tokio::select! {
        told = client.notify("hello") => told.unwrap_err(),
        _ = server => unreachable!("a server does not end"),
    };
    assert_eq!((error.kind(), error.message().contains("307")), (ErrorKind::Fatal, true), "{error}");
    assert!(error.message().starts_with("POST 127.0.0.1:") && !error.message().contains("secret"), "{error}");
    assert_eq!(rig.sandbox.slack().texts().len(), 0);
}

/// The switch is part of each service, so that anything that speaks HTTP can break it.
#[tokio::test]
async fn a_fault_is_switched_over_http_and_one_that_does_not_suit_is_refused() {
    let rig = Rig::start().await;
    let (_, vlm) = rig.listening.services().into_iter().find(|(name, _)| *name == "vlm").unwrap();
    // Makes the TLS provider the process-wide one.
    Http::network().unwrap();
    let client = reqwest::Client::new();
    let switch = |fault: &'static str| {
        let order = serde_json::json!({ "fault": fault, "times": 1 });
        client.put(format!("http://{vlm}/_sandbox/fault")).timeout(Duration::from_secs(5)).json(&order).send()
    };
    assert_eq!(switch("logged-out").await.unwrap().status(), 422);
    assert_eq!(switch("nonsense").await.unwrap().status(), 422);
    let account: serde_json::Value = switch("model-missing").await.unwrap().json().await.unwrap();
    assert_eq!((&account["fault"], &account["times"]), (&"model-missing".into(), &1.into()));
    let photo = rig.photo().await;
    assert!(rig.vlm().evaluate("DR1", &photo).await.unwrap_err().message().contains("does not exist"));
    rig.vlm().evaluate("DR1", &photo).await.unwrap();
}

/// What one sandbox did, the next one knows: a line that was cut off when it died is dropped.
#[tokio::test]
async fn a_sandbox_remembers_what_it_did() {
    let home = tempfile::tempdir().unwrap();
    let scene =
        || Scene { time_scale: 1_000, log: Some(home.path().join("log")), ..Scene::new(Arc::new(Now)) };
    for round in 1..=3 {
        let sandbox = Sandbox::open(scene()).unwrap();
        let listening = sandbox.listen(0).await.unwrap();
        let rig = Rig { sandbox, listening };
        rig.slack().notify("hello").await.unwrap();
        assert_eq!(rig.sandbox.slack().texts().len(), round);
        let mut log = std::fs::OpenOptions::new().append(true).open(home.path().join("log")).unwrap();
        std::io::Write::write_all(&mut log, b"{\"did\":\"noti").unwrap();
    }
}
