use durable::testing::conformance;

use crate::stand_in::{Kind, StandIn};

async fn conforms(kind: Kind) {
    let stand_in = StandIn::start(kind).await;
    let settings = stand_in.set_up("conformance", &[]).await;
    conformance::suite(&stand_in.aws(&settings).await.ports(None), "aws").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ports_conform_on_ministack() {
    conforms(Kind::MiniStack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ports_conform_on_moto() {
    conforms(Kind::Moto).await;
}
