//! References across a session: counted exactly, released once.

mod support;

use captp::{Event, ImportPos, Limits, PeerViolation, RemotePos, SessionEnd, TableCounts};
use support::{BOOTSTRAP, Pair, Ref, Resolver, Value, config};

fn references(args: Vec<Value>) -> Vec<Ref> {
    let reference = |value| match value {
        Value::Ref(reference) => vec![reference],
        Value::List(values) => references(values),
        _ => vec![],
    };
    args.into_iter().flat_map(reference).collect()
}

#[test]
fn a_reference_comes_back_as_itself() {
    let mut pair = Pair::new();
    let ours = pair.a.runtime.local(false);
    pair.a.deliver(BOOTSTRAP, &[Value::Ref(ours.clone())], None).unwrap();
    pair.pump();
    let (_, args, _) = pair.b.message();
    pair.b.deliver(BOOTSTRAP, &args, None).unwrap();
    drop(args);
    pair.pump();
    let (_, args, _) = pair.a.message();
    assert_eq!(args, [Value::Ref(ours)]);
    pair.assert_quiescent();
}

#[test]
fn nested_and_repeated_references_are_counted_one_by_one() {
    let mut pair = Pair::new();
    let one = Value::Ref(pair.a.runtime.local(false));
    let two = Value::Ref(pair.a.runtime.local(true));
    let args =
        [one.clone(), Value::List(vec![one.clone(), two.clone(), Value::List(vec![one.clone()])])];
    for _ in 0..3 {
        pair.a.deliver(BOOTSTRAP, &args, None).unwrap();
    }
    pair.pump();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.extend(references(pair.b.message().1));
    }
    assert_eq!(held.len(), 12);
    assert_eq!(pair.a.session.table_counts().exports, 2);
    assert_eq!(pair.b.session.table_counts().imports, 2);
    assert!(pair.a.session.dump().contains("sent 9"), "{}", pair.a.session.dump());
    held.truncate(1);
    pair.pump();
    assert_eq!(pair.a.session.table_counts().exports, 1, "the promise is let go");
    drop(held);
    pair.assert_quiescent();
}

#[test]
fn a_reference_sent_again_while_it_is_being_released_survives() {
    let mut pair = Pair::new();
    let ours = Value::Ref(pair.a.runtime.local(false));
    pair.a.deliver(BOOTSTRAP, std::slice::from_ref(&ours), None).unwrap();
    pair.pump();
    let first = pair.b.message();
    // B lets go; before A hears of it, A sends the reference again.
    drop(first);
    let released = pair.b.transmit(true);
    pair.a.deliver(BOOTSTRAP, std::slice::from_ref(&ours), None).unwrap();
    pair.a.receive(&released);
    pair.pump();
    let (_, args, _) = pair.b.message();
    assert_eq!(pair.a.session.table_counts().exports, 1);
    pair.b.deliver(BOOTSTRAP, &args, None).unwrap();
    pair.pump();
    assert_eq!(pair.a.message().1, [ours]);
    drop(args);
    pair.assert_quiescent();
}

#[test]
fn a_reference_received_again_before_its_release_is_told_survives() {
    let mut pair = Pair::new();
    let ours = Value::Ref(pair.a.runtime.local(false));
    pair.a.deliver(BOOTSTRAP, std::slice::from_ref(&ours), None).unwrap();
    pair.a.deliver(BOOTSTRAP, &[ours], None).unwrap();
    let bytes = pair.a.transmit(false);
    let half = bytes.len() / 2;
    // B reads one message, drops the reference, and reads the other before the
    // session has been told of the drop.
    pair.b.receive(&bytes[..half]);
    drop(pair.b.message());
    pair.b.receive(&bytes[half..]);
    let held = pair.b.message();
    pair.pump();
    assert_eq!(pair.b.session.table_counts().imports, 1);
    assert!(pair.a.session.dump().contains("sent 2"), "{}", pair.a.session.dump());
    drop(held);
    pair.assert_quiescent();
}

#[test]
fn a_position_is_used_again_only_when_the_peer_has_let_go() {
    let mut pair = Pair::new();
    for _ in 0..if cfg!(miri) { 20 } else { 1000 } {
        let ours = Value::Ref(pair.a.runtime.local(false));
        pair.a.deliver(BOOTSTRAP, &[ours], Some(Resolver(1))).unwrap();
        pair.pump();
        let (_, _, question) = pair.b.message();
        pair.b.answer(question.unwrap(), Ok(1.into()));
        pair.pump();
        let (Resolver(1), Ok(_)) = pair.a.settled() else { panic!("an answer") };
        pair.a.session.release(RemotePos::Answer(captp::AnswerPos(1)), 0);
        pair.assert_quiescent();
    }
}

#[test]
fn what_the_peer_releases_twice_ends_the_session() {
    let mut pair = Pair::new();
    let ours = Value::Ref(pair.a.runtime.local(false));
    pair.a.deliver(BOOTSTRAP, &[ours], None).unwrap();
    pair.pump();
    pair.a.receive(b"<13'op:gc-exports[1+][2+]>");
    let SessionEnd::Violation(PeerViolation::OverRelease { sent: 1, delta: 2, .. }) = pair.a.end()
    else {
        panic!("expected an over-release")
    };
}

