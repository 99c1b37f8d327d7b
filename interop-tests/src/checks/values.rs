//! What comes back from echo: each kind of value, and references there and back.

use num_bigint::BigInt;

use super::{Check, Subject, broken, check, ensure, fulfilled};
use crate::objects::WellKnown;
use crate::scripted::{Halt, Target, Term};

pub(super) const CHECKS: &[Check] = &[
    check!("fetch", "gives the well-known objects by their swiss numbers", fetch),
    check!("fetch-unknown", "breaks on a swiss number that it does not know", fetch_unknown),
    check!("echo-nothing", "an empty list of arguments", nothing),
    check!("echo-booleans", "true and false", booleans),
    check!("echo-integers", "integers up to 64 bits and at their edges", integers),
    check!("echo-big-integers", "integers of hundreds of digits", big_integers),
    check!("echo-floats", "doubles, infinities among them", floats),
    check!("echo-strings", "strings: empty, long, of several scripts", strings),
    check!("echo-strings-wide", "strings of characters beyond the first plane", wide_strings),
    check!("echo-symbols", "symbols, with a space, and named like methods", symbols),
    check!("echo-bytes", "byte arrays: empty, any byte", bytes),
    check!("echo-bytes-long", "a byte array of 70,000 bytes", long_bytes),
    check!("echo-lists", "lists: empty, mixed, nested", lists),
    check!("echo-structs", "structs, with keys of different lengths", structs),
    check!("echo-structs-by-content", "a struct whose keys go by their content", by_content),
    check!("echo-tagged", "a tagged value (desc:tagged)", tagged),
    check!("echo-undefined", "the void record", undefined),
    check!("echo-sturdyref", "a sturdyref, which is data", sturdyref),
    check!("echo-many", "forty arguments of one message", many),
    check!("echo-object", "our object comes back as ours", object),
    check!("echo-object-twice", "twice in one message, and again later", object_twice),
    check!("echo-itself", "its own object comes back under the position it has", itself),
    check!("echo-promise", "our promise comes back, or what it was fulfilled with", promise),
];

async fn fetch(subject: &Subject) -> Result<(), Halt> {
    let mut peer = subject.greet().await?;
    for object in WellKnown::ALL {
        let Target::Export(pos) = peer.fetch(object.swiss()).await? else {
            continue;
        };
        ensure(pos > 0, || format!("{} is at position {pos}", object.name()))?;
    }
    Ok(())
}

async fn fetch_unknown(subject: &Subject) -> Result<(), Halt> {
    let mut peer = subject.greet().await?;
    let question = peer.ask_for(b"no such object").await?;
    broken(&peer.settlement(question.resolver).await?)?;
    // The session goes on.
    peer.fetch(WellKnown::Echo.swiss()).await.map(|_| ())
}

async fn same(subject: &Subject, args: impl Into<Vec<Term>>) -> Result<(), Halt> {
    let args = args.into();
    let (mut peer, echo) = subject.fetch(WellKnown::Echo).await?;
    let settled = peer.call(echo, args.clone()).await?;
    fulfilled(&settled, &Term::List(args))
}

async fn nothing(subject: &Subject) -> Result<(), Halt> {
    same(subject, []).await
}

async fn booleans(subject: &Subject) -> Result<(), Halt> {
    same(subject, [Term::Bool(true), Term::Bool(false)]).await
}

async fn integers(subject: &Subject) -> Result<(), Halt> {
    let edges = [0, 1, -1, 9, 10, 127, -128, 65536, i64::MAX, i64::MIN];
    same(subject, edges.map(Term::int)).await
}

async fn big_integers(subject: &Subject) -> Result<(), Halt> {
    let big = BigInt::from(7).pow(400);
    let edge: BigInt = BigInt::from(i64::MAX) + 1;
    let below: BigInt = BigInt::from(i64::MIN) - 1;
    same(subject, [big.clone(), -big, edge, below].map(Term::Int)).await
}

async fn floats(subject: &Subject) -> Result<(), Halt> {
    let floats =
        [0.0, 1.5, -1.5, std::f64::consts::PI, 1e300, 5e-324, f64::INFINITY, f64::NEG_INFINITY];
    same(subject, floats.map(Term::Float)).await
}

async fn strings(subject: &Subject) -> Result<(), Halt> {
    let long = "x".repeat(20_000);
    same(subject, ["", "hello", "h\u{e9}llo \u{4e16}\u{754c}", &long].map(Term::text)).await
}

