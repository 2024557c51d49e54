//! A document that people replace.

use aws_sdk_s3::primitives::ByteStream;
use durable_aws::{Document, Edition};

use crate::stand_in::{Kind, StandIn};

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_read_again_when_it_has_changed() {
    let stand_in = StandIn::start(Kind::Moto).await;
    let settings = stand_in.set_up("documents", &[]).await;
    let clients = stand_in.clients().await;
    let document = Document::new(&format!("s3://{}/lists/a.json", settings.bucket), clients.clone()).unwrap();
    assert!(document.read(None).await.is_err(), "there is none");

    let put = async |text: String| {
        let body = ByteStream::from(text.into_bytes());
        let put = clients.s3().put_object().bucket(&settings.bucket).key("lists/a.json").body(body);
        put.send().await.unwrap();
    };
    put("one".into()).await;
    let Edition { etag, text } = document.read(None).await.unwrap().unwrap();
    assert_eq!((text.as_str(), document.read(Some(&etag)).await.unwrap()), ("one", None));
    put("two".into()).await;
    let changed = document.read(Some(&etag)).await.unwrap().unwrap();
    assert!(changed.text == "two" && changed.etag != etag, "{changed:?}");
    put("x".repeat(1024 * 1024 + 1)).await;
    assert!(document.read(None).await.unwrap_err().message().ends_with("expected at most 1 MiB"));
}
