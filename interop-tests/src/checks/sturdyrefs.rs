//! Sturdyrefs that the peer enlivens.

use super::{Check, Subject, broken, check, ensure, fulfilled};
use crate::objects::WellKnown;
use crate::scripted::{Halt, Scripted, Term};

pub(super) const CHECKS: &[Check] = &[
    check!("enliven-self", "enlivens a sturdyref of its own", itself),
    check!("enliven-unknown", "breaks on one of its own that it does not know", unknown),
    check!("enliven-us", "dials us, greets, fetches and passes messages on", us),
];

fn sturdyref(peer: &ocapn::PeerLocator, swiss: &[u8]) -> Term {
    Term::record("ocapn-sturdyref", [peer.into(), Term::bytes(swiss)])
}

async fn itself(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, enlivener) = subject.fetch(WellKnown::SturdyrefEnlivener).await?;
    let echo = peer.ask(enlivener, [sturdyref(&subject.peer, WellKnown::Echo.swiss())]).await?;
    let settled = peer.call(echo.answer, [Term::symbol("self")]).await?;
    fulfilled(&settled, &Term::list([Term::symbol("self")]))
}

async fn unknown(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, enlivener) = subject.fetch(WellKnown::SturdyrefEnlivener).await?;
    broken(&peer.call(enlivener, [sturdyref(&subject.peer, b"no such object")]).await?)
}

/// The peer has a session with us by which we call it; it dials another place of
/// ours, under another name.
async fn us(subject: &Subject) -> Result<(), Halt> {
    const SWISS: &[u8] = b"an object of the checker's";
    let (mut peer, enlivener) = subject.fetch(WellKnown::SturdyrefEnlivener).await?;
    let elsewhere = subject.ours().await?;
    let location = elsewhere.netlayer.location();
    let asked = peer.ask(enlivener, [sturdyref(&location, SWISS)]).await?;

    let mut dialled = Scripted::accept(&*elsewhere.netlayer, subject.patience).await?;
    dialled.greet().await?;
    let fetch = dialled.message_to(0).await?;
    let wanted = [Term::symbol("fetch"), Term::bytes(SWISS)];
    ensure(fetch.args == wanted, || format!("asked us for {}", Term::list(fetch.args.clone())))?;
    let Some(resolver) = fetch.resolver else {
        return Err(Halt::Unexpected("the fetch asks for no answer".to_owned()));
    };
    let object = dialled.export();
    let reference = Term::descriptor("desc:import-object", object);
    dialled.tell(resolver, [Term::symbol("fulfill"), reference]).await?;

    // The message may overtake our answer, and then comes to the peer's promise of it.
    peer.tell(asked.answer, [Term::text("hello there")]).await?;
    let heard = dialled.message_to_either(object, fetch.answer).await?;
    ensure(heard.args == [Term::text("hello there")], || {
        format!("heard {}", Term::list(heard.args.clone()))
    })
}
