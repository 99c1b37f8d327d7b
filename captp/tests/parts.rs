//! Asking for parts of values that are not there yet, and naming answers.

mod support;

use captp::{ApiMisuse, Dialect, Event, Part, RemotePos, SessionConfig};
use support::{BOOTSTRAP, Pair, Resolver, Side, Thing, Value, config};

fn sent(side: &mut Side) -> String {
    String::from_utf8(side.transmit(true)).unwrap()
}

fn with_dialect(name: &str, seed: u8, dialect: Dialect) -> SessionConfig {
    let mut config = config(name, seed);
    config.dialect = dialect;
    config
}

#[test]
fn parts_as_they_are_written() {
    let mut pair = Pair::new();
    let asked = pair.a.deliver(BOOTSTRAP, &[], Some(Resolver(1))).unwrap().unwrap();
    sent(&mut pair.a);
    let cases = [
        (Part::Field("name".into()), "<6'op:get<11'desc:answer1+>4\"name2+>"),
        (Part::Index(7), "<8'op:index<11'desc:answer1+>7+3+>"),
        (Part::Tagged("point".into()), "<8'op:untag<11'desc:answer1+>5\"point4+>"),
    ];
    for (part, expected) in cases {
        pair.a.session.extract(RemotePos::Answer(asked), &part).unwrap();
        assert_eq!(sent(&mut pair.a), expected);
    }
}

/// A part of a part of an answer is asked for, sent a message and listened to before
/// the answer is there, all in one batch.
#[test]
fn parts_are_pipelined() {
    let mut pair = Pair::new();
    let answer = pair.a.deliver(BOOTSTRAP, &[], Some(Resolver(1))).unwrap().unwrap();
    let field = pair.a.session.extract(RemotePos::Answer(answer), &Part::Field("list".into()));
    let field = field.unwrap().expect("the peer understands");
    let item = pair.a.session.extract(RemotePos::Answer(field), &Part::Index(2)).unwrap().unwrap();
    pair.a.session.listen(RemotePos::Answer(item), Resolver(2)).unwrap();
    pair.a.deliver(RemotePos::Answer(item), &["hello".into()], None).unwrap();
    pair.pump();

    let Event::Bootstrap { question: Some(first), .. } = pair.b.next() else { panic!() };
    let Event::Extract { from, part: Part::Field(name), question: second } = pair.b.next() else {
        panic!("op:get")
    };
    assert_eq!((from, name.as_str()), (first.promise.clone(), "list"));
    let Event::Extract { from, part: Part::Index(2), question: third } = pair.b.next() else {
        panic!("op:index")
    };
    assert_eq!(from, second.promise);
    let Event::Listen { to, listener } = pair.b.next() else { panic!("op:listen") };
    assert_eq!(to, third.promise);
    let Event::Deliver { to, .. } = pair.b.next() else { panic!("op:deliver") };
    assert_eq!(to, third.promise);

    let args = [Value::symbol("fulfill"), 5.into()];
    pair.b.deliver(support::remote(&listener), &args, None).unwrap();
    pair.b.answer(first, Ok(1.into()));
    pair.pump();
    assert_eq!(pair.a.settled(), (Resolver(2), Ok(5.into())));
    assert_eq!(pair.a.settled(), (Resolver(1), Ok(1.into())));
    for pos in [answer, field, item] {
        pair.a.session.release(RemotePos::Answer(pos), 0);
    }
    drop((listener, to, second, third));
    pair.assert_quiescent();
}

#[test]
fn a_peer_that_is_not_known_to_understand_is_not_asked() {
    for dialect in [Dialect::UNHEARD, Dialect::SUITE_FEBRUARY, Dialect::SUITE_FOLDED] {
        let mut pair = Pair::with(with_dialect("alice", 1, dialect), config("bob", 2));
        let asked = pair.a.deliver(BOOTSTRAP, &[], Some(Resolver(1))).unwrap().unwrap();
        sent(&mut pair.a);
        let part = pair.a.session.extract(RemotePos::Answer(asked), &Part::Index(0));
        assert_eq!((part, sent(&mut pair.a)), (Ok(None), String::new()));
    }
}

#[test]
fn parts_count_as_questions() {
    let mut small = config("alice", 1);
    small.limits.questions = 1;
    let mut pair = Pair::with(small, config("bob", 2));
    let asked = pair.a.deliver(BOOTSTRAP, &[], Some(Resolver(1))).unwrap().unwrap();
    sent(&mut pair.a);
    let part = pair.a.session.extract(RemotePos::Answer(asked), &Part::Index(0)).unwrap_err();
    assert_eq!(part.to_string(), "limit exceeded: questions (1)");
    assert_eq!(sent(&mut pair.a), "", "nothing of it is left");
    pair.a.session.close("enough");
    let part = pair.a.session.extract(BOOTSTRAP, &Part::Index(0));
    assert_eq!(part, Err(ApiMisuse::Ended));
}

#[test]
fn listening_as_the_draft_has_it() {
    let mut pair = Pair::with(
        with_dialect("alice", 1, Dialect::DRAFT),
        with_dialect("bob", 2, Dialect::DRAFT),
    );
    let asked = pair.a.deliver(BOOTSTRAP, &[], Some(Resolver(1))).unwrap().unwrap();
    sent(&mut pair.a);
    pair.a.session.listen(RemotePos::Answer(asked), Resolver(2)).unwrap();
    assert_eq!(sent(&mut pair.a), "<9'op:listen<11'desc:answer1+><18'desc:import-object2+>>");
}

/// An answer among arguments: as itself where the dialect has that, as a promise of the
/// sender's where it has not.
#[test]
fn answers_among_arguments() {
    for (dialect, as_itself) in
        [(Dialect::ONE, false), (Dialect::DRAFT, true), (Dialect::HOBGOBLIN, true)]
    {
        let mut pair =
            Pair::with(with_dialect("alice", 1, dialect), with_dialect("bob", 2, Dialect::ONE));
        let asked = pair.a.deliver(BOOTSTRAP, &[], Some(Resolver(1))).unwrap().unwrap();
        let answer = Value::Ref(pair.a.runtime.answer(asked));
        pair.a.deliver(BOOTSTRAP, &[answer], None).unwrap();
        pair.pump();
        let question = pair.b.message().2.unwrap();
        let args = pair.b.message().1;
        let [Value::Ref(got)] = args.as_slice() else { panic!("a reference") };
        assert_eq!(*got == question.promise, as_itself);
        assert_eq!(matches!(**got, Thing::Import { promise: true, .. }), !as_itself);
        pair.b.answer(question, Ok(().into()));
        drop(args);
        pair.pump();
        pair.a.events.clear();
        pair.assert_quiescent();
    }
}

/// An answer that the peer has let go of is nothing it can name.
#[test]
fn answers_let_go_of_are_gone() {
    let mut pair = Pair::new();
    pair.a.receive(
        b"<10'op:deliver<11'desc:export0+>[]3+f><13'op:gc-answers[3+]>\
          <6'op:get<11'desc:answer3+>1\"a4+>",
    );
    drop(pair.a.next());
    assert_eq!(pair.a.end().to_string(), "protocol violation: no answer 3");
}
