//! Operations that go out.

use super::{Part, Session, State};
use crate::dialect::{FireAndForget, Gc};
use crate::error::{ApiMisuse, LimitExceeded};
use crate::outbox::Mark;
use crate::passable::Passable;
use crate::position::{AnswerPos, ExportPos, RemotePos};
use crate::runtime::Runtime;
use crate::tables::{IDLE, Released};
use crate::value::{Outgoing, descriptor};
use crate::wire::head;

/// How many releases are held back, at most, from a peer that has not been heard.
const HOLD_RELEASES: usize = 64;

/// How many releases are worth an operation of their own.
const RELEASE_BATCH: usize = 32;

/// A message that could not be sent, with what was to hear its answer.
#[derive(Debug)]
pub struct Unsent<T> {
    /// Why.
    pub why: ApiMisuse,
    /// The resolver that was given.
    pub resolver: Option<T>,
}

impl<R: Runtime> Session<R> {
    /// Sends a message to something of the peer's.
    ///
    /// With a resolver, gives the position under which the answer may be sent
    /// messages before it is there; it is used until [`Session::release`].
    ///
    /// # Errors
    ///
    /// The message is not sent, and the tables are as before, if the session is not
    /// live, a limit is reached, or an argument can't be encoded.
    pub fn deliver(
        &mut self,
        runtime: &mut R,
        to: RemotePos,
        args: &[Passable<R::Ref>],
        resolver: Option<R::Resolver>,
    ) -> Result<Option<AnswerPos>, Unsent<R::Resolver>> {
        if !self.is_live() {
            return Err(Unsent { why: ApiMisuse::Ended, resolver });
        }
        let mark = self.outbox.mark();
        let written = match resolver {
            Some(resolver) => self.write_question(runtime, to, args, resolver).map(Some),
            None => self
                .write_statement(runtime, to, args)
                .map(|()| None)
                .map_err(|why| Unsent { why, resolver: None }),
        };
        self.finish(&mark, written)
    }

    /// Asks to be told when something of the peer's settles.
    ///
    /// # Errors
    ///
    /// As [`Session::deliver`].
    pub fn listen(
        &mut self,
        to: RemotePos,
        resolver: R::Resolver,
    ) -> Result<(), Unsent<R::Resolver>> {
        if !self.is_live() {
            return Err(Unsent { why: ApiMisuse::Ended, resolver: Some(resolver) });
        }
        let mark = self.outbox.mark();
        let written = self
            .tables
            .export_resolver(resolver)
            .map_err(|(limit, resolver)| Unsent { why: limit.into(), resolver: Some(resolver) });
        let written = written.map(|pos| {
            let wants_partial = self.dialect.listen_wants_partial;
            let mut out = self.outbox.encoder();
            out.begin_record();
            out.symbol("op:listen");
            target(&mut out, to);
            descriptor(&mut out, head::IMPORT_OBJECT, pos.0);
            if wants_partial {
                out.bool(false);
            }
            out.end_record();
        });
        self.finish(&mark, written)
    }

    /// Asks for a part of what a promise of the peer's comes to, or an answer
    /// (`op:get`, `op:index`, `op:untag`).
    ///
    /// Gives the position of the part, which may be sent messages, listened to and
    /// taken apart before it is there; it is used until [`Session::release`]. `None` if
    /// the peer is not known to understand: wait for the value, then, and look
    /// inside.
    ///
    /// # Errors
    ///
    /// As [`Session::deliver`].
    pub fn extract(
        &mut self,
        from: RemotePos,
        part: &Part,
    ) -> Result<Option<AnswerPos>, ApiMisuse> {
        if !self.is_live() {
            return Err(ApiMisuse::Ended);
        }
        if !self.dialect.extracts {
            return Ok(None);
        }
        let mark = self.outbox.mark();
        let written = self.write_extraction(from, part).map(Some);
        let written = written.map_err(|why| Unsent { why, resolver: None });
        self.finish(&mark, written).map_err(|unsent| unsent.why)
    }