#[test]
fn the_bootstrap_object_is_never_released() {
    let mut pair = Pair::new();
    pair.a.receive(b"<13'op:gc-exports[0+0+][1+5+]>");
    assert!(pair.a.session.is_live());
    pair.b.deliver(BOOTSTRAP, &[], None).unwrap();
    pair.pump();
    assert!(pair.a.message().0.is_none());
}

#[test]
fn limits_refuse_what_crosses_them_and_leave_the_tables_as_they_were() {
    let mut small = config("alice", 1);
    small.limits = Limits::default();
    small.limits.exports = 3;
    small.limits.questions = 2;
    let mut pair = Pair::with(small, config("bob", 2));
    let refs: Vec<Value> = (0..3).map(|_| Value::Ref(pair.a.runtime.local(false))).collect();
    let unsent = pair.a.deliver(BOOTSTRAP, &refs, None).unwrap_err();
    assert_eq!(unsent.why.to_string(), "limit exceeded: exports (3)");
    assert_eq!(pair.a.session.table_counts(), TableCounts::default());
    assert!(pair.a.transmit(true).is_empty(), "nothing of the message is left");
    let unsent = pair.a.deliver(BOOTSTRAP, &refs[..2], Some(Resolver(9))).unwrap_err();
    assert_eq!(unsent.resolver, Some(Resolver(9)), "the resolver is given back");
    assert_eq!(pair.a.session.table_counts(), TableCounts::default());
    pair.a.deliver(BOOTSTRAP, &refs[..2], None).unwrap();
}

#[test]
fn too_many_imports_end_the_session() {
    let mut small = config("alice", 1);
    small.limits.imports = 2;
    let mut pair = Pair::with(small, config("bob", 2));
    let refs: Vec<Value> = (0..3).map(|_| Value::Ref(pair.b.runtime.local(false))).collect();
    pair.b.deliver(BOOTSTRAP, &refs, None).unwrap();
    pair.pump();
    assert_eq!(pair.a.end().to_string(), "limit exceeded: imports (2)");
    assert_eq!(pair.b.end().to_string(), "aborted by the peer: limit exceeded: imports (2)");
}

#[test]
fn the_end_settles_and_drops_everything() {
    let mut pair = Pair::new();
    let ours = pair.a.runtime.local(false);
    pair.a.deliver(BOOTSTRAP, &[Value::Ref(ours.clone())], Some(Resolver(5))).unwrap();
    pair.pump();
    pair.b.session.close("enough");
    pair.pump();
    let mut settled = false;
    let mut dropped = false;
    loop {
        match pair.a.next() {
            Event::Settled { resolver, outcome } => {
                settled = resolver == Resolver(5) && outcome.is_err();
            }
            Event::Dropped(references) => dropped = references.contains(&ours),
            Event::Ended(end) => break assert_eq!(end, SessionEnd::PeerAborted("enough".into())),
            other => panic!("unexpected {}", support::name(&other)),
        }
    }
    assert!(settled && dropped);
    assert_eq!(pair.a.session.table_counts(), TableCounts::default());
    let after = pair.a.deliver(RemotePos::Import(ImportPos(0)), &[], Some(Resolver(6)));
    assert_eq!(after.unwrap_err().resolver, Some(Resolver(6)));
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    let mut small = config("alice", 1);
    small.limits.queued_bytes = 1000;
    let mut pair = Pair::with(small, config("bob", 2));
    let mut sent = 0;
    while pair.a.session.is_live() {
        sent += 1;
        pair.a.deliver(BOOTSTRAP, &["a few bytes".into()], Some(Resolver(sent))).unwrap();
    }
    pair.a.session.take_events(&mut pair.a.events);
    for resolver in 1..=sent {
        let (settled, outcome) = pair.a.settled();
        assert_eq!((settled, outcome.is_err()), (Resolver(resolver), true));
    }
    assert_eq!(pair.a.end().to_string(), "limit exceeded: queued_bytes (1000)");
}

#[test]
fn of_many_let_go_of_at_once_what_stays_is_still_found() {
    let mut pair = Pair::new();
    let ours: Vec<_> = (0..5000).map(|_| Value::Ref(pair.a.runtime.local(false))).collect();
    pair.a.deliver(BOOTSTRAP, &ours, None).unwrap();
    let (positions, deltas): (String, String) =
        (10..=5000).map(|pos| (format!("{pos}+"), "1+")).unzip();
    pair.a.receive(format!("<13'op:gc-exports[{positions}][{deltas}]>").as_bytes());
    pair.a.session.check().unwrap();
    match pair.a.next() {
        Event::Dropped(references) => assert_eq!(references.len(), 4991),
        other => panic!("unexpected {}", support::name(&other)),
    }
    pair.a.deliver(BOOTSTRAP, &ours[..9], None).unwrap();
    let sent = pair.a.session.reference_counts().sent;
    assert_eq!(sent, (1..=9).map(|pos| (pos, 2)).collect::<Vec<_>>());
}
