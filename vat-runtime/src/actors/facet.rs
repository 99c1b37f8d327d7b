//! A facet: some of an actor's methods.

use smol_str::SmolStr;

use super::arguments::Portrait;
use super::call_or_send;
use crate::{Args, Behaviour, Durable, Fault, Ref, Reply, RestoreError, Symbol, Turn, Value};

/// Passes on the methods that it is for, and nothing else. An actor of the same vat is
/// called, any other is sent to.
///
/// Nobody can ask a facet what it is of. For one that can be inspected and cut, see
/// [`attenuate`](super::attenuate()).
pub struct Facet {
    target: Ref,
    methods: Vec<SmolStr>,
}

impl Facet {
    /// A facet that gives access to those methods of the target.
    pub fn new<M: Into<SmolStr>>(target: Ref, methods: impl IntoIterator<Item = M>) -> Self {
        Self { target, methods: methods.into_iter().map(Into::into).collect() }
    }
}

impl Behaviour for Facet {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        check_method(&self.methods, &args)?;
        call_or_send(turn, &self.target, args).map(Reply::value)
    }
}

/// Whether a message is one of those methods.
pub(crate) fn check_method(methods: &[SmolStr], args: &Args) -> Result<(), Fault> {
    match args.first() {
        Some(Value::Symbol(method)) if methods.contains(method) => Ok(()),
        Some(Value::Symbol(method)) => {
            Err(format!("this gives no access to the method {method}").into())
        }
        _ => Err("this gives access to methods only".into()),
    }
}

impl Durable for Facet {
    fn portray(&self) -> Value {
        let methods = self.methods.iter().cloned().map(Value::Symbol);
        Value::List(std::iter::once((&self.target).into()).chain(methods).collect())
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("facet", portrait)?;
        let target = portrait.part("the target")?;
        let methods = portrait.rest::<Symbol>().map(|method| Ok(method?.0));
        Ok(Self { target, methods: methods.collect::<Result<_, RestoreError>>()? })
    }
}