    fn write_extraction(&mut self, from: RemotePos, part: &Part) -> Result<AnswerPos, ApiMisuse> {
        let answer = self.tables.ask()?;
        let mut out = self.outbox.encoder();
        out.begin_record();
        out.symbol(match part {
            Part::Field(_) => "op:get",
            Part::Index(_) => "op:index",
            Part::Tagged(_) => "op:untag",
        });
        target(&mut out, from);
        match part {
            Part::Field(name) | Part::Tagged(name) => out.string(name),
            Part::Index(index) => out.uint(*index),
        }
        out.uint(answer.0);
        out.end_record();
        Ok(answer)
    }

    fn write_question(
        &mut self,
        runtime: &mut R,
        to: RemotePos,
        args: &[Passable<R::Ref>],
        resolver: R::Resolver,
    ) -> Result<AnswerPos, Unsent<R::Resolver>> {
        let resolve_me = self
            .tables
            .export_resolver(resolver)
            .map_err(|(limit, resolver)| Unsent { why: limit.into(), resolver: Some(resolver) })?;
        // From here on the tables hold the resolver, and give it back in `finish`.
        let unsent = |why| Unsent { why, resolver: None };
        let answer = self.tables.ask().map_err(|limit| unsent(limit.into()))?;
        self.write_message(runtime, head::DELIVER, to, args).map_err(unsent)?;
        let mut out = self.outbox.encoder();
        out.uint(answer.0);
        descriptor(&mut out, head::IMPORT_OBJECT, resolve_me.0);
        out.end_record();
        Ok(answer)
    }

    fn write_statement(
        &mut self,
        runtime: &mut R,
        to: RemotePos,
        args: &[Passable<R::Ref>],
    ) -> Result<(), ApiMisuse> {
        let how = match self.dialect.fire_and_forget {
            // Once, to a peer that may be this crate: the resolver says that we are.
            FireAndForget::NoResolver if self.dialect.may_be_ours() && !self.shown => {
                FireAndForget::IdleResolver
            }
            how => how,
        };
        match how {
            FireAndForget::DeliverOnly => {
                self.write_message(runtime, head::DELIVER_ONLY, to, args)?;
            }
            FireAndForget::NoResolver => {
                self.write_message(runtime, head::DELIVER, to, args)?;
                let mut out = self.outbox.encoder();
                out.bool(false);
                out.bool(false);
            }
            FireAndForget::IdleResolver => {
                self.write_message(runtime, head::DELIVER, to, args)?;
                let idle = self.tables.export_idle();
                self.shown = true;
                let mut out = self.outbox.encoder();
                out.bool(false);
                descriptor(&mut out, head::IMPORT_OBJECT, idle.0);
            }
        }
        self.outbox.encoder().end_record();
        Ok(())
    }

    /// Shows a peer that is this crate that we are, too, if it can't know: by saying
    /// nothing to its resolver that does nothing, which stands until we let go of it.
    pub(super) fn return_greeting(&mut self) {
        if !self.dialect.met || self.shown {
            return;
        }
        self.shown = true;
        let mut out = self.outbox.encoder();
        out.begin_record();
        out.symbol("op:deliver");
        descriptor(&mut out, head::EXPORT, IDLE.0);
        out.begin_list();
        out.end_list();
        out.bool(false);
        out.bool(false);
        out.end_record();
        self.traffic.messages_out += 1;
    }

    /// The fields that all deliveries begin with.
    fn write_message(
        &mut self,
        runtime: &mut R,
        op: &[u8],
        to: RemotePos,
        args: &[Passable<R::Ref>],
    ) -> Result<(), ApiMisuse> {
        let mut out = self.outbox.encoder();
        out.raw(op);
        target(&mut out, to);
        let max_depth = self.config.limits.message_depth;
        let (tables, out, dialect) = (&mut self.tables, &mut self.outbox, self.dialect);
        Outgoing { tables, runtime, out, dialect, max_depth }.list(args, 1)
    }

    pub(super) fn write_flush(
        &mut self,
        runtime: &mut R,
        to: RemotePos,
        confirm: &R::Ref,
    ) -> Result<(), ApiMisuse> {
        let mut out = self.outbox.encoder();
        out.begin_record();
        out.symbol("op:flush");
        target(&mut out, to);
        let max_depth = self.config.limits.message_depth;
        let (tables, out, dialect) = (&mut self.tables, &mut self.outbox, self.dialect);
        Outgoing { tables, runtime, out, dialect, max_depth }.reference(confirm, 1)?;
        self.outbox.encoder().end_record();
        Ok(())
    }

