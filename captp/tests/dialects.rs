//! What is sent to whom, and that every known form is understood.

mod support;

use captp::{Dialect, Event};
use support::{BOOTSTRAP, Pair, Side, Value, config};

/// A pair whose `a` does not know its peer's dialect.
fn unheard() -> Pair {
    speaking(Dialect::UNHEARD)
}

fn speaking(dialect: Dialect) -> Pair {
    let mut alice = config("alice", 1);
    alice.dialect = dialect;
    Pair::with(alice, config("bob", 2))
}

fn sent(side: &mut Side) -> String {
    String::from_utf8(side.transmit(true)).unwrap()
}

/// What `a` sends for a message that wants no answer, and for a release.
fn habits(pair: &mut Pair) -> (String, String) {
    sent(&mut pair.a);
    // The first one may say who we are.
    pair.a.deliver(BOOTSTRAP, &[], None).unwrap();
    sent(&mut pair.a);
    pair.a.deliver(BOOTSTRAP, &[], None).unwrap();
    let message = sent(&mut pair.a);
    pair.a.receive(
        b"<10'op:deliver<11'desc:export0+>[<18'desc:import-object9+>]f<18'desc:import-object8+>>",
    );
    drop(pair.a.message());
    (message, sent(&mut pair.a))
}

#[test]
fn a_peer_that_has_not_been_heard_gets_what_all_accept() {
    let (message, release) = habits(&mut unheard());
    assert_eq!(
        message,
        "<10'op:deliver<11'desc:export0+>[]f<18'desc:import-object79643229515618+>>"
    );
    assert_eq!(release, "", "releases are held back");
}

#[test]
fn a_february_peer_gets_its_own_forms() {
    let mut pair = unheard();
    pair.a.receive(b"<15'op:deliver-only<11'desc:export0+>[]>");
    pair.a.events.clear();
    let (message, release) = habits(&mut pair);
    assert_eq!(message, "<15'op:deliver-only<11'desc:export0+>[]>");
    assert_eq!(release, "<12'op:gc-export[9+8+][1+1+]>");
}

#[test]
fn a_peer_is_told_of_releases_as_it_tells_of_them() {
    for heard in ["<12'op:gc-export[][]>", "<12'op:gc-answer[]>"] {
        let mut pair = unheard();
        pair.a.receive(heard.as_bytes());
        let (_, release) = habits(&mut pair);
        assert_eq!(release, "<12'op:gc-export[9+8+][1+1+]>", "after {heard}");
    }
}

/// The suite whose `op:deliver` takes a false resolver, but whose GC operations have
/// the old labels, gives itself away by what it exports first.
#[test]
fn a_peer_that_exports_at_zero_is_the_suite() {
    let mut pair = unheard();
    pair.a.receive(
        b"<10'op:deliver<11'desc:export0+>[]f<18'desc:import-object0+>>\
          <10'op:deliver<11'desc:export0+>[]ff>",
    );
    let kept = pair.a.message();
    pair.a.events.clear();
    let (message, release) = habits(&mut pair);
    assert_eq!(message, "<10'op:deliver<11'desc:export0+>[]ff>");
    assert_eq!(release, "<12'op:gc-export[9+8+][1+1+]>");
    drop(kept);
}

#[test]
fn a_peer_of_today_gets_its_own_forms() {
    for heard in
        ["<10'op:deliver<11'desc:export0+>[]ff>", "<13'op:gc-exports[][]>", "<13'op:gc-answers[]>"]
    {
        let mut pair = unheard();
        pair.a.receive(heard.as_bytes());
        pair.a.events.clear();
        let (message, release) = habits(&mut pair);
        assert_eq!(message, "<10'op:deliver<11'desc:export0+>[]ff>", "after {heard}");
        assert_eq!(release, "<13'op:gc-exports[9+8+][1+1+]>");
    }
}

