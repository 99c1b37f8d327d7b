//! A node's clock is tokio's.

use std::sync::mpsc;
use std::time::Duration;

use ocapn::Node;

#[tokio::test(start_paused = true)]
async fn alarms_ring_in_order_when_they_are_due() {
    let node = Node::builder().start();
    let clock = node.clock();
    let (sender, heard) = mpsc::channel();
    let start = clock.now();
    for (after, name) in [(60, "b"), (30, "a"), (60, "c"), (3600, "d")] {
        let sender = sender.clone();
        let due = start + Duration::from_secs(after);
        clock.at(due, Box::new(move || sender.send(name).unwrap()));
    }
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(clock.now() - start >= Duration::from_secs(61));
    node.shutdown().await;
    drop(sender);
    assert!(heard.recv().is_err(), "what has not rung is dropped with the node");
}

#[tokio::test(start_paused = true)]
async fn an_earlier_alarm_is_not_held_up_by_a_later_one() {
    let node = Node::builder().start();
    let clock = node.clock();
    let (sender, heard) = mpsc::channel();
    let start = clock.now();
    let late = sender.clone();
    clock.at(start + Duration::from_secs(1000), Box::new(move || late.send(1000).unwrap()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    clock.at(start + Duration::from_secs(10), Box::new(move || sender.send(10).unwrap()));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [10]);
}
