//! Messages: with and without an answer, pipelined, to us, in order.

use super::{Check, Subject, broken, check, ensure, fulfilled};
use crate::objects::WellKnown;
use crate::scripted::{Halt, Scripted, Target, Term};

pub(super) const CHECKS: &[Check] = &[
    check!("deliver", "answers a question at its resolver", deliver),
    check!("deliver-no-answer-pos", "answers a question without an answer position", no_answer_pos),
    check!("deliver-only", "takes a message that wants no answer", fire_and_forget),
    check!("deliver-quietly", "keeps an answer that nobody is to be told", quietly),
    check!("position-zero", "takes a resolver at our position 0", position_zero),
    check!("greeter", "greets us with Hello, and asks for the answer", greeter),
    check!("greet-promise", "greets a promise of ours before it is settled", greet_promise),
    check!("pipelining", "builds and drives a car that is only promised", pipelining),
    check!("pipelined-break", "breaks what is asked of a broken promise", pipelined_break),
    check!("pipelined-50", "builds and drives fifty cars in one breath", pipelined_fifty),
    check!("caller", "passes our answer on", caller),
    check!("caller-break", "passes our refusal on", caller_break),
    check!("mailbox-order", "keeps letters in the order they were sent", mailbox_order),
    check!("mailbox-order-pipelined", "keeps the order of letters to a promise", mailbox_pipelined),
];

const VROOM: &str = "Vroom! I am a red zoomracer car!";

fn order() -> [Term; 1] {
    [Term::list([Term::symbol("red"), Term::symbol("zoomracer")])]
}

async fn deliver(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, echo) = subject.fetch(WellKnown::Echo).await?;
    let args = [Term::text("foo"), Term::int(1), Term::Bool(false), Term::bytes(*b"bar")];
    let settled = peer.call(echo, args.clone()).await?;
    fulfilled(&settled, &Term::list(args))
}

/// Asks with a resolver and no answer position.
async fn ask_resolver(
    peer: &mut Scripted,
    to: Target,
    args: impl Into<Vec<Term>>,
    resolver: u64,
) -> Result<(), Halt> {
    let resolve_me = Term::descriptor("desc:import-object", resolver);
    let fields = [to.into(), Term::list(args), Term::Bool(false), resolve_me];
    peer.say(&Term::record("op:deliver", fields)).await
}

async fn no_answer_pos(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, echo) = subject.fetch(WellKnown::Echo).await?;
    let resolver = peer.export();
    ask_resolver(&mut peer, echo, [Term::int(7)], resolver).await?;
    fulfilled(&peer.settlement(resolver).await?, &Term::list([Term::int(7)]))
}

async fn position_zero(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, echo) = subject.fetch(WellKnown::Echo).await?;
    ask_resolver(&mut peer, echo, [Term::int(7)], 0).await?;
    fulfilled(&peer.settlement(0).await?, &Term::list([Term::int(7)]))
}

async fn fire_and_forget(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, greeter) = subject.fetch(WellKnown::Greeter).await?;
    let stranger = peer.export();
    peer.tell(greeter, [Term::descriptor("desc:import-object", stranger)]).await?;
    hello(&mut peer, stranger).await
}

async fn hello(peer: &mut Scripted, pos: u64) -> Result<(), Halt> {
    let greeting = peer.message_to(pos).await?;
    ensure(greeting.args == [Term::text("Hello")], || {
        format!("greeted with {}", Term::List(greeting.args))
    })
}

async fn quietly(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, builder) = subject.fetch(WellKnown::CarFactoryBuilder).await?;
    let factory = peer.ask_quietly(builder, []).await?;
    let car = peer.ask_quietly(factory, order()).await?;
    fulfilled(&peer.call(car, []).await?, &Term::text(VROOM))
}

async fn greeter(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, greeter) = subject.fetch(WellKnown::Greeter).await?;
    let stranger = peer.export();
    let asked = peer.ask(greeter, [Term::descriptor("desc:import-object", stranger)]).await?;
    let greeting = peer.message_to(stranger).await?;
    ensure(greeting.args == [Term::text("Hello")], || {
        format!("greeted with {}", Term::list(greeting.args.clone()))
    })?;
    ensure(greeting.answer.is_some() && greeting.resolver.is_some(), || {
        "the greeting does not ask for an answer".to_owned()
    })?;
    let settled = peer.settlement(asked.resolver).await?;
    ensure(settled.is_ok(), || "greeting us broke".to_owned())
}

async fn greet_promise(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, greeter) = subject.fetch(WellKnown::Greeter).await?;
    let promise = peer.export();
    peer.tell(greeter, [Term::descriptor("desc:import-promise", promise)]).await?;
    hello(&mut peer, promise).await
}

