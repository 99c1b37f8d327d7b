//! A bank in a process that may be killed at any moment:
//!
//! ```text
//! cargo run -p vat-runtime --example ledger -- PATH [--check]
//! ```
//!
//! Opens the store at PATH, or makes one with eight purses, checks that no money was
//! lost, and prints how many transfers there have been. With `--check` that is all. Else
//! it transfers between purses for ever, and prints the number of each transfer once it
//! is durable: what is on a line survives `kill -9`. Tests that kill processes run it.

use std::error::Error;
use std::io::Write as _;

use vat_runtime::persist::{Durable, Environment, Redb, RestoreError, Store};
use vat_runtime::{Args, Behaviour, Fault, Limits, Manual, Ref, Reply, Turn, Value, Vat};

const PURSES: u64 = 8;
const EACH: i64 = 1000;
/// How many transfers are waited for together.
const BATCH: u64 = 4;

/// An amount; a number is added to it, and it never falls below nothing.
struct Purse(i64);

impl Behaviour for Purse {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match args.first() {
            None => Ok(self.0.into()),
            Some(Value::Int(by)) => {
                let balance = self.0.checked_add(*by).filter(|balance| *balance >= 0);
                let balance = balance.ok_or("not so much in the purse")?;
                Ok(Reply::become_with(Self(balance), balance))
            }
            Some(_) => Err("a purse takes amounts".into()),
        }
    }
}

impl Durable for Purse {
    fn portray(&self) -> Value {
        self.0.into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        Ok(Self(portrait.as_int().ok_or_else(|| RestoreError::new("a purse is an amount"))?))
    }
}

struct Bank {
    store: Store,
    vat: Vat,
    hand: std::sync::Arc<Manual>,
    purses: Vec<Ref>,
    count: Ref,
}

impl Bank {
    fn open(path: &str) -> Result<Self, Box<dyn Error>> {
        let mut environment = Environment::new();
        environment.kind::<Purse>("purse")?;
        let store = Store::open(Redb::open(path)?)?;
        let hand = Manual::new();
        let vat = Vat::open("bank", hand.clone(), Limits::default(), &store, &environment)?;
        let purses =
            (0..PURSES).map(|number| vat.root_or_spawn(number.to_be_bytes(), || Purse(EACH)));
        let purses = purses.collect::<Result<_, _>>()?;
        let count = vat.root_or_spawn("count", || Purse(0))?;
        hand.run_until_idle();
        store.wait(store.pending())?;
        Ok(Self { store, vat, hand, purses, count })
    }

    fn balance(&self, purse: &Ref) -> Result<i64, Fault> {
        let answer = purse.send(vec![]);
        self.hand.run_until_idle();
        answer.wait()?.as_int().ok_or_else(|| "not an amount".into())
    }

    /// Moves money and counts the transfer, in one turn.
    fn transfer(&self, number: u64) {
        let purse = |by: u64| usize::try_from(number.wrapping_mul(by) >> 7 & (PURSES - 1));
        let (Ok(from), Ok(to)) = (purse(0x9e37_79b9), purse(0x85eb_ca6b)) else { return };
        let (from, to, count) =
            (self.purses[from].clone(), self.purses[to].clone(), self.count.clone());
        drop(self.vat.run(move |turn| {
            let amount = i64::try_from(number % 17).unwrap_or(0);
            let taken = turn.call(&from, vec![(-amount).into()]);
            if taken.is_ok() {
                turn.call(&to, vec![amount.into()])?;
            }
            turn.call(&count, vec![1.into()])
        }));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("the path of a store is wanted")?;
    let bank = Bank::open(&path)?;
    let sum = bank.purses.iter().map(|purse| bank.balance(purse)).sum::<Result<i64, _>>()?;
    if sum != EACH * i64::try_from(PURSES)? {
        return Err(format!("there are {sum} in the bank, which is not what there were").into());
    }
    let mut number = u64::try_from(bank.balance(&bank.count)?)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{number}")?;
    if args.next().as_deref() == Some("--check") {
        return Ok(());
    }
    loop {
        for next in number..number + BATCH {
            bank.transfer(next);
        }
        bank.hand.run_until_idle();
        bank.store.wait(bank.store.pending())?;
        number += BATCH;
        writeln!(out, "{number}")?;
        out.flush()?;
    }
}
