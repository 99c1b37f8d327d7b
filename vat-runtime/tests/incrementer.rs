//! An actor changes by becoming its next behaviour and answers at the same time.

use vat_runtime::{Args, Behaviour, Fault, Manual, Reply, Turn, Value, Vat};

struct NoisyIncrementer(i64);

impl Behaviour for NoisyIncrementer {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let by = args.first().map_or(Some(1), Value::as_int).ok_or("not an integer")?;
        let count = self.0 + by;
        Ok(Reply::become_with(Self(count), format!("My new count is: {count}")))
    }
}

#[test]
fn counts_up_from_where_it_was() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let incrementer = vat.spawn(NoisyIncrementer(0));
    let other = vat.spawn(NoisyIncrementer(18));
    let first = incrementer.send(vec![]);
    let second = incrementer.send(vec![20.into()]);
    let third = other.send(vec![42.into()]);
    hand.run_until_idle();
    assert_eq!(first.wait(), Ok("My new count is: 1".into()));
    assert_eq!(second.wait(), Ok("My new count is: 21".into()));
    assert_eq!(third.wait(), Ok("My new count is: 60".into()));
}

#[test]
fn a_fault_breaks_the_answer_and_keeps_the_count() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let incrementer = vat.spawn(NoisyIncrementer(5));
    let bad = incrementer.send(vec!["x".into()]);
    let good = incrementer.send(vec![]);
    hand.run_until_idle();
    assert_eq!(bad.wait(), Err(Fault::from("not an integer")));
    assert_eq!(good.wait(), Ok("My new count is: 6".into()));
}

#[test]
fn calls_and_sends_see_the_same_actor() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let incrementer = vat.spawn(NoisyIncrementer(0));
    let turn = vat.run(move |turn| {
        turn.call(&incrementer, vec![])?;
        let sent = turn.send(&incrementer, vec![100.into()]);
        let called = turn.call(&incrementer, vec![10.into()])?;
        Ok((called, sent))
    });
    hand.run_until_idle();
    let (called, sent) = turn.wait().unwrap();
    assert_eq!(called, "My new count is: 11".into());
    assert_eq!(sent.wait(), Ok("My new count is: 111".into()));
}
