//! Mints and purses: money is moved, never made, and never lost.

mod by_hand;

use by_hand::{ByHand, NOTHING, message};
use proptest::prelude::*;
use vat_runtime::actors::{Facet, mint, withdraw};
use vat_runtime::{Fault, Ref, Turn, Value, promise};

fn purse(test: &ByHand, mint: &Ref, balance: u64) -> Ref {
    let made = test.call(mint, "new-purse", [balance.into()]);
    made.unwrap().as_ref().cloned().expect("a purse is a reference")
}

fn balance(test: &ByHand, purse: &Ref) -> i64 {
    test.call(purse, "get-balance", []).unwrap().as_int().unwrap()
}

fn deposit(test: &ByHand, into: &Ref, amount: i64, src: &Ref) -> Result<Value, Fault> {
    test.call(into, "deposit", [amount.into(), src.into()])
}

#[test]
fn a_deposit_moves_money_between_purses_of_one_mint() {
    let test = ByHand::default();
    let [dollars, euros] = [(); 2].map(|()| test.turn(|turn| Ok(mint(turn))).unwrap());
    let (alice, foreign) = (purse(&test, &dollars, 10), purse(&test, &euros, 10));
    let bob = test.call(&alice, "sprout", []).unwrap().as_ref().cloned().unwrap();
    assert_eq!(deposit(&test, &bob, 4, &alice), NOTHING);
    assert_eq!((balance(&test, &alice), balance(&test, &bob)), (6, 4));
    let fault = deposit(&test, &bob, 7, &alice).unwrap_err();
    assert_eq!(fault.to_string(), "there is not that much in the purse");
    let fault = deposit(&test, &bob, 1, &foreign).unwrap_err();
    assert_eq!(fault.to_string(), "purse deposit: src is no purse of this mint");
    for wrong in [-1_i64, i64::MIN] {
        assert!(deposit(&test, &bob, wrong, &alice).is_err());
    }
    assert!(test.call(&dollars, "new-purse", [(-1).into()]).is_err());
    let proxy = test.spawn(Facet::new(alice.clone(), ["get-balance", "sprout", "deposit"]));
    assert!(deposit(&test, &bob, 1, &proxy).is_err(), "a forwarder to a purse is none");
    assert!(test.send(&alice, vec![(&dollars).into(), 5.into()]).is_err(), "the mint is no key");
    assert_eq!((balance(&test, &alice), balance(&test, &bob)), (6, 4));
    assert_eq!(balance(&test, &foreign), 10);
}

#[test]
fn a_purse_never_overflows() {
    let test = ByHand::default();
    let mint = test.turn(|turn| Ok(mint(turn))).unwrap();
    let (rich, richer) = (purse(&test, &mint, u64::MAX), purse(&test, &mint, 1));
    assert!(deposit(&test, &rich, 1, &richer).is_err());
    assert_eq!(balance(&test, &richer), 1);
    assert_eq!(test.call(&rich, "get-balance", []), Ok(u64::MAX.into()));
}

#[test]
fn a_purse_may_come_as_a_promise() {
    let test = ByHand::default();
    let mint = test.turn(|turn| Ok(mint(turn))).unwrap();
    let (alice, bob) = (purse(&test, &mint, 10), purse(&test, &mint, 0));
    let (later, resolver) = promise();
    let done = bob.send(message("deposit", [3.into(), later.into()]));
    test.hand.run_until_idle();
    assert!(done.is_promise());
    resolver.fulfill(alice.clone());
    test.hand.run_until_idle();
    assert_eq!(done.wait(), NOTHING);
    assert_eq!((balance(&test, &alice), balance(&test, &bob)), (7, 3));
}

#[test]
fn withdrawing_gives_a_purse_with_as_much() {
    let test = ByHand::default();
    let mint = test.turn(|turn| Ok(mint(turn))).unwrap();
    let alice = purse(&test, &mint, 10);
    let from = alice.clone();
    let paid = test.turn(move |turn| withdraw(turn, 4, &from)).unwrap();
    assert_eq!((balance(&test, &alice), balance(&test, &paid)), (6, 4));
    let from = alice.clone();
    assert!(test.turn(move |turn| withdraw(turn, 7, &from)).is_err());
    assert_eq!(balance(&test, &alice), 6);
}

/// Deposits of one turn: from, to, amount. The turn fails at the end, or catches the
/// faults of its deposits.
#[derive(Clone, Debug)]
struct Deposits {
    moves: Vec<(usize, usize, i64)>,
    catches: bool,
    fails: bool,
}

const PURSES: usize = 4;

fn deposits() -> impl Strategy<Value = Deposits> {
    let one = (0..PURSES, 0..PURSES, -2_i64..40);
    (prop::collection::vec(one, 0..5), any::<bool>(), any::<bool>())
        .prop_map(|(moves, catches, fails)| Deposits { moves, catches, fails })
}

impl Deposits {
    fn run(&self, turn: &mut Turn<'_>, purses: &[Ref]) -> Result<(), Fault> {
        for (from, to, amount) in &self.moves {
            let args = message("deposit", [(*amount).into(), (&purses[*from]).into()]);
            let done = turn.call(&purses[*to], args);
            if !self.catches {
                done?;
            }
        }
        if self.fails { Err("no".into()) } else { Ok(()) }
    }

    /// What the balances are afterwards.
    fn expected(&self, before: [i64; PURSES]) -> [i64; PURSES] {
        let mut after = before;
        for (from, to, amount) in &self.moves {
            if *amount < 0 || after[*from] < *amount {
                if self.catches {
                    continue;
                }
                return before;
            }
            after[*from] -= amount;
            after[*to] += amount;
        }
        if self.fails { before } else { after }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 256 }, ..ProptestConfig::default() })]

    #[test]
    fn money_is_conserved_whatever_turns_do(
        start in prop::array::uniform4(0_i64..50),
        turns in prop::collection::vec(deposits(), 0..12),
    ) {
        let test = ByHand::default();
        let mint = test.turn(|turn| Ok(mint(turn))).unwrap();
        let purses = start.map(|start| purse(&test, &mint, start.unsigned_abs()));
        let mut expected = start;
        for turn in turns {
            expected = turn.expected(expected);
            let purses = purses.clone();
            let _result = test.turn(move |running| turn.run(running, &purses));
        }
        let balances = purses.each_ref().map(|purse| balance(&test, purse));
        prop_assert_eq!(balances, expected);
        prop_assert_eq!(balances.iter().sum::<i64>(), start.iter().sum::<i64>());
    }
}
