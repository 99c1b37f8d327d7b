//! A mint and its purses: money as in Mark Miller's "Ode to the Granovetter Diagram".

use super::arguments::{Call, Portrait, whole};
use super::sealers::Brand;
use super::table::same;
use crate::{Args, Behaviour, Durable, Fault, Ref, Reply, RestoreError, Turn, Value};

/// Makes a mint of a currency of its own: `new-purse balance` gives a purse with that
/// much new money.
///
/// A purse understands `get-balance`, `sprout` (gives an empty purse of the same mint)
/// and `deposit amount src`, which moves that much from the purse `src` of the same
/// mint. `src` may be a promise of a purse; the answer is a promise then. Amounts are
/// integers from 0 on. Whoever holds a purse may spend what is in it; only the mint
/// makes money, and nothing but the loss of a purse unmakes it.
///
/// Purses are known by what they are and must be of one vat: no forwarder to a purse is
/// one.
pub fn mint(turn: &mut Turn<'_>) -> Ref {
    let brand = turn.spawn(Brand("mint".into()));
    turn.spawn(Mint(brand))
}

/// A new purse with that much from another.
///
/// # Errors
///
/// If there is not that much in it, or it is no purse of this vat.
pub fn withdraw(turn: &mut Turn<'_>, amount: u64, from: &Ref) -> Result<Ref, Fault> {
    let Value::Ref(purse) = turn.call(from, vec![Value::symbol("sprout")])? else {
        return Err("what this sprouts is no purse".into());
    };
    turn.call(&purse, vec![Value::symbol("deposit"), amount.into(), from.into()])?;
    Ok(purse)
}

pub(crate) struct Mint(Ref);

impl Behaviour for Mint {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("mint", args)?;
        match call.name() {
            "new-purse" => {
                let balance = call.only("balance")?;
                Ok(turn.spawn(Purse { brand: self.0.clone(), balance }).into())
            }
            _ => call.otherwise("new-purse balance"),
        }
    }
}

impl Durable for Mint {
    fn portray(&self) -> Value {
        (&self.0).into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        whole("mint", portrait).map(Self)
    }
}

pub(crate) struct Purse {
    brand: Ref,
    balance: u64,
}

impl Purse {
    fn with(&self, balance: u64) -> Self {
        Self { brand: self.brand.clone(), balance }
    }

    fn without(&self, amount: u64) -> Result<Self, Fault> {
        let left = self.balance.checked_sub(amount);
        Ok(self.with(left.ok_or("there is not that much in the purse")?))
    }

    fn deposit(&self, turn: &mut Turn<'_>, amount: u64, src: &Ref) -> Result<Reply, Fault> {
        if src.is_promise() {
            let me = turn.me();
            let settled = turn.on_promise(src, move |turn, src| {
                turn.call(&me, vec![Value::symbol("deposit"), amount.into(), src?])
            });
            return Ok(settled.into());
        }
        // Only then is it told the brand, which says that the demand is a purse's.
        match turn.behaviour_as::<Self>(src) {
            Some(purse) if same(&purse.brand, &self.brand) => {}
            _ => return Err("purse deposit: src is no purse of this mint".into()),
        }
        if same(src, &turn.me()) {
            self.without(amount)?;
            return Ok(().into());
        }
        let balance = self.balance.checked_add(amount);
        let next = self.with(balance.ok_or("purse deposit: that is too much for one purse")?);
        turn.call(src, vec![(&self.brand).into(), amount.into()])?;
        Ok(Reply::becomes(next))
    }
}

impl Behaviour for Purse {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        if matches!(args.first(), Some(Value::Ref(brand)) if same(brand, &self.brand)) {
            let mut call = Call::plain("purse", args);
            let _brand: Ref = call.required("brand")?;
            return Ok(Reply::becomes(self.without(call.only("amount")?)?));
        }
        let mut call = Call::method("purse", args)?;
        match call.name() {
            "get-balance" => {
                call.end()?;
                Ok(self.balance.into())
            }
            "sprout" => {
                call.end()?;
                Ok(turn.spawn(self.with(0)).into())
            }
            "deposit" => {
                let amount = call.required("amount")?;
                let src: Ref = call.only("src")?;
                self.deposit(turn, amount, &src)
            }
            _ => call.otherwise("get-balance, sprout, deposit amount src"),
        }
    }
}

impl Durable for Purse {
    fn portray(&self) -> Value {
        Value::List(vec![(&self.brand).into(), self.balance.into()])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("purse", portrait)?;
        Ok(Self { brand: portrait.part("the mint")?, balance: portrait.part("the balance")? })
    }
}
