//! How sessions begin and end.

use super::{Check, Subject, check, ensure, fulfilled};
use crate::objects::WellKnown;
use crate::scripted::{Greeting, Halt, Term};

pub(super) const CHECKS: &[Check] = &[
    check!(
        "start-session",
        "greets with version 1.0, under the name it was dialled by, signed",
        start_session
    ),
    check!("start-session-in-pieces", "reads a greeting that comes byte by byte", in_pieces),
    check!("start-session-and-more", "reads a greeting and a message that come together", and_more),
    check!("bad-version", "aborts a session of another version", bad_version),
    check!("bad-signature", "aborts a session whose location is not signed for", bad_signature),
    check!(
        "bad-location",
        "aborts a session whose signature is for another location",
        bad_location
    ),
    check!(
        "abort-before-session",
        "does not go on after op:abort before the greeting",
        abort_before
    ),
    check!("abort", "ends the connection when told op:abort", abort),
    check!("hang-up", "ends the connection when the other side does", hang_up),
    check!(
        "garbage-elsewhere",
        "goes on answering while another session sends garbage",
        garbage_elsewhere
    ),
];

async fn start_session(subject: &Subject) -> Result<(), Halt> {
    let mut peer = subject.connect().await?;
    let greeting = peer.greet().await?;
    ensure(greeting.version == Greeting::VERSION, || format!("version {:?}", greeting.version))?;
    let wanted = (&subject.peer.transport, &subject.peer.designator);
    ensure(wanted == (&greeting.transport, &greeting.designator), || {
        format!("says it is {}.{}", greeting.designator, greeting.transport)
    })
}

async fn in_pieces(subject: &Subject) -> Result<(), Halt> {
    let mut peer = subject.connect().await?;
    for byte in peer.greeting().term().encode() {
        peer.say_bytes(&[byte]).await?;
    }
    peer.greeted().await?;
    peer.fetch(WellKnown::Echo.swiss()).await.map(|_| ())
}

async fn and_more(subject: &Subject) -> Result<(), Halt> {
    let mut peer = subject.connect().await?;
    let resolver = peer.export();
    let fetch = Term::record(
        "op:deliver",
        [
            Term::descriptor("desc:export", 0),
            Term::list([Term::symbol("fetch"), Term::bytes(WellKnown::Echo.swiss())]),
            Term::Bool(false),
            Term::descriptor("desc:import-object", resolver),
        ],
    );
    let mut both = peer.greeting().term().encode();
    both.extend(fetch.encode());
    peer.say_bytes(&both).await?;
    peer.greeted().await?;
    let settled = peer.settlement(resolver).await?;
    ensure(settled.is_ok(), || "the fetch broke".to_owned())
}

/// Whether a false greeting is answered with op:abort.
async fn refused(subject: &Subject, change: impl FnOnce(&mut Greeting)) -> Result<(), Halt> {
    let mut peer = subject.connect().await?;
    let mut greeting = peer.greeting();
    change(&mut greeting);
    peer.say(&greeting.term()).await?;
    peer.aborted().await.map(|_| ())
}

async fn bad_version(subject: &Subject) -> Result<(), Halt> {
    refused(subject, |greeting| greeting.version = "0.0".to_owned()).await
}

async fn bad_signature(subject: &Subject) -> Result<(), Halt> {
    refused(subject, |greeting| greeting.signed = Term::text("nothing of the kind")).await
}

async fn bad_location(subject: &Subject) -> Result<(), Halt> {
    refused(subject, |greeting| {
        let fields =
            [Term::symbol("tcp-testing-only"), Term::text("somebody-else"), Term::Bool(false)];
        greeting.location = Term::record("ocapn-peer", fields);
    })
    .await
}

async fn abort_before(subject: &Subject) -> Result<(), Halt> {
    let mut peer = subject.connect().await?;
    peer.say(&Term::record("op:abort", [Term::text("changed my mind")])).await?;
    // It may be too late to be heard, and need not succeed.
    let _unheard = peer.say(&peer.greeting().term()).await;
    peer.ended().await
}

async fn abort(subject: &Subject) -> Result<(), Halt> {
    let mut peer = subject.greet().await?;
    peer.say(&Term::record("op:abort", [Term::text("that is all")])).await?;
    peer.ended().await
}

async fn hang_up(subject: &Subject) -> Result<(), Halt> {
    let mut peer = subject.greet().await?;
    peer.hang_up().await?;
    peer.ended().await
}

async fn garbage_elsewhere(subject: &Subject) -> Result<(), Halt> {
    let (mut good, echo) = subject.fetch(WellKnown::Echo).await?;
    let mut before = subject.connect().await?;
    before.say_bytes(b"GET / HTTP/1.1\r\n\r\n").await?;
    let mut within = subject.greet().await?;
    within.say_bytes(b"<10'op:deliver}}}}").await?;
    let settled = good.call(echo, [Term::text("still there?")]).await?;
    fulfilled(&settled, &Term::list([Term::text("still there?")]))
}
