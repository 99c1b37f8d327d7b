//! When a peer hears of what was let go.

mod support;

use std::time::Duration;

use ocapn::{Node, Value};
use support::{Echo, Maker, loopback_nodes};
use tokio::time::sleep;

/// Longer than what is let go ever waits.
const LONG: Duration = Duration::from_secs(1);

fn heard(node: &Node) -> u64 {
    node.sessions()[0].traffic.messages_in
}

fn exports(node: &Node) -> usize {
    node.sessions()[0].tables.exports
}

#[tokio::test(start_paused = true)]
async fn what_is_let_go_travels_with_the_next_call_and_alone_if_there_is_none() {
    let (client, server) = loopback_nodes();
    let address = server.mint(&server.vat("echo").spawn(Echo)).unwrap();
    let echo = client.resolve(&address).await.unwrap();
    echo.send(vec![]).await.unwrap();
    sleep(LONG).await;

    let before = heard(&server);
    for calls in 1..=10 {
        echo.send(vec![]).await.unwrap();
        sleep(Duration::from_millis(50)).await;
        assert_eq!(heard(&server), before + 2 * calls - 1, "each with the last one's answer");
    }
    sleep(LONG).await;
    assert_eq!(heard(&server), before + 20);
    sleep(LONG).await;
    assert_eq!(heard(&server), before + 20, "once");
}

#[tokio::test(start_paused = true)]
async fn many_that_are_let_go_do_not_wait() {
    let (client, server) = loopback_nodes();
    let address = server.mint(&server.vat("maker").spawn(Maker)).unwrap();
    let maker = client.resolve(&address).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..100 {
        let Value::Ref(made) = maker.send(vec![]).await.unwrap() else { panic!("a counter") };
        held.push(made);
    }
    assert!(exports(&server) >= 100);
    // As on a session that is in use: nobody is woken for a few.
    drop(held);
    sleep(Duration::from_millis(5)).await;
    assert!(exports(&server) < 50, "{}", exports(&server));
}
