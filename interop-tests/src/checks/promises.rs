//! Promises of the peer's, and listening to them.

use super::{Check, Subject, check, ensure, fulfilled};
use crate::objects::WellKnown;
use crate::scripted::{Halt, Scripted, Target, Term};

pub(super) const CHECKS: &[Check] = &[
    check!("listen-fulfill", "tells a listener when its promise is fulfilled", fulfil),
    check!("listen-break", "tells a listener when its promise breaks, and with what", breaks),
    check!("listen-settled", "tells a listener of a promise settled before", settled),
    check!("listen-twice", "tells every listener", twice),
    check!("listen-answer", "tells a listener of an answer", answer),
    check!("settle-once", "a promise settles once", once),
    check!("promise-to-object", "passes on messages to a promise once it is settled", to_object),
];

/// A promise of the peer's and its resolver.
async fn pair(subject: &Subject) -> Result<(Scripted, Target, Target), Halt> {
    let (mut peer, maker) = subject.fetch(WellKnown::PromiseResolver).await?;
    let made = peer.call(maker, []).await?;
    if let Ok(Term::List(pair)) = &made
        && let [promise, resolver] = pair.as_slice()
        && let Some(promise) = promise.pos_of("desc:import-promise")
        && let Some(resolver) = resolver.pos_of("desc:import-object")
    {
        return Ok((peer, Target::Export(promise), Target::Export(resolver)));
    }
    let (Ok(made) | Err(made)) = made;
    Err(Halt::Unexpected(format!("expected a promise and its resolver, got {made}")))
}

fn fulfil_with(value: Term) -> [Term; 2] {
    [Term::symbol("fulfill"), value]
}

async fn fulfil(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, promise, resolver) = pair(subject).await?;
    let listener = peer.listen(promise).await?;
    let value = Term::list([Term::int(42), Term::text("done")]);
    peer.tell(resolver, fulfil_with(value.clone())).await?;
    fulfilled(&peer.settlement(listener).await?, &value)
}

async fn breaks(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, promise, resolver) = pair(subject).await?;
    let listener = peer.listen(promise).await?;
    let reason = Term::symbol("oh-no");
    peer.tell(resolver, [Term::symbol("break"), reason.clone()]).await?;
    let settled = peer.settlement(listener).await?;
    ensure(settled == Err(reason), || format!("settled as {settled:?}"))
}

async fn settled(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, promise, resolver) = pair(subject).await?;
    peer.tell(resolver, fulfil_with(Term::symbol("ok"))).await?;
    let listener = peer.listen(promise).await?;
    fulfilled(&peer.settlement(listener).await?, &Term::symbol("ok"))
}

async fn twice(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, promise, resolver) = pair(subject).await?;
    let listeners = [peer.listen(promise).await?, peer.listen(promise).await?];
    peer.tell(resolver, fulfil_with(Term::int(1))).await?;
    for listener in listeners {
        fulfilled(&peer.settlement(listener).await?, &Term::int(1))?;
    }
    Ok(())
}

async fn answer(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, echo) = subject.fetch(WellKnown::Echo).await?;
    let answer = peer.ask_quietly(echo, [Term::int(1)]).await?;
    let listener = peer.listen(answer).await?;
    fulfilled(&peer.settlement(listener).await?, &Term::list([Term::int(1)]))
}

async fn once(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, promise, resolver) = pair(subject).await?;
    peer.tell(resolver, fulfil_with(Term::int(1))).await?;
    peer.tell(resolver, fulfil_with(Term::int(2))).await?;
    let listener = peer.listen(promise).await?;
    fulfilled(&peer.settlement(listener).await?, &Term::int(1))
}

async fn to_object(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, promise, resolver) = pair(subject).await?;
    let Target::Export(echo) = peer.fetch(WellKnown::Echo.swiss()).await? else {
        return Ok(());
    };
    let early = peer.ask(promise, [Term::int(1)]).await?;
    peer.tell(resolver, fulfil_with(Term::descriptor("desc:export", echo))).await?;
    fulfilled(&peer.settlement(early.resolver).await?, &Term::list([Term::int(1)]))
}
