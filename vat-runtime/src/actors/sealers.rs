//! Sealers: what one seals, only its unsealer opens. The classic way to rights
//! amplification, and to pass things through hands that must not look.

use smol_str::SmolStr;

use super::arguments::{Call, Portrait, whole};
use super::table::same;
use crate::{Args, Behaviour, Durable, Fault, Ref, Reply, RestoreError, Turn, Value};

/// Makes what belongs together: a sealer (called with a value, it gives a sealed box),
/// its unsealer (called with such a box, it gives the value; with anything else it
/// fails) and its check (called with anything, it says whether it is such a box).
///
/// A box may come as a promise; the answer is then a promise too. No stranger's code
/// runs while a box is looked into: nothing can pass for a box that is none. Boxes
/// live in the vat of their sealer, and are known to unsealers of that vat. The name
/// is for people.
pub fn sealers(turn: &mut Turn<'_>, name: impl Into<SmolStr>) -> (Ref, Ref, Ref) {
    let brand = turn.spawn(Brand(name.into()));
    let sealer = turn.spawn(Sealer(brand.clone()));
    let unsealer = turn.spawn(Unsealer(brand.clone()));
    let check = turn.spawn(Check(brand));
    (sealer, unsealer, check)
}

/// What makes those who know it belong together. It does nothing.
pub(crate) struct Brand(pub(crate) SmolStr);

impl Behaviour for Brand {
    fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
        Err("a brand does nothing".into())
    }
}

impl Durable for Brand {
    fn portray(&self) -> Value {
        Value::String(self.0.clone())
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        whole("brand", portrait).map(Self)
    }
}

/// A sealed value. What it holds is not to be had by sending to it.
pub(crate) struct Sealed {
    brand: Ref,
    value: Value,
}

impl Behaviour for Sealed {
    fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
        Err("this is sealed".into())
    }
}

impl Durable for Sealed {
    fn portray(&self) -> Value {
        Value::List(vec![(&self.brand).into(), self.value.clone()])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("sealed", portrait)?;
        Ok(Self { brand: portrait.part("the brand")?, value: portrait.part("the value")? })
    }
}

pub(crate) struct Sealer(Ref);

impl Behaviour for Sealer {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let value = Call::plain("sealer", args).only("value")?;
        Ok(Value::from(turn.spawn(Sealed { brand: self.0.clone(), value })).into())
    }
}

pub(crate) struct Unsealer(Ref);

impl Unsealer {
    fn unseal(turn: &mut Turn<'_>, brand: &Ref, sealed: &Value) -> Result<Value, Fault> {
        let found = open(turn, brand, sealed);
        found.ok_or_else(|| "unsealer: this was not sealed by its sealer".into())
    }
}

impl Behaviour for Unsealer {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let sealed = Call::plain("unsealer", args).only("box")?;
        let brand = self.0.clone();
        once_settled(turn, sealed, move |turn, sealed| Self::unseal(turn, &brand, &sealed?))
    }
}

pub(crate) struct Check(Ref);

impl Behaviour for Check {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let sealed = Call::plain("check", args).only("box")?;
        let brand = self.0.clone();
        once_settled(turn, sealed, move |turn, sealed| {
            Ok(sealed.is_ok_and(|sealed| open(turn, &brand, &sealed).is_some()).into())
        })
    }
}

/// What is in a box of that brand.
fn open(turn: &mut Turn<'_>, brand: &Ref, sealed: &Value) -> Option<Value> {
    let sealed = turn.behaviour_as::<Sealed>(sealed.as_ref()?)?;
    same(&sealed.brand, brand).then(|| sealed.value.clone())
}

/// Answers with what `answer` makes of the value, once it has settled.
fn once_settled<F>(turn: &mut Turn<'_>, value: Value, answer: F) -> Result<Reply, Fault>
where
    F: FnOnce(&mut Turn<'_>, Result<Value, Fault>) -> Result<Value, Fault> + Send + 'static,
{
    match value {
        Value::Ref(reference) if reference.is_promise() => {
            Ok(Value::from(turn.on_promise(reference, answer)).into())
        }
        value => answer(turn, Ok(value)).map(Reply::value),
    }
}

macro_rules! of_a_brand {
    ($($kind:ident => $name:literal;)*) => {$(
        impl Durable for $kind {
            fn portray(&self) -> Value {
                (&self.0).into()
            }

            fn restore(portrait: Value) -> Result<Self, RestoreError> {
                whole($name, portrait).map(Self)
            }
        }
    )*};
}

of_a_brand! {
    Sealer => "sealer";
    Unsealer => "unsealer";
    Check => "check";
}
