//! One vat, stepped by hand, for tests of single actors.

#![allow(dead_code, reason = "no test needs all of it")]

use std::sync::Arc;

use vat_runtime::{Args, Behaviour, Durable, Fault, Manual, Ref, Turn, Value, Vat};

/// A vat and what steps it.
pub(crate) struct ByHand {
    pub(crate) hand: Arc<Manual>,
    pub(crate) vat: Vat,
}

impl Default for ByHand {
    fn default() -> Self {
        let hand = Manual::new();
        Self { vat: Vat::new("test", hand.clone()), hand }
    }
}

impl ByHand {
    /// Runs a turn, and all that follows from it.
    pub(crate) fn turn<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Turn<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let done = self.vat.run(body);
        self.hand.run_until_idle();
        done.wait()
    }

    /// Sends a message and waits for its answer.
    pub(crate) fn send(&self, to: &Ref, args: Args) -> Result<Value, Fault> {
        let answer = to.send(args);
        self.hand.run_until_idle();
        answer.outcome().expect("the answer is there once nothing is left to do")
    }

    /// Sends a method with arguments and waits for its answer.
    pub(crate) fn call(
        &self,
        to: &Ref,
        method: &'static str,
        args: impl IntoIterator<Item = Value>,
    ) -> Result<Value, Fault> {
        self.send(to, message(method, args))
    }

    /// The text of the fault with which a method with arguments fails.
    pub(crate) fn fault(
        &self,
        to: &Ref,
        method: &'static str,
        args: impl IntoIterator<Item = Value>,
    ) -> String {
        self.call(to, method, args).expect_err("this fails").to_string()
    }

    /// An actor that is what the portrait of another says.
    pub(crate) fn restored<D: Durable>(&self, of: &D) -> Ref {
        self.vat.spawn(D::restore(of.portray()).expect("its own portrait restores it"))
    }

    /// Spawns from outside.
    pub(crate) fn spawn(&self, behaviour: impl Behaviour) -> Ref {
        self.vat.spawn(behaviour)
    }
}

/// A method and its arguments.
pub(crate) fn message(method: &'static str, args: impl IntoIterator<Item = Value>) -> Args {
    std::iter::once(Value::symbol(method)).chain(args).collect()
}

/// A list of values.
pub(crate) fn list<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Value {
    Value::List(items.into_iter().map(Into::into).collect())
}

/// The answer of a method that answers with nothing.
pub(crate) const NOTHING: Result<Value, Fault> = Ok(Value::Undefined);
