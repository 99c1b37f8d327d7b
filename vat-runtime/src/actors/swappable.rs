//! A proxy whose target can be changed.

use super::arguments::{Call, whole};
use super::{Cell, call_or_send};
use crate::{Args, Behaviour, Durable, Fault, Ref, Reply, RestoreError, Turn, Value};

/// Makes a proxy for the target and what changes its target: called with a reference,
/// it makes that the target of all messages that the proxy gets from then on.
pub fn swappable(turn: &mut Turn<'_>, target: Ref) -> (Ref, Ref) {
    let cell = turn.spawn(Cell::new(target));
    let proxy = turn.spawn(Proxy(cell.clone()));
    let swapper = turn.spawn(Swapper(cell));
    (proxy, swapper)
}

pub(crate) struct Proxy(Ref);

impl Behaviour for Proxy {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let target: Ref = Call::plain("proxy", vec![turn.call(&self.0, vec![])?]).only("target")?;
        call_or_send(turn, &target, args).map(Reply::value)
    }
}

impl Durable for Proxy {
    fn portray(&self) -> Value {
        (&self.0).into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        whole("swappable proxy", portrait).map(Self)
    }
}

pub(crate) struct Swapper(Ref);

impl Behaviour for Swapper {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let target: Ref = Call::plain("swapper", args).only("target")?;
        turn.call(&self.0, vec![target.into()]).map(Reply::value)
    }
}

impl Durable for Swapper {
    fn portray(&self) -> Value {
        (&self.0).into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        whole("swapper", portrait).map(Self)
    }
}
