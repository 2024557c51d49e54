use durable::testing::conformance;

use crate::stand_in::{Kind, StandIn};

async fn conforms(kind: Kind) {
    let stand_in = StandIn::start(kind).await;
    let settings = stand_in.set_up("conformance", &["aws-workflow"]).await;
    let aws = stand_in.aws(&settings).await;
    conformance::suite(&aws.ports(None), "aws").await;
    conformance::inspect_suite(&aws.desk(aws.ports(None), std::sync::Arc::new([])), "aws").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ports_conform_on_ministack() {
    conforms(Kind::MiniStack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ports_conform_on_moto() {
    conforms(Kind::Moto).await;
}
