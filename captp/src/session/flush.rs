//! `op:flush` (#277), an experiment that is off unless
//! [`SessionConfig::experimental_flush`](super::SessionConfig) is set.
//!
//! A *shortener*, whose promise has come to another peer's, asks the *holder* of that
//! promise to stop sending along it ([`Session::flush`]). The holder takes the resolver
//! that the operation names, has the promise follow a new one, and only then sends that
//! one's resolver back ([`Event::Flush`], [`Session::confirm_flush`]). The shortener goes
//! on forwarding until that has come, and then resolves it with the shorter way; if it is
//! itself being flushed meanwhile, with the promise that is yet shorter.
//!
//! The wire form is not settled, and the protocol is not known to keep the order that it
//! is for: in the TLA+ models of the proposal plain shortening fails with two, three
//! and four parties; a strengthened variant passes with two, with three and with two
//! shortenings that cross, and still loses the order on a line of four. An answer that is
//! known by its position alone can't be flushed. What a second flush of one resolver
//! means is undefined; here it has no effect. Nothing in this workspace relies on it.

use super::{Event, Session, Unsent};
use crate::error::{ApiMisuse, PeerViolation};
use crate::passable::Passable;
use crate::position::{ExportPos, RemotePos};
use crate::runtime::Runtime;
use crate::tables::Exported;
use crate::value::Fatal;
use crate::wire::{Reader, WireError};

impl<R: Runtime> Session<R> {
    /// Asks the holder of a promise of ours to stop sending along it. `to` is the
    /// resolver with which it is told of the promise; `confirm` is an object of ours,
    /// which is then sent the resolver of the holder's new promise.
    ///
    /// # Errors
    ///
    /// As [`Session::deliver`]; also where the experiment is off.
    pub fn flush(
        &mut self,
        runtime: &mut R,
        to: RemotePos,
        confirm: &R::Ref,
    ) -> Result<(), ApiMisuse> {
        if !self.is_live() {
            return Err(ApiMisuse::Ended);
        }
        if !self.config.experimental_flush {
            return Err(ApiMisuse::Experimental);
        }
        let mark = self.outbox.mark();
        let written = self.write_flush(runtime, to, confirm);
        let written = written.map_err(|why| Unsent { why, resolver: None });
        self.finish(&mark, written).map_err(|unsent| unsent.why)
    }

    /// Tells the shortener of an [`Event::Flush`] that nothing more will come along the
    /// old way: `resolver` is that of the promise which the old one now follows.
    ///
    /// # Errors
    ///
    /// As [`Session::deliver`].
    pub fn confirm_flush(
        &mut self,
        confirm: RemotePos,
        resolver: R::Resolver,
    ) -> Result<(), Unsent<R::Resolver>> {
        if !self.is_live() {
            return Err(Unsent { why: ApiMisuse::Ended, resolver: Some(resolver) });
        }
        let mark = self.outbox.mark();
        let exported = self.tables.export_resolver(resolver);
        let written = exported
            .map(|pos| self.write_confirmation(confirm, pos))
            .map_err(|(limit, resolver)| Unsent { why: limit.into(), resolver: Some(resolver) });
        self.finish(&mark, written)
    }

    /// Reads an `op:flush` after its label.
    pub(super) fn flushed(&mut self, runtime: &mut R, input: &mut Reader<'_>) -> Result<(), Fatal> {
        let offset = input.offset();
        if input.record("a resolver")? != "desc:export" {
            return Err(WireError::unexpected(offset, "a resolver").into());
        }
        let pos = ExportPos(input.position()?);
        input.record_end()?;
        let offset = input.offset();
        let label = input.record("whom to tell")?;
        let confirm = self.incoming(runtime).descriptor(label, input)?;
        let confirm = confirm.ok_or(WireError::unexpected(offset, "whom to tell"))?;
        match self.tables.exported(pos)? {
            Exported::Resolver(slot) => match slot.take() {
                Some(resolver) => self.events.push_back(Event::Flush { resolver, confirm }),
                None => self.events.push_back(Event::Unused(vec![Passable::Ref(confirm)])),
            },
            _ => return Err(PeerViolation::NoSuchExport(pos).into()),
        }
        Ok(())
    }
}