async fn wide_strings(subject: &Subject) -> Result<(), Halt> {
    same(subject, [Term::text("\u{1f600}")]).await
}

async fn symbols(subject: &Subject) -> Result<(), Halt> {
    same(subject, ["a", "fetch", "fulfill", "with space", "\u{4e16}"].map(Term::symbol)).await
}

async fn bytes(subject: &Subject) -> Result<(), Halt> {
    let every: Vec<u8> = (0..=255).collect();
    same(subject, [vec![], every].map(Term::Bytes)).await
}

async fn long_bytes(subject: &Subject) -> Result<(), Halt> {
    same(subject, [Term::bytes([90; 70_000])]).await
}

async fn lists(subject: &Subject) -> Result<(), Halt> {
    let mixed =
        Term::list([Term::text("a"), Term::symbol("b"), Term::Bool(true), Term::Float(1.5)]);
    let nested = (0..30).fold(Term::int(0), |inner, depth| Term::list([Term::int(depth), inner]));
    same(subject, [Term::list([]), mixed, nested]).await
}

async fn structs(subject: &Subject) -> Result<(), Halt> {
    let entry = |key: &str, value| (Term::text(key), value);
    let inner = Term::Dict(vec![entry("k", Term::int(1))]);
    let fields = vec![
        entry("name", Term::text("Alyssa")),
        entry("b", Term::list([Term::int(1)])),
        entry("nested", inner),
    ];
    same(subject, [Term::Dict(vec![]), Term::Dict(fields)]).await
}

/// As Endo writes structs, and wants them written. Terms put both in the same order.
async fn by_content(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, echo) = subject.fetch(WellKnown::Echo).await?;
    let (to, resolver) = (Term::from(echo), peer.export());
    let resolve_me = Term::descriptor("desc:import-object", resolver);
    let mut message = b"<10'op:deliver".to_vec();
    message.extend(to.encode());
    message.extend(b"[{2\"aa1+1\"b2+}]f");
    message.extend(resolve_me.encode());
    message.push(b'>');
    peer.say_bytes(&message).await?;
    let entry = |key: &str, value| (Term::text(key), Term::int(value));
    let expected = Term::Dict(vec![entry("aa", 1), entry("b", 2)]);
    fulfilled(&peer.settlement(resolver).await?, &Term::list([expected]))
}

async fn tagged(subject: &Subject) -> Result<(), Halt> {
    let fields = [Term::symbol("colour"), Term::list([Term::int(1), Term::int(2)])];
    same(subject, [Term::record("desc:tagged", fields)]).await
}

async fn undefined(subject: &Subject) -> Result<(), Halt> {
    same(subject, [Term::record("void", [])]).await
}

async fn sturdyref(subject: &Subject) -> Result<(), Halt> {
    let fields = [Term::from(&subject.peer), Term::bytes(*b"whatever it names")];
    same(subject, [Term::record("ocapn-sturdyref", fields)]).await
}

async fn many(subject: &Subject) -> Result<(), Halt> {
    same(subject, (0..40).map(Term::int).collect::<Vec<_>>()).await
}

fn ours(pos: u64) -> Term {
    Term::descriptor("desc:import-object", pos)
}

fn back(pos: u64) -> Term {
    Term::descriptor("desc:export", pos)
}

async fn object(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, echo) = subject.fetch(WellKnown::Echo).await?;
    let pos = peer.export();
    let settled = peer.call(echo, [ours(pos)]).await?;
    fulfilled(&settled, &Term::list([back(pos)]))
}

async fn object_twice(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, echo) = subject.fetch(WellKnown::Echo).await?;
    let (one, two) = (peer.export(), peer.export());
    for _ in 0..3 {
        let args = [ours(one), Term::list([ours(one), ours(two)])];
        let settled = peer.call(echo, args).await?;
        fulfilled(&settled, &Term::list([back(one), Term::list([back(one), back(two)])]))?;
    }
    Ok(())
}

async fn itself(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, echo) = subject.fetch(WellKnown::Echo).await?;
    let Target::Export(pos) = echo else {
        return Ok(());
    };
    let settled = peer.call(echo, [back(pos)]).await?;
    fulfilled(&settled, &Term::list([ours(pos)]))
}

async fn promise(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, echo) = subject.fetch(WellKnown::Echo).await?;
    let pos = peer.export();
    let promise = Term::descriptor("desc:import-promise", pos);
    let settled = peer.call(echo, [promise]).await?;
    fulfilled(&settled, &Term::list([back(pos)]))
}
