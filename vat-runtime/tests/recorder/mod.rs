//! An actor that notes the messages it gets, for tests of order.

use std::sync::{Arc, Mutex};

use vat_runtime::{Args, Behaviour, Fault, Reply, Turn, Value};

/// What was received, oldest first. The actor answers each message with its first
/// argument.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<Args>>>);

impl Recorder {
    /// The first argument of each message.
    #[allow(dead_code, reason = "not every test looks")]
    pub(crate) fn heard(&self) -> Vec<Value> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|args| args.first().cloned().unwrap_or_default())
            .collect()
    }
}

impl Behaviour for Recorder {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let first = args.first().cloned().unwrap_or_default();
        self.0.lock().unwrap().push(args);
        Ok(first.into())
    }
}

/// The values of a range, to compare with what was heard.
#[allow(dead_code, reason = "not every test numbers its messages")]
pub(crate) fn numbers(range: std::ops::Range<i64>) -> Vec<Value> {
    range.map(Value::from).collect()
}
