//! Whom a netlayer has proven, and whom not.

mod support;

use std::collections::VecDeque;

use captp::{Session, SessionConfig, SessionKey};
use ocapn::netlayers::{Channel, Netlayer, Websocket, WebsocketIdentity, WebsocketOptions};
use ocapn::{Node, PeerLocator, PeerSettings, Proof};
use support::{Counter, bare::Bare, tcp_tls_node, testing_node};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn websocket() -> Websocket {
    let identity = WebsocketIdentity::generate().unwrap();
    Websocket::bind("127.0.0.1:0", identity, WebsocketOptions::default()).await.unwrap()
}

/// Says by a channel that it is at `claim`.
async fn claim(channel: &mut Channel, claim: PeerLocator) {
    let config = SessionConfig::new(claim, SessionKey::from_entropy([9; 32]));
    let mut out = VecDeque::new();
    Session::<Bare>::new(config).poll_transmit(true, &mut out);
    for bytes in out {
        channel.io.write_all(&bytes).await.unwrap();
    }
    channel.io.flush().await.unwrap();
}

#[tokio::test]
async fn an_impostor_on_websocket_gets_nothing_of_its_victims() {
    let (layer, intruding) = (websocket().await, websocket().await);
    let here = layer.location();
    let client = Node::builder().netlayer(layer).start();
    let victim = Node::builder().netlayer(websocket().await).start();
    let counter = victim.mint(&victim.vat("objects").spawn(Counter(0))).unwrap();

    let mut channel = intruding.connect(&here).await.unwrap();
    claim(&mut channel, counter.peer.clone()).await;
    support::until_sessions(&client, 1).await;
    assert_eq!(client.sessions()[0].proof, Proof::None);
    assert_eq!(client.sessions()[0].peer, counter.peer);

    let live = client.resolve(&counter).await.unwrap();
    assert_eq!(live.send(vec![ocapn::Value::symbol("value")]).await, Ok(0.into()));
    let proven = client.session_of(&live).unwrap();
    assert_eq!(proven.proof, Proof::Netlayer);
    assert_eq!(client.sessions().len(), 2);
    // At the victim it is the client that nobody has proven.
    assert_eq!(victim.sessions()[0].proof, Proof::None);
    assert_eq!(client.sessions()[0].traffic.messages_out, 1, "our greeting, and no more");
}

#[tokio::test]
async fn unproven_peers_are_told_that_they_are_refused() {
    let (layer, intruding) = (websocket().await, websocket().await);
    let here = layer.location();
    let mut settings = PeerSettings::default();
    settings.refuse_unverified = true;
    let _node = Node::builder().netlayer(layer).peers(settings).start();
    let mut channel = intruding.connect(&here).await.unwrap();
    claim(&mut channel, intruding.location()).await;
    let mut heard = Vec::new();
    channel.io.read_to_end(&mut heard).await.unwrap();
    let heard = String::from_utf8_lossy(&heard).into_owned();
    assert!(heard.ends_with("this netlayer has not proven who you are>"), "{heard}");
}

#[tokio::test]
async fn what_a_proof_is_worth_depends_on_the_netlayer() {
    for (server, client, proof) in [
        (tcp_tls_node().await, tcp_tls_node().await, Proof::Netlayer),
        (testing_node().await, testing_node().await, Proof::FaceValue),
    ] {
        let counter = server.mint(&server.vat("objects").spawn(Counter(0))).unwrap();
        client.resolve(&counter).await.unwrap();
        for node in [&server, &client] {
            assert_eq!(node.sessions()[0].proof, proof);
        }
    }
}
