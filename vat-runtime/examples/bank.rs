//! A bank: purses of one mint, transfers that happen as a whole or not at all, and what
//! of a purse can be given away without giving the money.
//!
//! ```sh
//! cargo run -p vat-runtime --example bank
//! ```

use std::sync::Arc;
use std::time::Duration;

use vat_runtime::actors::{Refusal, attenuate, mint, revocable, withdraw};
use vat_runtime::{Args, Clock, Fault, Manual, Ref, SimClock, Turn, Value, Vat};

fn message(method: &'static str, args: impl IntoIterator<Item = Value>) -> Args {
    std::iter::once(Value::symbol(method)).chain(args).collect()
}

/// A bank's counter: sends a message, and waits for the answer.
struct Counter {
    hand: Arc<Manual>,
    vat: Vat,
}

impl Counter {
    fn ask(&self, whom: &Ref, method: &'static str) -> Result<Value, Fault> {
        let answer = whom.send(message(method, []));
        self.hand.run_until_idle();
        answer.wait()
    }

    fn turn<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Turn<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let done = self.vat.run(body);
        self.hand.run_until_idle();
        done.wait()
    }

    fn tell(&self, whose: &str, purse: &Ref) -> Result<(), Fault> {
        println!("{whose} has {:?}", self.ask(purse, "get-balance")?.as_int().unwrap_or_default());
        Ok(())
    }
}

fn purse(turn: &mut Turn<'_>, mint: &Ref, balance: u64) -> Result<Ref, Fault> {
    match turn.call(mint, message("new-purse", [balance.into()]))? {
        Value::Ref(purse) => Ok(purse),
        _ => Err("a mint makes purses".into()),
    }
}

fn main() -> Result<(), Fault> {
    let hand = Manual::new();
    let bank = Counter { vat: Vat::new("bank", hand.clone()), hand };
    let (alice, bob) = bank.turn(|turn| {
        let mint = mint(turn);
        Ok((purse(turn, &mint, 100)?, purse(turn, &mint, 0)?))
    })?;

    // Money goes from purse to purse, in one turn.
    let (from, to) = (alice.clone(), bob.clone());
    bank.turn(move |turn| {
        let payment = withdraw(turn, 30, &from)?;
        turn.call(&to, message("deposit", [30.into(), payment.into()]))
    })?;
    bank.tell("Alice", &alice)?;
    bank.tell("Bob", &bob)?;

    // A turn that fails has moved nothing, whatever it did before.
    let (from, to) = (alice.clone(), bob.clone());
    let failed = bank.turn(move |turn| {
        turn.call(&to, message("deposit", [50.into(), (&from).into()]))?;
        turn.call(&to, message("deposit", [50.into(), (&from).into()]))
    });
    println!("Twice 50 of 70: {}", failed.expect_err("there is not so much"));
    bank.tell("Alice", &alice)?;

    // Her accountant may look, twice a day, until the year is over; she can end it.
    let clock: Arc<dyn Clock> = SimClock::new();
    let day = Duration::from_secs(24 * 3600);
    let (target, time) = (alice.clone(), clock.clone());
    let (statement, control) = bank.turn(move |turn| {
        let view = attenuate(target).methods(["get-balance"]).rate(2, day, time);
        Ok(view.expires(365 * day, clock).spawn(turn))
    })?;
    bank.tell("As her accountant sees it, Alice", &statement)?;
    for method in ["sprout", "get-balance", "get-balance"] {
        match bank.ask(&statement, method) {
            Ok(_) => println!("{method}: granted"),
            Err(fault) => println!("{method}: {fault} ({:?})", Refusal::of(&fault)),
        }
    }
    bank.ask(&control, "revoke")?;
    println!("{}", bank.ask(&statement, "get-balance").expect_err("it was revoked"));

    // What is got through a membrane is behind it too: the sprout dies with the purse.
    let target = bob.clone();
    let (lent, revoker) = bank.turn(move |turn| Ok(revocable(turn, target)))?;
    let Value::Ref(sprout) = bank.ask(&lent, "sprout")? else { return Err("no purse".into()) };
    bank.tell("Bob's sprout", &sprout)?;
    bank.ask(&revoker, "revoke")?;
    println!("{}", bank.ask(&sprout, "get-balance").expect_err("it was revoked"));
    bank.tell("Bob", &bob)
}
