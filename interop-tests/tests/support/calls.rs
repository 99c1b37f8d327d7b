//! What our node asks of the well-known objects of a living peer.

use std::time::Duration;

use bytes::Bytes;
use num_bigint::BigInt;
use ocapn::{
    Args, EnlivenError, Fault, Node, PeerLocator, Reply, Sturdyref, SwissNum, TableCounts, Turn,
    Value,
};

use super::PATIENCE;
use interop_tests::objects::WellKnown;

/// Values that every living peer gives back as they were.
pub(crate) fn plain_values() -> Vec<Value> {
    vec![
        1.into(),
        i64::MIN.into(),
        BigInt::from(7).pow(200).into(),
        true.into(),
        (-1.5).into(),
        "h\u{e9}llo \u{4e16}\u{754c}".into(),
        Value::symbol("with space"),
        Bytes::from(vec![0, 1, 255]).into(),
        Value::List(vec![Value::List(vec![]), "a".into()]),
        Value::Undefined,
    ]
}

/// One of the well-known objects of a peer.
pub(crate) fn at(peer: &PeerLocator, object: WellKnown) -> Sturdyref {
    Sturdyref::new(peer.clone(), SwissNum::new(object.swiss()).unwrap())
}

/// Has our node call every object of the peer; `values` come back from its echo.
/// Neither side is left with anything of the other's.
///
/// # Panics
///
/// If one does not do as it should, or in time.
pub(crate) async fn call_everything(node: &Node, peer: &PeerLocator, values: Vec<Value>) {
    let calls = async {
        echoed(node, peer, values).await;
        references(node, peer).await;
        pipelined(node, peer).await;
        promises(node, peer).await;
        in_order(node, peer).await;
        nothing_is_left(node).await;
        // Endo never lets go of an object that was the answer to a question of its own.
        sturdyrefs(node, peer).await;
    };
    let called = tokio::time::timeout(4 * PATIENCE, calls).await;
    assert!(called.is_ok(), "the peer stopped answering: {:?}", node.sessions());
}

/// Of the hundreds of our objects that a peer has had, how many it may keep: Goblins'
/// collector is conservative, and takes a stray number for a reference.
const KEPT_ASTRAY: usize = 4;

