//! A node reports actors that loop or block, also where they take its only thread.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use ocapn::{Args, Fault, Node, Reply, Turn, VatLimits};

#[tokio::test]
async fn a_blocked_actor_is_reported_by_name() {
    let (free, stuck) = mpsc::channel::<()>();
    let free = Mutex::new(free);
    let (report, reported) = mpsc::channel();
    let report = Mutex::new(report);
    let node = Node::builder()
        .on_long_turn(move |turn| {
            report.lock().unwrap().send(turn.clone()).unwrap();
            // It has been found out while it is still at it: the test can end.
            free.lock().unwrap().send(()).unwrap();
        })
        .start();
    let limits = VatLimits::default().turn_time(Duration::from_millis(20));
    let vat = node.vat_with_limits("blocks", limits);
    let stuck = Mutex::new(stuck);
    let blocked = vat.spawn(move |_turn: &mut Turn<'_>, _args: Args| -> Result<Reply, Fault> {
        stuck.lock().unwrap().recv().unwrap();
        Ok(().into())
    });
    assert!(blocked.send(vec![]).await.is_ok());
    let turn = reported.recv().unwrap();
    assert_eq!(turn.vat, "blocks");
    assert!(turn.actor.unwrap().contains("a_blocked_actor"), "{turn}");
}
