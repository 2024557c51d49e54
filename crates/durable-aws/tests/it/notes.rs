//! What people write into the table for a function to read.

use aws_sdk_dynamodb::types::AttributeValue;
use durable_aws::Note;

use crate::stand_in::{Kind, StandIn};

#[tokio::test(flavor = "multi_thread")]
async fn a_note_is_read_as_it_was_written_last() {
    let stand_in = StandIn::start(Kind::Moto).await;
    let settings = stand_in.set_up("notes", &[]).await;
    let clients = stand_in.clients().await;
    let note = Note::new(&settings.table, "whatsapp", clients.clone());
    assert_eq!(note.text().await.unwrap(), None, "nobody has written it");
    let write = async |text: &str| {
        let value = |text: &str| AttributeValue::S(text.to_owned());
        let put = clients.dynamodb().put_item().table_name(&settings.table);
        let put = put.item("pk", value("note#whatsapp")).item("sk", value("note")).item("text", value(text));
        put.send().await.unwrap();
    };
    for text in ["banned again", "on"] {
        write(text).await;
        assert_eq!(note.text().await.unwrap().as_deref(), Some(text));
    }
    let elsewhere = Note::new("no-such-table", "whatsapp", clients.clone());
    assert!(elsewhere.text().await.is_err(), "what cannot be read is not taken for unwritten");
}
