//! A call that fails is undone by itself; a caller that handles the fault goes on,
//! one that does not fails with it.

mod recorder;

use recorder::Recorder;
use vat_runtime::{Args, Fault, Manual, Ref, Reply, Turn, Value, Vat};

/// Becomes a version that answers "changed", tells the log, then fails.
fn careless(log: Ref) -> impl Fn(&mut Turn<'_>, Args) -> Result<Reply, Fault> + Send + Sync {
    move |turn: &mut Turn<'_>, args: Args| {
        turn.send_only(&log, vec!["careless".into()]);
        if let Some(state) = args.first().and_then(Value::as_ref) {
            turn.call(state, vec!["changed".into()])?;
        }
        turn.spawn(Recorder::default());
        Err("careless".into())
    }
}

fn state(value: Value) -> impl Fn(&mut Turn<'_>, Args) -> Result<Reply, Fault> + Send + Sync {
    move |_turn: &mut Turn<'_>, mut args: Args| match args.pop() {
        Some(next) => Ok(Reply::becomes(state(next))),
        None => Ok(value.clone().into()),
    }
}

#[test]
fn a_handled_fault_undoes_the_call_and_nothing_else() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let recorder = Recorder::default();
    let log = vat.spawn(recorder.clone());
    let careless = vat.spawn(careless(log.clone()));
    let kept = vat.spawn(state("old".into()));
    let touched = vat.spawn(state("old".into()));
    let (kept_then, touched_then) = (kept.clone(), touched.clone());
    let turn = vat.run(move |turn| {
        turn.send_only(&log, vec!["before".into()]);
        turn.call(&kept_then, vec!["new".into()])?;
        let fault = turn.call(&careless, vec![touched_then.clone().into()]).unwrap_err();
        turn.send_only(&log, vec!["after".into()]);
        Ok((fault, turn.call(&touched_then, vec![])?))
    });
    let (kept, touched) = (kept.send(vec![]), touched.send(vec![]));
    hand.run_until_idle();
    assert_eq!(turn.wait(), Ok(("careless".into(), "old".into())));
    assert_eq!(kept.wait(), Ok("new".into()));
    assert_eq!(touched.wait(), Ok("old".into()));
    assert_eq!(recorder.heard(), ["before", "after"].map(Value::from));
}

#[test]
fn an_unhandled_fault_passes_through_every_caller() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let recorder = Recorder::default();
    let log = vat.spawn(recorder.clone());
    let careless = vat.spawn(careless(log.clone()));
    let middle = vat.spawn(move |turn: &mut Turn<'_>, args: Args| {
        turn.send_only(&log, vec!["middle".into()]);
        Ok(turn.call(&careless, args)?.into())
    });
    let answer = middle.send(vec![]);
    hand.run_until_idle();
    assert_eq!(answer.wait(), Err("careless".into()));
    assert_eq!(recorder.heard(), Vec::<Value>::new());
}

#[test]
fn only_near_actors_can_be_called() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let other = Vat::new("other", hand.clone());
    let far = other.spawn(Recorder::default());
    let near = vat.spawn(Recorder::default());
    let (promised, resolver) = vat_runtime::promise();
    let (open, held) = vat_runtime::promise();
    resolver.fulfill(&near);
    let turn = vat.run(move |turn| {
        assert!(turn.is_near(&near) && turn.is_near(&promised));
        assert!(!turn.is_near(&far) && !turn.is_near(&open));
        assert_eq!(turn.call(&promised, vec![3.into()]), Ok(3.into()));
        assert!(turn.call(&far, vec![]).is_err());
        assert!(turn.call(&open, vec![]).is_err());
        Ok(())
    });
    hand.run_until_idle();
    assert_eq!(turn.wait(), Ok(()));
    drop(held);
}