/// Endo ends the session over a struct that is not in its own order, where keys differ
/// in length; the others read any.
#[test]
fn a_struct_is_in_the_order_that_the_peer_writes() {
    let fields = |names: [&str; 3]| names.map(|name| (name.into(), Value::Int(1))).to_vec();
    for mut pair in [speaking(Dialect::TODAY), unheard()] {
        sent(&mut pair.a);
        let said = |pair: &mut Pair| {
            let value = Value::Struct(fields(["b", "aa", "c"]));
            pair.a.deliver(BOOTSTRAP, &[value], None).unwrap();
            let said = sent(&mut pair.a);
            said[said.find('{').unwrap()..=said.find('}').unwrap()].to_owned()
        };
        assert_eq!(said(&mut pair), "{2\"aa1+1\"b1+1\"c1+}");
        let hear = |pair: &mut Pair, structure: &str| {
            let message = format!("<10'op:deliver<11'desc:export0+>[{structure}]ff>");
            pair.a.receive(message.as_bytes());
        };
        // Same lengths, ascending in both orders and in none: these show nothing.
        for neither in ["{1\"a1+1\"b1+}", "{1\"a1+2\"bb1+}", "{2\"bb1+1\"a1+}"] {
            hear(&mut pair, neither);
        }
        assert_eq!(said(&mut pair), "{2\"aa1+1\"b1+1\"c1+}");
        hear(&mut pair, "[{1\"k{1\"b1+2\"aa1+}}]");
        assert_eq!(said(&mut pair), "{1\"b1+1\"c1+2\"aa1+}");
        hear(&mut pair, "{2\"aa1+1\"b1+}");
        assert_eq!(said(&mut pair), "{2\"aa1+1\"b1+1\"c1+}");
        // A length of two digits sorts by its first.
        hear(&mut pair, "{10\"zzzzzzzzzz1+2\"aa1+}");
        assert_eq!(said(&mut pair), "{1\"b1+1\"c1+2\"aa1+}");
    }
}

#[test]
fn releases_are_not_held_back_for_ever() {
    let mut pair = unheard();
    sent(&mut pair.a);
    for pos in 10..74 {
        assert_eq!(sent(&mut pair.a), "");
        let message = format!("<10'op:deliver<11'desc:export0+>[]f<18'desc:import-object{pos}+>>");
        pair.a.receive(message.as_bytes());
        drop(pair.a.message());
    }
    assert!(sent(&mut pair.a).starts_with("<13'op:gc-exports[10+11+"));
}

#[test]
fn listening_with_two_fields_or_three() {
    for wants in ["", "f", "t"] {
        let mut pair = Pair::new();
        let promise = Value::Ref(pair.a.runtime.local(true));
        pair.a.deliver(BOOTSTRAP, &[promise], None).unwrap();
        sent(&mut pair.a);
        let listen = format!("<9'op:listen<11'desc:export1+><18'desc:import-object5+>{wants}>");
        pair.a.receive(listen.as_bytes());
        assert!(matches!(pair.a.next(), Event::Listen { .. }));
    }
}

#[test]
fn releases_in_lists_or_one_by_one() {
    for label in ["op:gc-exports", "op:gc-export"] {
        for body in ["[1+][1+]", "1+1+"] {
            let mut pair = Pair::new();
            let ours = Value::Ref(pair.a.runtime.local(false));
            pair.a.deliver(BOOTSTRAP, &[ours], None).unwrap();
            pair.a.receive(format!("<{}'{label}{body}>", label.len()).as_bytes());
            assert!(matches!(pair.a.next(), Event::Dropped(_)), "{label}{body}");
        }
    }
}

#[test]
fn other_peoples_values_are_understood() {
    let mut pair = Pair::new();
    let cases: [(&str, Value); 9] = [
        ("<4'void>", ().into()),
        ("<4'null>", Value::Null),
        ("F\u{0}\u{0}\u{0}\u{0}", 0.0.into()),
        (
            "<16'exn:fail:mystery>",
            error("the other side does not say what went wrong", Some("exn:fail:mystery")),
        ),
        ("<10'desc:error4\"oops>", error("oops", None)),
        ("<11'desc:tagged1'a1+>", tagged("a")),
        ("<11'user-record1'a1+>", tagged("a")),
        ("<2'kw1'a>", record("kw", vec![Value::symbol("a")])),
        ("<4'pair1+2+>", record("pair", vec![1.into(), 2.into()])),
    ];
    for (encoded, expected) in cases {
        let message = format!("<10'op:deliver<11'desc:export0+>[{encoded}]ff>");
        pair.a.receive(message.as_bytes());
        assert_eq!(pair.a.message().1, [expected], "{encoded}");
    }
}

fn error(message: &str, label: Option<&str>) -> Value {
    Value::Error(Box::new(captp::ErrorValue {
        message: message.into(),
        fields: vec![],
        label: label.map(Into::into),
    }))
}

fn tagged(tag: &str) -> Value {
    Value::Tagged(Box::new(captp::Tagged { tag: tag.into(), value: 1.into() }))
}

fn record(label: &'static str, fields: Vec<Value>) -> Value {
    Value::Record(Box::new(captp::Record { label: Value::symbol(label), fields }))
}
