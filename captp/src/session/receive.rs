//! Operations that come in.

use bytes::Bytes;
use syrup::Token;

use super::{BootstrapCall, Event, Part, Question, Session, State};
use crate::dialect::Heard;
use crate::error::{PeerViolation, SessionEnd};
use crate::handoff::{Envelope, GiftId};
use crate::passable::Passable;
use crate::position::{AnswerPos, ExportPos};
use crate::runtime::Runtime;
use crate::tables::Exported;
use crate::value::{Fatal, Incoming};
use crate::wire::{Reader, WireError, head};

/// Whom an operation names, before it is known whether that is allowed.
enum Target<R: Runtime> {
    Bootstrap,
    Reference(R::Ref),
    Resolver(ExportPos),
    Idle,
}

impl<R: Runtime> Session<R> {
    /// Acts on one whole message, which is a part of `source`.
    pub(super) fn receive_message(
        &mut self,
        runtime: &mut R,
        message: &[u8],
        source: &Bytes,
    ) -> Result<(), Fatal> {
        let decoding = self.decoding;
        let input = &mut Reader::new(message, source, &decoding);
        let op = if input.opens(head::DELIVER) {
            "op:deliver"
        } else if input.opens(head::GC_ANSWERS) {
            "op:gc-answers"
        } else {
            input.record("an operation")?
        };
        match (&self.state, op) {
            (_, "op:abort") => return self.aborted(input),
            (State::Greeting, "op:start-session") => return self.greeted(input),
            (State::Greeting, _) => return Err(PeerViolation::NotStarted.into()),
            (State::Ended, _) => return Ok(()),
            (State::Live, _) => {}
        }
        match op {
            "op:deliver" => self.delivered(runtime, input, true)?,
            "op:deliver-only" => {
                self.dialect.hear(Heard::DeliverOnly);
                self.delivered(runtime, input, false)?;
            }
            "op:listen" => self.listened(runtime, input)?,
            "op:get" | "op:index" | "op:untag" => self.extracted(runtime, op, input)?,
            "op:gc-exports" | "op:gc-export" => self.exports_released(op, input)?,
            "op:gc-answers" | "op:gc-answer" => self.answers_released(op, input)?,
            "op:flush" if self.config.experimental_flush => self.flushed(runtime, input)?,
            "op:start-session" => return Err(PeerViolation::StartedTwice.into()),
            _ => return Err(PeerViolation::UnknownOperation.into()),
        }
        input.record_end()?;
        Ok(input.end()?)
    }

    fn aborted(&mut self, input: &mut Reader<'_>) -> Result<(), Fatal> {
        let reason = match input.token()? {
            Token::String(reason) => reason.chars().take(1024).collect(),
            _ => "no reason given".to_owned(),
        };
        Err(Box::new(SessionEnd::PeerAborted(reason)))
    }

    fn target(&mut self, input: &mut Reader<'_>) -> Result<Target<R>, Fatal> {
        if let Some(pos) = input.positioned(head::EXPORT) {
            return self.exported_target(ExportPos(pos));
        }
        let offset = input.offset();
        let label = input.record("a target")?;
        let pos = input.position()?;
        input.record_end()?;
        match label {
            "desc:export" => self.exported_target(ExportPos(pos)),
            "desc:answer" => Ok(Target::Reference(self.tables.answer(AnswerPos(pos))?.clone())),
            _ => Err(WireError::unexpected(offset, "a target").into()),
        }
    }

    fn exported_target(&mut self, pos: ExportPos) -> Result<Target<R>, Fatal> {
        Ok(match self.tables.exported(pos)? {
            Exported::Bootstrap => Target::Bootstrap,
            Exported::Reference { reference, .. } => Target::Reference(reference.clone()),
            Exported::Resolver(_) => Target::Resolver(pos),
            Exported::Idle => Target::Idle,
        })
    }

