//! Sessions over channels that are framed by length.

mod support;

use interop_tests::objects::WellKnown;
use interop_tests::scripted::{Scripted, Target, Term};
use ocapn::netlayers::{Identities, ListenSpec};
use support::{PATIENCE, Served};

fn framed(address: &str) -> ListenSpec {
    format!("{address}?framing=length").parse().unwrap()
}

async fn echoes(listen: ListenSpec, dial: ListenSpec) {
    let served = Served::on(&listen).await;
    let ours = dial.listen(None, &Identities::New).await.unwrap();
    let mut peer = Scripted::dial(&*ours, &served.location(), PATIENCE).await.unwrap();
    peer.greet().await.unwrap();
    let echo = peer.fetch(WellKnown::Echo.swiss()).await.unwrap();
    assert!(matches!(echo, Target::Export(_)));
    for size in [0, 1, 100, 100_000] {
        let sent = [Term::text("x".repeat(size))];
        let answer = peer.call(echo, sent.clone()).await.unwrap();
        assert_eq!(answer, Ok(Term::list(sent)));
    }
    drop(peer);
    served.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_testing_only() {
    let address = "tcp-testing-only:127.0.0.1:0";
    echoes(framed(address), framed(address)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_tls() {
    echoes(framed("tcp-tls:127.0.0.1:0"), framed("tcp-tls:127.0.0.1:0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unix() {
    let directory = tempfile::tempdir().unwrap();
    let socket = |name| framed(&format!("unix:{}/{name}", directory.path().display()));
    echoes(socket("a"), socket("b")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_raw_syrup_is_not_heard() {
    let address = "tcp-testing-only:127.0.0.1:0";
    let served = Served::on(&framed(address)).await;
    let raw: ListenSpec = address.parse().unwrap();
    let ours = raw.listen(None, &Identities::New).await.unwrap();
    let mut peer = Scripted::dial(&*ours, &served.location(), PATIENCE).await.unwrap();
    assert!(peer.greet().await.is_err());
    drop(peer);
    served.node.shutdown().await;
}
