//! Long lines, and what is done at the same time as something else.

use durable::{Gate, RunId, Slot};
use futures::{StreamExt, stream};

use crate::stand_in::{Kind, StandIn};

fn run(n: usize) -> RunId {
    RunId::of("flow", &n.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_two_thousand_is_served_in_order() {
    const WAITERS: usize = 2000;
    let stand_in = StandIn::start(Kind::MiniStack).await;
    let settings = stand_in.set_up("lines", &[]).await;
    let aws = stand_in.aws(&settings).await;
    assert_eq!(aws.acquire("key", 1, &run(0)).await.unwrap(), Slot::Held);
    // The first ten one after the other, so that their order is known; the others as they come.
    for n in 1..=10 {
        let place = u32::try_from(n).unwrap();
        assert_eq!(aws.acquire("key", 1, &run(n)).await.unwrap(), Slot::Waiting(place));
    }
    let others = stream::iter(11..=WAITERS).map(async |n| aws.acquire("key", 1, &run(n)).await);
    assert!(others.buffer_unordered(32).all(async |slot| matches!(slot, Ok(Slot::Waiting(_)))).await);

    // What a hand-over costs does not depend on the length of the line.
    stand_in.wire.take();
    for n in 0..10 {
        let next = run(n + 1);
        let woken = aws.release("key", 1, &run(n)).await.unwrap();
        assert_eq!(woken, std::slice::from_ref(&next), "first come, first served");
        assert_eq!(aws.acquire("key", 1, &next).await.unwrap(), Slot::Held);
    }
    let requests = stand_in.wire.take();
    assert_eq!(
        requests.into_iter().collect::<Vec<_>>(),
        [("GetItem", 10), ("Query", 10), ("TransactWriteItems", 10), ("UpdateItem", 20)]
            .map(|(name, count)| (name.to_owned(), count))
    );
    assert_eq!(aws.release("key", 1, &run(500)).await.unwrap(), [], "one leaves the line");
    assert_eq!(
        aws.acquire("key", 1, &run(500)).await.unwrap(),
        Slot::Waiting(u32::try_from(WAITERS - 10).unwrap())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_slots_go_out_at_once_when_a_limit_is_raised() {
    let stand_in = StandIn::start(Kind::Moto).await;
    let settings = stand_in.set_up("limits", &[]).await;
    let aws = stand_in.aws(&settings).await;
    for n in 0..5 {
        aws.acquire("key", 1, &run(n)).await.unwrap();
    }
    let mut woken = aws.release("key", 3, &run(0)).await.unwrap();
    woken.sort_unstable();
    let mut expected = [run(1), run(2), run(3)];
    expected.sort_unstable();
    assert_eq!(woken, expected);
    assert_eq!(aws.acquire("key", 3, &run(4)).await.unwrap(), Slot::Waiting(1));
}
