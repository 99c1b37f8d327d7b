//! An actor may be called again while it handles a message, and calls may nest only
//! so deep.

use std::sync::Mutex;

use vat_runtime::{Args, Fault, Limits, Manual, Ref, Reply, Turn, Value, Vat};

/// Counts, and calls itself back through the turn as often as asked.
fn counter(count: i64) -> impl Fn(&mut Turn<'_>, Args) -> Result<Reply, Fault> + Send + Sync {
    move |turn: &mut Turn<'_>, args: Args| {
        let again = args.first().and_then(Value::as_int).unwrap_or_default();
        if again > 0 {
            let me = turn.me();
            turn.call(&me, vec![(again - 1).into()])?;
        }
        Ok(Reply::become_with(counter(count + 1), count))
    }
}

#[test]
fn the_call_that_returns_last_decides_what_the_actor_becomes() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let actor = vat.spawn(counter(0));
    let nested = actor.send(vec![3.into()]);
    let after = actor.send(vec![]);
    hand.run_until_idle();
    // All four levels began with the behaviour that counts from 0.
    assert_eq!(nested.wait(), Ok(0.into()));
    assert_eq!(after.wait(), Ok(1.into()));
}

#[test]
fn calls_nest_up_to_the_limit() {
    for (limits, depth) in [(Limits::default(), 128), (Limits::default().call_depth(5), 5)] {
        let hand = Manual::new();
        let vat = Vat::with_limits("test", hand.clone(), limits);
        let actor = vat.spawn(counter(0));
        let deepest = actor.send(vec![(depth - 1).into()]);
        let too_deep = actor.send(vec![depth.into()]);
        let after = actor.send(vec![]);
        hand.run_until_idle();
        assert_eq!(deepest.wait(), Ok(0.into()));
        assert_eq!(too_deep.wait(), Err("calls are nested too deep".into()));
        assert_eq!(after.wait(), Ok(1.into()), "the failed one left no trace");
    }
}

#[test]
fn two_actors_may_call_each_other() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let pong = vat.spawn(|turn: &mut Turn<'_>, args: Args| {
        let ping: &Ref = args.first().and_then(Value::as_ref).ok_or("no reference")?;
        Ok(turn.call(ping, vec![])?.into())
    });
    let calls = Mutex::new(0);
    let ping = vat.spawn(move |turn: &mut Turn<'_>, args: Args| {
        *calls.lock().unwrap() += 1;
        match args.first() {
            Some(_) => {
                let me = turn.me();
                Ok(turn.call(&pong, vec![me.into()])?.into())
            }
            None => Ok(i64::from(*calls.lock().unwrap()).into()),
        }
    });
    let answer = ping.send(vec![Value::Null]);
    hand.run_until_idle();
    assert_eq!(answer.wait(), Ok(2.into()));
}
