//! Actors and short ways to open them in stores.

use std::sync::Arc;

use vat_runtime::persist::{Backend, Durable, Environment, RestoreError, Store, StoreOptions};
use vat_runtime::{Args, Behaviour, Fault, Limits, Manual, Ref, Reply, Turn, Value, Vat};

/// Counts its messages; a number is added, a string refused.
pub(crate) struct Counter(pub(crate) i64);

impl Behaviour for Counter {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match args.first() {
            None => Ok(self.0.into()),
            Some(Value::Int(by)) => Ok(Reply::become_with(Self(self.0 + by), self.0 + by)),
            Some(_) => Err("not a number".into()),
        }
    }

    fn name(&self) -> &'static str {
        "test counter"
    }
}

impl Durable for Counter {
    fn portray(&self) -> Value {
        self.0.into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        Ok(Self(portrait.as_int().ok_or_else(|| RestoreError::new("a counter is a number"))?))
    }
}

/// Holds a value: `get`, `set value`, `pass args…` sends on to the reference it holds.
pub(crate) struct Holder(pub(crate) Value);

impl Behaviour for Holder {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut args = args.into_iter();
        let verb = args.next().unwrap_or_default();
        match verb.as_symbol() {
            // In a list: an answer that is a promise would become what that settles to.
            Some("get") => Ok(Value::from(vec![self.0.clone()]).into()),
            Some("set") => Ok(Reply::becomes(Self(args.next().unwrap_or_default()))),
            Some("pass") => {
                let to = self.0.as_ref().ok_or("holds no reference")?;
                Ok(turn.send(to, args.collect()).into_ref().into())
            }
            _ => Err("a holder understands get, set and pass".into()),
        }
    }

    fn name(&self) -> &'static str {
        "test holder"
    }
}

impl Durable for Holder {
    fn portray(&self) -> Value {
        Value::Struct(vec![("held".into(), self.0.clone())])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        match portrait {
            Value::Struct(fields) => match <[_; 1]>::try_from(fields) {
                Ok([(_, value)]) => Ok(Self(value)),
                Err(_) => Err(RestoreError::new("a holder holds one value")),
            },
            _ => Err(RestoreError::new("a holder's portrait is a struct")),
        }
    }
}

/// Holds money. `withdraw n` fails if there is not so much, `deposit n from` calls
/// another purse's `withdraw`.
pub(crate) struct Purse(pub(crate) u32);

impl Behaviour for Purse {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let amount = || match args.get(1) {
            Some(Value::Int(amount)) => u32::try_from(*amount).map_err(|_| "no such amount"),
            _ => Err("an amount is wanted"),
        };
        match args.first().and_then(Value::as_symbol) {
            Some("balance") => Ok(self.0.into()),
            Some("withdraw") => {
                let left = self.0.checked_sub(amount()?).ok_or("not so much in the purse")?;
                Ok(Reply::becomes(Self(left)))
            }
            Some("deposit") => {
                let from = args.get(2).and_then(Value::as_ref).ok_or("from which purse?")?;
                turn.call(from, vec![Value::symbol("withdraw"), amount()?.into()])?;
                Ok(Reply::becomes(Self(self.0 + amount()?)))
            }
            _ => Err("a purse understands balance, withdraw and deposit".into()),
        }
    }
}

impl Durable for Purse {
    fn portray(&self) -> Value {
        self.0.into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let amount = portrait.as_int().and_then(|amount| u32::try_from(amount).ok());
        Ok(Self(amount.ok_or_else(|| RestoreError::new("a purse is an amount"))?))
    }
}

pub(crate) fn environment() -> Environment {
    let mut environment = Environment::new();
    environment.kind::<Counter>("counter").unwrap();
    environment.kind::<Holder>("holder").unwrap();
    environment.kind::<Purse>("purse").unwrap();
    environment
}

/// A store that is committed by hand, and a scheduler stepped by hand.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) hand: Arc<Manual>,
}

impl World {
    pub(crate) fn open(backend: impl Backend) -> Self {
        let store = Store::open_with(backend, StoreOptions::default().by_hand()).unwrap();
        Self { store, hand: Manual::new() }
    }

    pub(crate) fn vat(&self, name: &str) -> Vat {
        self.vat_with(name, Limits::default(), &environment())
    }

    pub(crate) fn vat_with(&self, name: &str, limits: Limits, environment: &Environment) -> Vat {
        Vat::open(name, self.hand.clone(), limits, &self.store, environment).unwrap()
    }

    pub(crate) fn commit(&self) {
        self.store.commit_now().unwrap();
    }

    /// Sends a message and gives its answer.
    pub(crate) fn ask(&self, to: &Ref, args: Args) -> Result<Value, Fault> {
        let answer = to.send(args);
        self.hand.run_until_idle();
        answer.outcome().unwrap_or_else(|| Err("no answer".into()))
    }

    pub(crate) fn get(&self, holder: &Ref) -> Value {
        match self.ask(holder, vec![Value::symbol("get")]) {
            Ok(Value::List(mut held)) => held.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn set(value: impl Into<Value>) -> Args {
    vec![Value::symbol("set"), value.into()]
}
