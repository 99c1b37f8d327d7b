//! Typed objects in a store: what is derived is enough to come back after a restart.

use std::collections::BTreeMap;

use vat_runtime::persist::{Environment, Memory, Store, StoreOptions};
use vat_runtime::{Answer, Durable, Fault, Limits, Manual, Passable, Turn, Vat, interface, object};

#[interface]
trait Bank {
    fn open(&mut self, turn: &mut Turn<'_>, name: String) -> PurseRef;
    fn transfer(&self, turn: &mut Turn<'_>, from: String, to: String, amount: u64) -> Answer<()>;
}

#[interface]
trait Purse {
    fn deposit(&mut self, amount: u64);
    fn withdraw(&mut self, amount: u64) -> Result<u64, Fault>;
    fn balance(&self) -> u64;
}

#[derive(Passable, Clone, Debug, PartialEq)]
enum Fee {
    None,
    Fixed(u64),
}

#[derive(Durable, Clone)]
struct Vault {
    purses: BTreeMap<String, PurseRef>,
    fee: Fee,
}

#[derive(Durable, Clone)]
struct Amount(u64);

impl Vault {
    fn purse(&self, name: &str) -> Result<PurseRef, Fault> {
        self.purses.get(name).cloned().ok_or_else(|| format!("{name} has no purse").into())
    }
}

#[object]
impl Bank for Vault {
    fn open(&mut self, turn: &mut Turn<'_>, name: String) -> PurseRef {
        let make = || PurseRef::spawn(turn, Amount(100));
        self.purses.entry(name).or_insert_with(make).clone()
    }

    fn transfer(&self, turn: &mut Turn<'_>, from: String, to: String, amount: u64) -> Answer<()> {
        let (bank, fee) = (self.clone(), if let Fee::Fixed(fee) = self.fee { fee } else { 0 });
        turn.spawn_async(async move |here| {
            let (from, to) = (bank.purse(&from)?, bank.purse(&to)?);
            let there = from.clone();
            let balance = here.ask(move |turn| there.send(turn).balance()).await?;
            if balance < amount + fee {
                return Err("not so much in the purse".into());
            }
            here.turn(move |turn| {
                from.call(turn).withdraw(amount + fee)?;
                to.call(turn).deposit(amount)
            })
            .await
        })
    }
}

#[object]
impl Purse for Amount {
    fn deposit(&mut self, amount: u64) {
        self.0 += amount;
    }

    fn withdraw(&mut self, amount: u64) -> Result<u64, Fault> {
        self.0 = self.0.checked_sub(amount).ok_or("not so much in the purse")?;
        Ok(self.0)
    }

    fn balance(&self) -> u64 {
        self.0
    }
}

fn open(disk: &Memory) -> (Store, std::sync::Arc<Manual>, Vat, BankRef) {
    let mut environment = Environment::new();
    environment.kind::<Vault>("bank").unwrap().kind::<Amount>("purse").unwrap();
    let store = Store::open_with(disk.clone(), StoreOptions::default().by_hand()).unwrap();
    let hand = Manual::new();
    let limits = Limits::default();
    let vat = Vat::open("bank", hand.clone(), limits, &store, &environment).unwrap();
    let make = || Vault { purses: BTreeMap::new(), fee: Fee::Fixed(1) };
    let bank = BankRef::from_ref(vat.root_or_spawn("bank", make).unwrap());
    (store, hand, vat, bank)
}

#[test]
fn a_typed_bank_comes_back() {
    let disk = Memory::new();
    let (store, hand, vat, bank) = open(&disk);
    for name in ["ada", "ben"] {
        bank.open(name).ignore();
    }
    let paid = bank.transfer("ada", "ben", 30);
    let too_much = bank.transfer("ada", "ben", 1000);
    hand.run_until_idle();
    store.commit_now().unwrap();
    assert_eq!(paid.outcome(), Some(Ok(())));
    assert_eq!(too_much.outcome(), Some(Err("not so much in the purse".into())));
    drop((bank, vat));
    store.close().unwrap();

    let (_store, hand, _vat, bank) = open(&disk);
    let balances = ["ada", "ben"].map(|name| bank.open(name).cap().balance());
    let fee = bank.transfer("ada", "ben", 9);
    hand.run_until_idle();
    let balances = balances.map(|balance| balance.outcome());
    assert_eq!((balances, fee.outcome()), ([Some(Ok(69)), Some(Ok(130))], Some(Ok(()))));
}
