//! Waiting for several: all of them, the first to settle, the first to be fulfilled.

mod by_hand;

use by_hand::{ByHand, list};
use vat_runtime::actors::{all_of, any, race};
use vat_runtime::{Fault, Promise, Resolver, Turn, Value, promise};

type Joiner = fn(&mut Turn<'_>, Vec<Value>) -> Promise;
type Outside = fn(Vec<Value>) -> Promise;

/// What a joiner makes of promises that are settled one after the other, within a turn
/// and outside: the outcome after each.
fn outcomes(
    within: Joiner,
    outside: Outside,
    number: usize,
    settle: &[(usize, Result<i64, &'static str>)],
) -> Vec<Option<Result<Value, String>>> {
    let run = |join: &dyn Fn(Vec<Value>, &ByHand) -> Promise| {
        let test = ByHand::default();
        let (promises, resolvers): (Vec<Promise>, Vec<Resolver>) =
            (0..number).map(|_| promise()).unzip();
        let mut resolvers: Vec<_> = resolvers.into_iter().map(Some).collect();
        let joined = join(promises.iter().map(Value::from).collect(), &test);
        let look = || joined.outcome().map(|outcome| outcome.map_err(|fault| fault.to_string()));
        let mut seen = vec![look()];
        for (index, outcome) in settle {
            let outcome = outcome.map(Value::from).map_err(Fault::from);
            resolvers[*index].take().unwrap().resolve(outcome);
            test.hand.run_until_idle();
            seen.push(look());
        }
        seen
    };
    let inside = run(&|promises, test| test.turn(move |turn| Ok(within(turn, promises))).unwrap());
    assert_eq!(inside, run(&|promises, _| outside(promises)), "inside and outside are the same");
    inside
}

#[test]
fn all_of_waits_for_the_last_and_breaks_with_the_first_that_breaks() {
    let joined = |settle| outcomes(all_of, Promise::all_of, 3, settle);
    let done = Some(Ok(list([1, 2, 3])));
    assert_eq!(joined(&[(2, Ok(3)), (0, Ok(1)), (1, Ok(2))]), [None, None, None, done]);
    let broken = Some(Err("no".into()));
    assert_eq!(
        joined(&[(2, Ok(3)), (0, Err("no")), (1, Err("later"))]),
        [None, None, broken.clone(), broken]
    );
    assert_eq!(outcomes(all_of, Promise::all_of, 0, &[]), [Some(Ok(Value::List(vec![])))]);
}

#[test]
fn race_is_what_the_first_is() {
    let joined = |settle| outcomes(race, Promise::race, 2, settle);
    let (one, broken) = (Some(Ok(1.into())), Some(Err("no".into())));
    assert_eq!(joined(&[(1, Ok(1)), (0, Err("no"))]), [None, one.clone(), one]);
    assert_eq!(joined(&[(1, Err("no")), (0, Ok(1))]), [None, broken.clone(), broken]);
    let nothing = Some(Err("there is nothing to wait for".into()));
    assert_eq!(outcomes(race, Promise::race, 0, &[]), [nothing]);
}

#[test]
fn any_is_what_the_first_fulfilled_is() {
    let joined = |settle| outcomes(any, Promise::any, 2, settle);
    let (one, broken) = (Some(Ok(1.into())), Some(Err("all of them broke".into())));
    assert_eq!(joined(&[(1, Err("no")), (0, Ok(1))]), [None, None, one.clone()]);
    assert_eq!(joined(&[(0, Ok(1)), (1, Ok(2))]), [None, one.clone(), one]);
    assert_eq!(joined(&[(0, Err("a")), (1, Err("b"))]), [None, None, broken]);
    let nothing = Some(Err("there is nothing to wait for".into()));
    assert_eq!(outcomes(any, Promise::any, 0, &[]), [nothing]);

    let reasons = Promise::any(["a", "b"].map(|why| Promise::settled(Err(why.into()))));
    let Value::Error(error) = reasons.wait().unwrap_err().into_value() else { panic!() };
    assert_eq!(error.fields, [Value::List(vec![Value::error("a"), Value::error("b")])]);
}

#[test]
fn what_is_no_promise_has_come_to_itself() {
    let test = ByHand::default();
    let object = test.spawn(vat_runtime::actors::Cell::default());
    let promise = Promise::settled(Ok(3.into()));
    let targets = || vec![1.into(), Value::from(&object), (&promise).into()];
    let expected = Ok(Value::List(vec![1.into(), (&object).into(), 3.into()]));
    assert_eq!(Promise::all_of(targets()).wait(), expected);
    let targets = targets();
    let within = test.turn(move |turn| Ok(all_of(turn, targets))).unwrap();
    assert_eq!(within.wait(), expected);
}

#[test]
fn a_turn_that_fails_waits_for_nothing() {
    let test = ByHand::default();
    let (escape, escaped) = std::sync::mpsc::channel();
    let failed = test.turn(move |turn| -> Result<(), Fault> {
        escape.send(all_of(turn, [1])).unwrap();
        Err("no".into())
    });
    assert!(failed.is_err());
    assert!(escaped.recv().unwrap().wait().is_err());
}
