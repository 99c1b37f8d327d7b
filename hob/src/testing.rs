//! What unit tests of objects share: a vat run by hand, and values as text.

use std::sync::Arc;

use ocapn::{Args, Fault, Ref, Turn, Value, Vat};
use vat_runtime::Manual;

use crate::notation;

/// A vat that runs when it is told to.
pub(crate) struct VatByHand {
    hand: Arc<Manual>,
    vat: Vat,
}

impl Default for VatByHand {
    fn default() -> Self {
        let hand = Manual::new();
        let vat = Vat::new("test", hand.clone());
        Self { hand, vat }
    }
}

impl VatByHand {
    /// Runs a turn, and all that follows from it.
    pub(crate) fn turn<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Turn<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let outcome = self.vat.run(body);
        self.hand.run_until_idle();
        outcome.wait()
    }

    /// Calls an object and prints the answer.
    pub(crate) fn call(&self, object: &Ref, args: Args) -> String {
        let answer = object.send(args);
        self.hand.run_until_idle();
        shown(answer.wait())
    }
}

/// An answer as text.
pub(crate) fn shown(outcome: Result<Value, Fault>) -> String {
    match outcome {
        Ok(value) => notation::print(&value, false),
        Err(fault) => format!("broken: {fault}"),
    }
}

/// Values with spaces between them.
pub(crate) fn values(text: &str) -> Args {
    match notation::parse(&format!("[{text}]"), &mut |_| Err("none here".into())) {
        Ok(Value::List(values)) => values,
        other => panic!("{text}: {other:?}"),
    }
}
