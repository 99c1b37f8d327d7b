//! The experiment `op:flush`, one session's part of it.

mod support;

use captp::{ApiMisuse, Event, Passable};
use support::{BOOTSTRAP, Pair, Resolver, Value, config, remote};

fn experimental() -> Pair {
    let [a, b] = [("alice", 1), ("bob", 2)].map(|(name, seed)| {
        let mut config = config(name, seed);
        config.experimental_flush = true;
        config
    });
    Pair::with(a, b)
}

/// `a` holds a promise of `b`'s and has asked how it settles; `b` flushes it.
#[test]
fn holder_and_shortener() {
    let mut pair = experimental();
    let asked = pair.a.deliver(BOOTSTRAP, &[], Some(Resolver(1))).unwrap().unwrap();
    pair.pump();
    let question = pair.b.message().2.unwrap();
    let r = remote(question.listener.as_ref().unwrap());
    let confirm = pair.b.runtime.local(false);
    pair.b.session.flush(&mut pair.b.runtime, r, &confirm).unwrap();
    pair.pump();

    let Event::Flush { resolver: Resolver(1), confirm: told } = pair.a.next() else { panic!() };
    pair.a.session.confirm_flush(remote(&told), Resolver(2)).unwrap();
    drop(told);
    pair.pump();

    let (to, args, _) = pair.b.message();
    assert_eq!(to, Some(confirm.clone()));
    let [Passable::Ref(next)] = args.as_slice() else { panic!("a resolver") };
    let args = [Value::symbol("fulfill"), 5.into()];
    pair.b.deliver(remote(next), &args, None).unwrap();
    pair.pump();
    assert_eq!(pair.a.settled(), (Resolver(2), Ok(5.into())));

    // The old resolver is used up: a second flush of it has no effect.
    pair.b.session.flush(&mut pair.b.runtime, r, &confirm).unwrap();
    pair.pump();
    assert!(matches!(pair.a.next(), Event::Unused(_)));
    pair.a.session.release(captp::RemotePos::Answer(asked), 0);
    pair.pump();
    assert!(pair.a.session.is_live() && pair.b.session.is_live());
}

#[test]
fn switched_off_it_is_an_unknown_operation() {
    let mut pair = Pair::new();
    let ours = pair.b.runtime.local(false);
    let refused = pair.b.session.flush(&mut pair.b.runtime, BOOTSTRAP, &ours);
    assert_eq!(refused, Err(ApiMisuse::Experimental));
    pair.a.receive(b"<8'op:flush<11'desc:export1+><18'desc:import-object1+>>");
    assert_eq!(pair.a.end().to_string(), "protocol violation: unknown operation");
}