/// Waits until each side has let go of what the other sent it.
async fn nothing_is_left(node: &Node) {
    let left = || {
        let sessions = node.sessions().into_iter();
        let is_left = |TableCounts { exports, imports, questions, answers }| {
            exports > KEPT_ASTRAY || imports + questions + answers > 0
        };
        sessions.filter(|session| is_left(session.tables)).collect::<Vec<_>>()
    };
    let emptied = async {
        while !left().is_empty() {
            // The peer's collector comes when it comes.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let emptied = tokio::time::timeout(PATIENCE, emptied).await;
    assert!(emptied.is_ok(), "not let go of: {:#?}", left());
}

async fn echoed(node: &Node, peer: &PeerLocator, values: Vec<Value>) {
    let echo = node.resolve(&at(peer, WellKnown::Echo)).await.unwrap();
    assert_eq!(echo.send(values.clone()).await, Ok(Value::List(values)));
    let pending: Vec<_> = (0..200).map(|n| echo.send(vec![n.into()])).collect();
    for (n, answer) in (0..200).zip(pending) {
        assert_eq!(answer.await, Ok(Value::List(vec![n.into()])));
    }
}

async fn references(node: &Node, peer: &PeerLocator) {
    let vat = node.vat("ours");
    let (heard, hear) = ocapn::promise();
    let hear = std::sync::Mutex::new(Some(hear));
    let ours = vat.spawn(move |turn: &mut Turn<'_>, args: Args| {
        if let Some(hear) = hear.lock().unwrap().take() {
            turn.resolve(hear, Ok(Value::List(args)));
        }
        Ok(Reply::value("thanks"))
    });
    let echo = node.enliven(&at(peer, WellKnown::Echo));
    let back = echo.send(vec![Value::from(&ours)]).await.unwrap();
    assert_eq!(back, Value::List(vec![Value::from(&ours)]));
    node.enliven(&at(peer, WellKnown::Greeter)).send_only(vec![Value::from(&ours)]);
    assert_eq!(heard.await, Ok(Value::List(vec!["Hello".into()])));
    let caller = node.enliven(&at(peer, WellKnown::Caller));
    assert_eq!(caller.send(vec![Value::from(&ours), 1.into()]).await, Ok("thanks".into()));
}

/// Nothing is awaited until the end.
async fn pipelined(node: &Node, peer: &PeerLocator) {
    let factory = node.enliven(&at(peer, WellKnown::CarFactoryBuilder)).send(vec![]);
    let order = |color| vec![Value::List(vec![Value::symbol(color), Value::symbol("wagon")])];
    let sound = factory.send(order("red")).send(vec![]);
    let broken = factory.send(vec![Value::List(vec![1.into()])]).send(vec![]);
    assert_eq!(sound.await, Ok("Vroom! I am a red wagon car!".into()));
    assert!(broken.await.is_err());
}

async fn promises(node: &Node, peer: &PeerLocator) {
    for verb in ["fulfill", "break"] {
        let maker = node.enliven(&at(peer, WellKnown::PromiseResolver));
        let pair = maker.send(vec![]).await;
        let Ok(Value::List(pair)) = pair else { panic!("{pair:?}") };
        let [Value::Ref(promise), Value::Ref(resolver)] = pair.as_slice() else {
            panic!("{pair:?}")
        };
        let settling = promise.settling();
        resolver.send_only(vec![Value::symbol(verb), 42.into()]);
        assert_eq!(settling.await.is_ok(), verb == "fulfill");
    }
}

async fn in_order(node: &Node, peer: &PeerLocator) {
    let mailbox = node.enliven(&at(peer, WellKnown::Mailbox));
    for number in 0..50 {
        mailbox.send_only(vec![number.into()]);
    }
    let kept = (0..50).map(|number| Value::List(vec![number.into()])).collect();
    assert_eq!(mailbox.send(vec![]).await, Ok(Value::List(kept)));
}

async fn sturdyrefs(node: &Node, peer: &PeerLocator) {
    let enlivener = node.enliven(&at(peer, WellKnown::SturdyrefEnlivener));
    let theirs = enlivener.send(vec![at(peer, WellKnown::Echo).into()]).send(vec!["self".into()]);
    assert_eq!(theirs.await, Ok(Value::List(vec!["self".into()])));
    let vat = node.vat("us");
    let ours = vat.spawn(|_turn: &mut Turn<'_>, args: Args| Ok(Reply::value(Value::List(args))));
    let ours = node.mint(&ours).unwrap();
    let called = enlivener.send(vec![ours.into()]).send(vec!["us".into()]);
    assert_eq!(called.await, Ok(Value::List(vec!["us".into()])));

    let unknown = Sturdyref::new(peer.clone(), SwissNum::new("no such object").unwrap());
    let error = node.resolve(&unknown).await.unwrap_err();
    assert!(matches!(error, EnlivenError::NoSuchObject(_)), "{error}");
}

/// What the only reference of a list stands for in the end: one that is given back may
/// come as a promise.
async fn only(list: Result<Value, Fault>) -> Value {
    let Ok(Value::List(items)) = list else { panic!("{list:?}") };
    let [Value::Ref(reference)] = items.as_slice() else { panic!("{items:?}") };
    reference.settling().await.unwrap()
}

/// Has our node give objects of the exporter's to the receiver: a handoff with us as
/// the gifter. Each is called there, comes back as the same reference, and is let go of.
///
/// # Panics
///
/// If one does not do as it should, or in time.
pub(crate) async fn give(node: &Node, exporter: &PeerLocator, receiver: &PeerLocator) {
    let gifts = async {
        let echo = node.resolve(&at(exporter, WellKnown::Echo)).await.unwrap();
        let greeter = node.resolve(&at(exporter, WellKnown::Greeter)).await.unwrap();
        let mailbox = node.resolve(&at(exporter, WellKnown::Mailbox)).await.unwrap();
        let caller = node.enliven(&at(receiver, WellKnown::Caller));
        let there = node.resolve(&at(receiver, WellKnown::Echo)).await.unwrap();
        let gift = || Value::from(&echo);

        let called = caller.send(vec![gift(), 1.into(), "two".into()]).await;
        assert_eq!(called, Ok(Value::List(vec![1.into(), "two".into()])), "the receiver calls it");
        let again = caller.send(vec![gift(), "again".into()]).await;
        assert_eq!(again, Ok(Value::List(vec!["again".into()])), "and again");
        let two = only(caller.send(vec![gift(), Value::from(&greeter)]).await).await;
        assert_eq!(two, Value::from(&greeter), "two gifts in one message");
        let back = only(there.send(vec![gift()]).await).await;
        assert_eq!(back, gift(), "it comes back as the same reference");

        node.enliven(&at(receiver, WellKnown::Greeter)).send_only(vec![Value::from(&mailbox)]);
        let hello = Value::List(vec!["Hello".into()]);
        loop {
            let Ok(Value::List(letters)) = mailbox.send(vec![]).await else { panic!("no letters") };
            if letters.contains(&hello) {
                break;
            }
        }
    };
    let given = tokio::time::timeout(2 * PATIENCE, gifts).await;
    assert!(given.is_ok(), "a peer stopped answering: {:?}", node.sessions());
}