    pub(super) fn write_confirmation(&mut self, confirm: RemotePos, resolver: ExportPos) {
        let mut out = self.outbox.encoder();
        out.begin_record();
        out.symbol("op:deliver");
        target(&mut out, confirm);
        out.begin_list();
        descriptor(&mut out, head::IMPORT_OBJECT, resolver.0);
        out.end_list();
        out.bool(false);
        out.bool(false);
        out.end_record();
    }

    /// Keeps a message that was written whole, and takes back what of it was written
    /// when it was not.
    pub(super) fn finish<T>(
        &mut self,
        mark: &Mark,
        written: Result<T, Unsent<R::Resolver>>,
    ) -> Result<T, Unsent<R::Resolver>> {
        let limit = self.config.limits.message_size;
        let written = match written {
            Ok(_) if self.outbox.since(mark) > limit => {
                Err(Unsent { why: ApiMisuse::TooLong(limit), resolver: None })
            }
            written => written,
        };
        match written {
            Ok(done) => {
                self.tables.commit_message();
                self.traffic.messages_out += 1;
                self.check_queue();
                Ok(done)
            }
            Err(unsent) => {
                self.outbox.rewind(mark);
                let resolver = self.tables.abandon_message().or(unsent.resolver);
                Err(Unsent { resolver, ..unsent })
            }
        }
    }

    /// Gives up on a peer that does not take what it is sent.
    fn check_queue(&mut self) {
        let limit = self.config.limits.queued_bytes;
        if self.outbox.len() > limit {
            self.outbox.clear();
            self.end(LimitExceeded { name: "queued_bytes", limit: limit as u64 }.into());
        }
    }

    pub(super) fn send_abort(&mut self, reason: &str) {
        let mut out = self.outbox.encoder();
        out.begin_record();
        out.symbol("op:abort");
        out.string(reason);
        out.end_record();
        self.traffic.messages_out += 1;
    }

    /// Whether the peer may be told of what was let go.
    pub(super) fn may_send_released(&self) -> bool {
        let waiting = self.tables.released.len();
        matches!(self.state, State::Live)
            && waiting > 0
            && (self.dialect.gc != Gc::Held || waiting >= HOLD_RELEASES)
    }

    /// Tells the peer what was let go, if it is time to.
    pub(super) fn send_released(&mut self, idle: bool) {
        let due = idle || !self.outbox.is_empty() || self.tables.released.len() >= RELEASE_BATCH;
        if !due || !self.may_send_released() {
            return;
        }
        let mut released = std::mem::take(&mut self.tables.released);
        let Released { imports, answers } = &released;
        let singular = self.dialect.gc == Gc::Singular;
        let mut out = self.outbox.encoder();
        if !imports.is_empty() {
            out.begin_record();
            out.symbol(if singular { "op:gc-export" } else { "op:gc-exports" });
            out.begin_list();
            imports.iter().for_each(|(pos, _)| out.uint(pos.0));
            out.end_list();
            out.begin_list();
            imports.iter().for_each(|(_, delta)| out.uint(*delta));
            out.end_list();
            out.end_record();
            self.traffic.messages_out += 1;
        }
        if !answers.is_empty() {
            out.begin_record();
            out.symbol(if singular { "op:gc-answer" } else { "op:gc-answers" });
            out.begin_list();
            answers.iter().for_each(|pos| out.uint(pos.0));
            out.end_list();
            out.end_record();
            self.traffic.messages_out += 1;
        }
        for pos in answers {
            self.tables.forget_question(*pos);
        }
        released.clear();
        // The allocations are kept for the next batch.
        self.tables.released = released;
    }
}

/// Writes whom a message is for.
#[inline]
fn target(out: &mut syrup::Encoder<'_>, to: RemotePos) {
    match to {
        RemotePos::Import(pos) => descriptor(out, head::EXPORT, pos.0),
        RemotePos::Answer(pos) => descriptor(out, head::ANSWER, pos.0),
    }
}