    /// A target of operations that only promises understand.
    fn promise_target(&mut self, input: &mut Reader<'_>) -> Result<R::Ref, Fatal> {
        match self.target(input)? {
            Target::Reference(reference) => Ok(reference),
            Target::Resolver(pos) => Err(PeerViolation::NoSuchExport(pos).into()),
            Target::Bootstrap | Target::Idle => {
                Err(PeerViolation::NoSuchExport(ExportPos(0)).into())
            }
        }
    }

    fn delivered(
        &mut self,
        runtime: &mut R,
        input: &mut Reader<'_>,
        answerable: bool,
    ) -> Result<(), Fatal> {
        let to = self.target(input)?;
        input.expect("a list of arguments", |token| matches!(token, Token::ListStart))?;
        if matches!(to, Target::Bootstrap) {
            let call = self.bootstrap_call(runtime, input)?;
            let question = if answerable { self.question(runtime, input)? } else { None };
            self.accept_handoffs();
            self.return_greeting();
            self.events.push_back(Event::Bootstrap { call, question });
            return Ok(());
        }
        let args = self.incoming(runtime).list(input)?;
        let question = if answerable { self.question(runtime, input)? } else { None };
        self.accept_handoffs();
        self.return_greeting();
        match to {
            Target::Reference(to) => {
                self.events.push_back(Event::Deliver { to, args, question });
            }
            Target::Resolver(pos) => {
                self.settled(pos, args)?;
                self.events.extend(question.map(Event::Acknowledge));
            }
            Target::Idle | Target::Bootstrap => {
                if args.is_empty() {
                    self.dialect.hear(Heard::Ourselves);
                }
                self.drop_values(args);
                self.events.extend(question.map(Event::Acknowledge));
            }
        }
        Ok(())
    }

    pub(super) fn incoming<'s>(&'s mut self, runtime: &'s mut R) -> Incoming<'s, R> {
        Incoming {
            tables: &mut self.tables,
            runtime,
            dialect: &mut self.dialect,
            handoffs: &mut self.handoffs,
        }
    }

    /// Announces the gifts in a message, before the message.
    fn accept_handoffs(&mut self) {
        for (give, resolver) in self.handoffs.drain(..) {
            self.events.push_back(Event::Handoff { give: Box::new(give), resolver });
        }
    }

    /// The arguments of a call of the bootstrap object, up to the list's end.
    fn bootstrap_call(
        &mut self,
        runtime: &mut R,
        input: &mut Reader<'_>,
    ) -> Result<BootstrapCall<R>, Fatal> {
        let call = match input.peek_symbol().unwrap_or_default() {
            "fetch" => {
                input.token()?;
                let offset = input.offset();
                match input.token()? {
                    Token::Bytes(swiss) => BootstrapCall::Fetch(input.share(swiss)),
                    Token::String(swiss) => {
                        BootstrapCall::Fetch(Bytes::copy_from_slice(swiss.as_bytes()))
                    }
                    _ => return Err(WireError::unexpected(offset, "a swiss number").into()),
                }
            }
            "deposit-gift" => {
                input.token()?;
                let gift = GiftId::decode(input)?;
                let offset = input.offset();
                match self.incoming(runtime).value(input)? {
                    Passable::Ref(reference) => BootstrapCall::DepositGift(gift, reference),
                    _ => return Err(WireError::unexpected(offset, "a reference").into()),
                }
            }
            "withdraw-gift" => {
                input.token()?;
                let offset = input.offset();
                let unexpected = WireError::unexpected(offset, "a signed handoff-receive");
                if input.record("a sig-envelope")? != "desc:sig-envelope" {
                    return Err(unexpected.into());
                }
                match Envelope::decode(input)? {
                    Envelope::Receive(receive) => BootstrapCall::WithdrawGift(Box::new(receive)),
                    Envelope::Give(_) => return Err(unexpected.into()),
                }
            }
            _ => return Ok(BootstrapCall::Unknown(self.incoming(runtime).list(input)?)),
        };
        input.expect("no more arguments", |token| matches!(token, Token::ListEnd))?;
        Ok(call)
    }

