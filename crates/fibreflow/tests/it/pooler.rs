//! What is read is read in a way that a pooler can serve which lends a server for one transaction.

use std::sync::{Arc, Mutex};

use fibreflow::{
    mirror::Tables,
    neon::{Neon, Span},
};
use futures::future::join;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::server::{changed, execute, home, neon, with_server};

/// What a client said: the kinds of its messages, and the names of statements and portals in them.
type Said = Arc<Mutex<Vec<(char, String)>>>;

#[tokio::test]
async fn every_statement_is_complete_in_itself_and_has_no_name() {
    let home = home();
    with_server(home.path(), async |server| {
        execute(
            server,
            "create type state as enum ('planned'); alter table projects add state state default 'planned'",
        )
        .await;
        let port = url::Url::parse(server.url()).unwrap().port().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let through = listener.local_addr().unwrap().port();
        let said = Said::default();
        let relay = relay(&listener, port, said.clone(), 2);
        let reading = async {
            let neon = neon(&changed(server, |url| url.set_port(Some(through)).unwrap()));
            let json = r#"{"tables": [{"name": "projects"}]}"#;
            let table = Tables::read(Some(json)).unwrap().tables.remove(0);
            let page = neon.page(&table, &Span::default()).await.unwrap();
            assert_eq!((page.rows.len(), &page.rows[0].values["state"]), (25, &"planned".into()));
            assert_eq!(neon.existing(&table, &["1".into(), "99".into()]).await.unwrap().len(), 1);
        };
        join(relay, reading).await;

        let said = said.lock().unwrap();
        let of = |kind: char| said.iter().filter(|(said, _)| *said == kind).count();
        // Three statements, each parsed, bound and executed between two synchronisations; and two farewells.
        assert_eq!((of('P'), of('B'), of('E'), of('S'), of('X')), (3, 3, 3, 3, 2), "{said:?}");
        assert_eq!(of('Q'), 0, "nothing is set, begun or prepared: {said:?}");
        assert!(said.iter().all(|(kind, name)| !"PB".contains(*kind) || name.is_empty()), "{said:?}");
    })
    .await;
}

/// Passes so many connections on to a server, one after the other.
async fn relay(listener: &TcpListener, port: u16, said: Said, connections: usize) {
    for _ in 0..connections {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let ((from_client, mut to_client), (mut from_server, to_server)) =
            (client.into_split(), server.into_split());
        let back = async { tokio::io::copy(&mut from_server, &mut to_client).await };
        let _ = join(back, listen_in(from_client, to_server, said.clone())).await;
    }
}

async fn listen_in(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, said: Said) {
    let mut first = true;
    loop {
        // The first message alone has no kind.
        let mut head = vec![0; if first { 4 } else { 5 }];
        if client.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes(head[head.len() - 4..].try_into().unwrap());
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        client.read_exact(&mut body).await.unwrap();
        if !first {
            let name = body.split(|byte| *byte == 0).next().unwrap_or_default();
            said.lock().unwrap().push((char::from(head[0]), String::from_utf8_lossy(name).into_owned()));
        }
        first = false;
        server.write_all(&[head, body].concat()).await.unwrap();
    }
}