async fn pipelining(subject: &Subject) -> Result<(), Halt> {
    let mut peer = subject.greet().await?;
    let builder = peer.ask_for(WellKnown::CarFactoryBuilder.swiss()).await?;
    let factory = peer.ask(builder.answer, []).await?;
    let car = peer.ask(factory.answer, order()).await?;
    fulfilled(&peer.call(car.answer, []).await?, &Term::text(VROOM))
}

async fn pipelined_break(subject: &Subject) -> Result<(), Halt> {
    let mut peer = subject.greet().await?;
    let builder = peer.ask_for(WellKnown::CarFactoryBuilder.swiss()).await?;
    let factory = peer.ask(builder.answer, []).await?;
    let car = peer.ask(factory.answer, [Term::list([1, 2, 3].map(Term::int))]).await?;
    let sound = peer.ask(car.answer, []).await?;
    broken(&peer.settlement(sound.resolver).await?)?;
    broken(&peer.settlement(car.resolver).await?)?;
    ensure(peer.settlement(factory.resolver).await?.is_ok(), || "the factory broke".to_owned())
}

async fn pipelined_fifty(subject: &Subject) -> Result<(), Halt> {
    let mut peer = subject.greet().await?;
    let builder = peer.ask_for(WellKnown::CarFactoryBuilder.swiss()).await?;
    let factory = peer.ask(builder.answer, []).await?;
    let mut sounds = Vec::new();
    for _ in 0..50 {
        let car = peer.ask(factory.answer, order()).await?;
        sounds.push(peer.ask(car.answer, []).await?);
    }
    for sound in sounds {
        fulfilled(&peer.settlement(sound.resolver).await?, &Term::text(VROOM))?;
    }
    Ok(())
}

/// Has the caller call us with 1 and 2; we settle with `verb` and 3.
async fn through_caller(subject: &Subject, verb: &str) -> Result<Result<Term, Term>, Halt> {
    let (mut peer, caller) = subject.fetch(WellKnown::Caller).await?;
    let callee = peer.export();
    let args = [Term::descriptor("desc:import-object", callee), Term::int(1), Term::int(2)];
    let asked = peer.ask(caller, args).await?;
    let call = peer.message_to(callee).await?;
    ensure(call.args == [Term::int(1), Term::int(2)], || {
        format!("called with {}", Term::list(call.args.clone()))
    })?;
    let Some(resolver) = call.resolver else {
        return Err(Halt::Unexpected("the call asks for no answer".to_owned()));
    };
    peer.tell(resolver, [Term::symbol(verb), Term::int(3)]).await?;
    peer.settlement(asked.resolver).await
}

async fn caller(subject: &Subject) -> Result<(), Halt> {
    fulfilled(&through_caller(subject, "fulfill").await?, &Term::int(3))
}

async fn caller_break(subject: &Subject) -> Result<(), Halt> {
    broken(&through_caller(subject, "break").await?)
}

/// A letter that no other run has sent.
fn letter(run: &str, number: i64) -> [Term; 2] {
    [Term::text(run), Term::int(number)]
}

/// Whether the letters of this run are in the mailbox, in order and once.
fn in_order(run: &str, kept: Result<Term, Term>, count: i64) -> Result<(), Halt> {
    let kept =
        kept.map_err(|reason| Halt::Unexpected(format!("the mailbox broke with {reason}")))?;
    let ours = kept.as_list().unwrap_or_default().iter();
    let ours: Vec<_> = ours
        .filter(|kept| kept.as_list().and_then(<[Term]>::first) == Some(&Term::text(run)))
        .cloned()
        .collect();
    let sent: Vec<_> = (0..count).map(|number| Term::list(letter(run, number))).collect();
    ensure(ours == sent, || format!("kept {}", Term::List(ours)))
}

async fn mailbox_order(subject: &Subject) -> Result<(), Halt> {
    let run = subject.token()?;
    let (mut peer, mailbox) = subject.fetch(WellKnown::Mailbox).await?;
    for number in 0..20 {
        // Questions and statements share one queue.
        if number % 3 == 0 {
            peer.ask(mailbox, letter(&run, number)).await?;
        } else {
            peer.tell(mailbox, letter(&run, number)).await?;
        }
    }
    in_order(&run, peer.call(mailbox, []).await?, 20)
}

async fn mailbox_pipelined(subject: &Subject) -> Result<(), Halt> {
    let run = subject.token()?;
    let mut peer = subject.greet().await?;
    let mailbox = peer.ask_for(WellKnown::Mailbox.swiss()).await?;
    for number in 0..20 {
        peer.tell(mailbox.answer, letter(&run, number)).await?;
    }
    in_order(&run, peer.call(mailbox.answer, []).await?, 20)
}