    /// The last two fields of `op:deliver`.
    fn question(
        &mut self,
        runtime: &mut R,
        input: &mut Reader<'_>,
    ) -> Result<Option<Question<R>>, Fatal> {
        let answer = self.answer_field(input)?;
        let listener = match input.positioned(head::IMPORT_OBJECT) {
            Some(pos) => Some(self.incoming(runtime).import(pos, false)?),
            None => self.listener_field(runtime, input)?,
        };
        if answer.is_none() && listener.is_none() {
            return Ok(None);
        }
        if self.tables.imports_zero() {
            self.dialect.hear(Heard::ExportAtZero);
        }
        Ok(Some(self.open_question(runtime, answer, listener)))
    }

    /// A resolver in any form, or false.
    fn listener_field(
        &mut self,
        runtime: &mut R,
        input: &mut Reader<'_>,
    ) -> Result<Option<R::Ref>, Fatal> {
        let offset = input.offset();
        match input.token()? {
            Token::Bool(false) => {
                self.dialect.hear(Heard::NoResolver);
                Ok(None)
            }
            Token::RecordStart => {
                let expected = WireError::unexpected(offset, "a resolver");
                let Token::Symbol(label) = input.token()? else {
                    return Err(expected.into());
                };
                Ok(Some(self.incoming(runtime).descriptor(label, input)?.ok_or(expected)?))
            }
            _ => Err(WireError::unexpected(offset, "a resolver or false").into()),
        }
    }

    fn answer_field(&mut self, input: &mut Reader<'_>) -> Result<Option<AnswerPos>, Fatal> {
        let offset = input.offset();
        let pos = match input.token()? {
            Token::Bool(false) => return Ok(None),
            Token::Int(pos) => u64::try_from(pos).ok().map(AnswerPos),
            _ => None,
        };
        let pos = pos.ok_or(WireError::unexpected(offset, "an answer position or false"))?;
        self.tables.room_to_answer(pos)?;
        Ok(Some(pos))
    }

    fn open_question(
        &mut self,
        runtime: &mut R,
        answer: Option<AnswerPos>,
        listener: Option<R::Ref>,
    ) -> Question<R> {
        let (promise, resolver) = runtime.promise();
        if let Some(pos) = answer {
            self.tables.add_answer(pos, promise.clone());
        }
        Question { promise, resolver, listener }
    }

    /// `fulfill value` or `break reason`, said to a resolver of ours.
    fn settled(
        &mut self,
        pos: ExportPos,
        mut args: Vec<Passable<R::Ref>>,
    ) -> Result<(), PeerViolation> {
        let Exported::Resolver(slot) = self.tables.exported(pos)? else {
            return Ok(());
        };
        let Some(resolver) = slot.take() else {
            // A promise settles once; what comes later is dropped as it would be by
            // a resolver object.
            self.drop_values(args);
            return Ok(());
        };
        let verb = args.first().and_then(Passable::as_symbol);
        let fulfilled = match verb {
            Some("fulfill") => Some(true),
            Some("break") => Some(false),
            _ => None,
        };
        let outcome = match fulfilled {
            Some(fulfilled) => {
                let value = if args.len() > 1 { args.swap_remove(1) } else { Passable::Undefined };
                if fulfilled { Ok(value) } else { Err(value) }
            }
            None => Err(Passable::error("the answer was neither fulfilled nor broken")),
        };
        self.drop_values(args);
        self.events.push_back(Event::Settled { resolver, outcome });
        Ok(())
    }

    /// Unused arguments may hold references, which the runtime drops, not we.
    fn drop_values(&mut self, args: Vec<Passable<R::Ref>>) {
        if args.iter().any(|value| !value.is_plain_atom()) {
            self.events.push_back(Event::Unused(args));
        }
    }

