//! Membranes: everything that is reached through one is behind it too. Owns how one is
//! made; [`gate`] is what it remembers, [`wrapper`] what stands at its places.

mod gate;
mod wrapper;

pub(crate) use self::gate::Gate;
pub(crate) use self::wrapper::Wrapper;
use super::arguments::{Call, whole};
use crate::{Args, Behaviour, Durable, Fault, Ref, Reply, RestoreError, Turn, Value};

/// A proxy for the target, behind a [`Membrane`], and what cuts it: called with
/// nothing, it does.
pub fn revocable(turn: &mut Turn<'_>, target: Ref) -> (Ref, Ref) {
    Membrane::new().around(turn, target)
}

/// How a membrane is to be.
///
/// A membrane has two sides: inside is the target, outside whoever has the proxy. Each
/// reference that passes, in arguments or in answers, in either direction, inside of
/// other values too, is replaced with a proxy, so that what is reached through it is
/// behind the membrane as well; one that passes back is again what it was. A reference
/// that passes twice is the same proxy both times, for as long as anybody has that. A
/// promise passes as a promise: what it comes to is replaced then.
///
/// When it is revoked, all proxies refuse all messages at once, in both directions, and
/// hold nothing more; promises that have not settled break. The revoker understands
/// `revoke` (or nothing), `revoked?` and `state`, a struct.
///
/// Three things to know. Sturdyrefs and other data pass as they are: do not give the
/// inside what it could write its own authority down with. Messages to a promise that
/// passed wait until it settles: they are not pipelined through the membrane. And in a
/// vat that is stored, where proxies sleep, a reference that passes again may get a
/// second proxy, which is cut with the first.
#[must_use = "a membrane is made with `around`"]
pub struct Membrane {
    log: Option<Ref>,
    log_arguments: bool,
    limit: usize,
}

impl Membrane {
    /// How many proxies and unsettled promises a membrane has at most, where nothing
    /// else is said.
    pub const DEFAULT_LIMIT: usize = 65_536;

    /// A membrane that is only for being revoked.
    pub const fn new() -> Self {
        Self { log: None, log_arguments: false, limit: Self::DEFAULT_LIMIT }
    }

    /// Tells the log of every message that passes: `in` or `out`, as a symbol, and the
    /// method, a symbol, or undefined for a message without one.
    ///
    /// A message is logged also if it fails: where there is a log, the answer to one that
    /// failed is a broken promise, also to a caller in the same vat. A closure is a log
    /// too, once it is spawned.
    pub fn log(self, log: Ref) -> Self {
        Self { log: Some(log), ..self }
    }

    /// Tells the log the arguments too: a list, after the method. The log gets the
    /// references in it, which belong to the side that the message goes to.
    pub const fn log_arguments(mut self) -> Self {
        self.log_arguments = true;
        self
    }

    /// The same membrane with another limit to the proxies and unsettled promises that
    /// are there at a time. A message that needs more fails.
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Makes the membrane around the target: a proxy for it, and the revoker.
    pub fn around(self, turn: &mut Turn<'_>, target: Ref) -> (Ref, Ref) {
        let gate = turn.spawn(Gate::new(self.log, self.log_arguments, self.limit));
        let revoker = turn.spawn(Revoker(gate.clone()));
        let first = vec![Value::symbol("cross"), Value::symbol("inner"), target.into()];
        // Fails only where not even one reference may pass: then there is no proxy.
        let proxy = turn.call(&gate, first).and_then(|proxy| match proxy {
            Value::Ref(proxy) => Ok(proxy),
            _ => Err("what is not a reference needs no membrane".into()),
        });
        let proxy = proxy.unwrap_or_else(|fault| crate::Promise::settled(Err(fault)).into_ref());
        (proxy, revoker)
    }
}

impl Default for Membrane {
    fn default() -> Self {
        Self::new()
    }
}

pub(crate) struct Revoker(Ref);

impl Behaviour for Revoker {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        if args.is_empty() {
            return turn.call(&self.0, vec![Value::symbol("revoke")]).map(Reply::value);
        }
        let call = Call::method("revoker", args)?;
        match call.name() {
            "revoke" | "revoked?" | "state" => {
                call.end()?;
                turn.call(&self.0, vec![Value::Symbol(call.name().into())]).map(Reply::value)
            }
            _ => call.otherwise("revoke, revoked?, state"),
        }
    }
}

impl Durable for Revoker {
    fn portray(&self) -> Value {
        (&self.0).into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        whole("revoker", portrait).map(Self)
    }
}
