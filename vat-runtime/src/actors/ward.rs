//! Wards: behaviour that only an incanter reaches, behind an actor that everybody may
//! hold.

use super::arguments::{Call, Portrait, whole};
use super::call_or_send;
use super::sealers::Brand;
use super::table::same;
use crate::{Args, Behaviour, Durable, Fault, Ref, Reply, RestoreError, Turn, Value};

/// Makes a warden and its incanter.
///
/// The warden is for [`ward`]. The incanter, called with a warded actor and arguments,
/// passes the arguments through the ward. What passes can be used once: an actor that
/// it is shown to cannot show it to another.
pub fn warding_pair(turn: &mut Turn<'_>) -> (Ref, Ref) {
    let brand = turn.spawn(Brand("ward".into()));
    let warden = turn.spawn(Warden(brand.clone()));
    let incanter = turn.spawn(Incanter(brand));
    (warden, incanter)
}

/// An actor that passes what comes through the warden's incanter to `protected`, and
/// anything else to `open`, if there is one.
pub fn ward(turn: &mut Turn<'_>, warden: Ref, protected: Ref, open: Option<Ref>) -> Ref {
    turn.spawn(Warded { warden, protected, open })
}

/// An actor that passes everything through the incanter to the target.
pub fn enchant(turn: &mut Turn<'_>, incanter: Ref, target: Ref) -> Ref {
    turn.spawn(Enchanted { incanter, target })
}

/// Arguments on their way through a ward, until the warden takes them.
pub(crate) struct Charm {
    brand: Ref,
    args: Option<Args>,
}

impl Behaviour for Charm {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        // The brand is known to the pair alone.
        match args.as_slice() {
            [Value::Ref(brand)] if same(brand, &self.brand) => {}
            _ => return Err("this passes a ward, and does nothing else".into()),
        }
        let args = self.args.clone().ok_or("this has passed a ward already")?;
        let spent = Self { brand: self.brand.clone(), args: None };
        Ok(Reply::become_with(spent, Value::List(args)))
    }
}

impl Durable for Charm {
    fn portray(&self) -> Value {
        let args = self.args.clone().map_or(Value::Undefined, Value::List);
        Value::List(vec![(&self.brand).into(), args])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("charm", portrait)?;
        let brand = portrait.part("the brand")?;
        Ok(Self { brand, args: portrait.part("the arguments")? })
    }
}

/// Called with one argument, answers with the list of arguments that came through its
/// incanter, or false if this did not.
pub(crate) struct Warden(Ref);

impl Behaviour for Warden {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let charm: Value = Call::plain("warden", args).only("arguments")?;
        let Value::Ref(charm) = charm else { return Ok(false.into()) };
        // Only then is it asked: a stranger must not hear the brand.
        match turn.behaviour_as::<Charm>(&charm) {
            Some(found) if same(&found.brand, &self.0) => {
                turn.call(&charm, vec![(&self.0).into()]).map(Reply::value)
            }
            _ => Ok(false.into()),
        }
    }
}

impl Durable for Warden {
    fn portray(&self) -> Value {
        (&self.0).into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        whole("warden", portrait).map(Self)
    }
}

pub(crate) struct Incanter(Ref);

impl Behaviour for Incanter {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::plain("incanter", args);
        let target = call.required("target")?;
        let charm = turn.spawn(Charm { brand: self.0.clone(), args: Some(call.rest()) });
        call_or_send(turn, &target, vec![charm.into()]).map(Reply::value)
    }
}

impl Durable for Incanter {
    fn portray(&self) -> Value {
        (&self.0).into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        whole("incanter", portrait).map(Self)
    }
}

pub(crate) struct Warded {
    warden: Ref,
    protected: Ref,
    open: Option<Ref>,
}

impl Warded {
    fn pass_open(turn: &mut Turn<'_>, open: Option<&Ref>, args: Args) -> Result<Value, Fault> {
        match open {
            Some(open) => call_or_send(turn, open, args),
            None => Err("this is warded".into()),
        }
    }
}

impl Behaviour for Warded {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        if !matches!(args.as_slice(), [Value::Ref(_)]) {
            return Self::pass_open(turn, self.open.as_ref(), args).map(Reply::value);
        }
        let answer = match call_or_send(turn, &self.warden, args.clone())? {
            Value::List(inner) => call_or_send(turn, &self.protected, inner),
            // The warden is of another vat.
            Value::Ref(answer) => {
                let (protected, open) = (self.protected.clone(), self.open.clone());
                let passed = turn.on_promise(answer, move |turn, answer| match answer? {
                    Value::List(inner) => call_or_send(turn, &protected, inner),
                    _ => Self::pass_open(turn, open.as_ref(), args),
                });
                Ok(passed.into())
            }
            _ => Self::pass_open(turn, self.open.as_ref(), args),
        };
        answer.map(Reply::value)
    }
}

impl Durable for Warded {
    fn portray(&self) -> Value {
        let open = self.open.as_ref().map_or(Value::Undefined, Value::from);
        Value::List(vec![(&self.warden).into(), (&self.protected).into(), open])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("warded", portrait)?;
        let warden = portrait.part("the warden")?;
        let protected = portrait.part("what is protected")?;
        Ok(Self { warden, protected, open: portrait.part("what is open")? })
    }
}

pub(crate) struct Enchanted {
    incanter: Ref,
    target: Ref,
}

impl Behaviour for Enchanted {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let args = std::iter::once((&self.target).into()).chain(args).collect();
        call_or_send(turn, &self.incanter, args).map(Reply::value)
    }
}

impl Durable for Enchanted {
    fn portray(&self) -> Value {
        Value::List(vec![(&self.incanter).into(), (&self.target).into()])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("enchanted", portrait)?;
        Ok(Self { incanter: portrait.part("the incanter")?, target: portrait.part("the target")? })
    }
}