    fn listened(&mut self, runtime: &mut R, input: &mut Reader<'_>) -> Result<(), Fatal> {
        let to = self.promise_target(input)?;
        let offset = input.offset();
        let label = input.record("a listener")?;
        let listener = self
            .incoming(runtime)
            .descriptor(label, input)?
            .ok_or(WireError::unexpected(offset, "a listener"))?;
        self.events.push_back(Event::Listen { to, listener });
        // The third field, whether partial resolutions are wanted, is gone from the
        // draft; promises here tell of nothing but their end.
        self.optional_bool(input)
    }

    /// Reads a boolean if the record has one more field. The record's end is left.
    fn optional_bool(&mut self, input: &mut Reader<'_>) -> Result<(), Fatal> {
        if input.at_record_end() {
            return Ok(());
        }
        Ok(input.expect("a boolean", |token| matches!(token, Token::Bool(_)))?)
    }

    fn extracted(
        &mut self,
        runtime: &mut R,
        op: &str,
        input: &mut Reader<'_>,
    ) -> Result<(), Fatal> {
        let from = self.promise_target(input)?;
        let offset = input.offset();
        let part = match (op, input.token()?) {
            ("op:get", Token::String(field) | Token::Symbol(field)) => Part::Field(field.into()),
            ("op:untag", Token::String(tag) | Token::Symbol(tag)) => Part::Tagged(tag.into()),
            ("op:index", Token::Int(index)) => Part::Index(
                u64::try_from(index).map_err(|_| WireError::unexpected(offset, "an index"))?,
            ),
            _ => return Err(WireError::unexpected(offset, "a field, index or tag").into()),
        };
        let offset = input.offset();
        let answer =
            self.answer_field(input)?.ok_or(WireError::unexpected(offset, "an answer position"))?;
        self.dialect.hear(Heard::Extraction);
        let question = self.open_question(runtime, Some(answer), None);
        self.events.push_back(Event::Extract { from, part, question });
        Ok(())
    }

    fn exports_released(&mut self, op: &str, input: &mut Reader<'_>) -> Result<(), Fatal> {
        self.hear_gc(op == "op:gc-exports");
        let positions = input.positions()?;
        let deltas = input.positions()?;
        if positions.len() != deltas.len() {
            return Err(PeerViolation::UnevenGc.into());
        }
        let mut dropped = Vec::new();
        let mut released = Ok(());
        for (pos, delta) in positions.into_iter().zip(deltas) {
            match self.tables.release_export(ExportPos(pos), delta) {
                Ok(Some(Exported::Reference { reference, .. })) => dropped.push(reference),
                Ok(Some(Exported::Resolver(Some(resolver)))) => {
                    let reason = "the other side will not answer";
                    let outcome = Err(Passable::error(reason));
                    self.events.push_back(Event::Settled { resolver, outcome });
                }
                Ok(_) => {}
                Err(violation) => {
                    released = Err(violation.into());
                    break;
                }
            }
        }
        self.tables.forget_keys();
        self.dropped(dropped);
        released
    }

    fn answers_released(&mut self, op: &str, input: &mut Reader<'_>) -> Result<(), Fatal> {
        self.hear_gc(op == "op:gc-answers");
        let mut dropped = Vec::new();
        let mut released = Ok(());
        for pos in input.positions()? {
            match self.tables.release_answer(AnswerPos(pos)) {
                Ok(promise) => dropped.push(promise),
                Err(violation) => {
                    released = Err(violation.into());
                    break;
                }
            }
        }
        self.dropped(dropped);
        released
    }

    /// What the peer no longer names is the runtime's to drop.
    pub(super) fn dropped(&mut self, dropped: Vec<R::Ref>) {
        if !dropped.is_empty() {
            self.events.push_back(Event::Dropped(dropped));
        }
    }

    fn hear_gc(&mut self, plural: bool) {
        self.dialect.hear(if plural { Heard::PluralGc } else { Heard::SingularGc });
    }
}
