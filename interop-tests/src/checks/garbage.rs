//! What is let go of, and who is told.

use super::{Check, Subject, check, ensure, fulfilled};
use crate::objects::WellKnown;
use crate::scripted::{Halt, Target, Term};

pub(super) const CHECKS: &[Check] = &[
    check!("gc-export", "lets go of a reference that nothing keeps", one),
    check!("gc-export-one-message", "counts each time a message names a reference", one_message),
    check!("gc-export-messages", "counts over several messages", several_messages),
    check!("gc-answer", "lets go of an answer that nobody waits for", answer),
    check!("gc-take-exports", "goes on after we let go of what it exports", take_exports),
    check!("gc-take-answers", "goes on after we let go of answers", take_answers),
];

async fn sent(subject: &Subject, messages: usize, each: usize) -> Result<(), Halt> {
    let (mut peer, echo) = subject.fetch(WellKnown::Echo).await?;
    let pos = peer.export();
    for _ in 0..messages {
        let args = vec![Term::descriptor("desc:import-object", pos); each];
        peer.tell(echo, args).await?;
    }
    peer.until_released(pos, (messages * each) as u64).await
}

async fn one(subject: &Subject) -> Result<(), Halt> {
    sent(subject, 1, 1).await
}

async fn one_message(subject: &Subject) -> Result<(), Halt> {
    sent(subject, 1, 4).await
}

async fn several_messages(subject: &Subject) -> Result<(), Halt> {
    sent(subject, 4, 1).await
}

async fn answer(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, greeter) = subject.fetch(WellKnown::Greeter).await?;
    let stranger = peer.export();
    peer.tell(greeter, [Term::descriptor("desc:import-object", stranger)]).await?;
    let greeting = peer.message_to(stranger).await?;
    let (Some(answer), Some(resolver)) = (greeting.answer, greeting.resolver) else {
        return Err(Halt::Unexpected("the greeting asks for no answer".to_owned()));
    };
    peer.tell(resolver, [Term::symbol("fulfill"), Term::text("Hello")]).await?;
    peer.until_answer_released(answer).await
}

async fn take_exports(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, builder) = subject.fetch(WellKnown::CarFactoryBuilder).await?;
    let factory = peer.call(builder, []).await?;
    let Some(factory) = factory.ok().and_then(|value| value.pos_of("desc:import-object")) else {
        return Err(Halt::Unexpected("no factory".to_owned()));
    };
    let lists = [Term::list([Term::int(factory)]), Term::list([Term::int(1)])];
    peer.say(&Term::record("op:gc-exports", lists)).await?;
    let again = peer.call(builder, []).await?;
    ensure(again.is_ok(), || "the builder broke".to_owned())
}

async fn take_answers(subject: &Subject) -> Result<(), Halt> {
    let (mut peer, echo) = subject.fetch(WellKnown::Echo).await?;
    let asked = peer.ask(echo, [Term::int(1)]).await?;
    fulfilled(&peer.settlement(asked.resolver).await?, &Term::list([Term::int(1)]))?;
    let Target::Answer(answer) = asked.answer else {
        return Ok(());
    };
    peer.say(&Term::record("op:gc-answers", [Term::list([Term::int(answer)])])).await?;
    fulfilled(&peer.call(echo, [Term::int(2)]).await?, &Term::list([Term::int(2)]))
}
