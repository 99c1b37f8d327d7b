//! Actors that pass messages on: facets, swappable proxies, pushdown stacks, and
//! calling what is near.

mod by_hand;

use by_hand::{ByHand, NOTHING};
use vat_runtime::actors::{Cell, Facet, Queue, call_or_send, pushdown, swappable};
use vat_runtime::{Args, Durable, Fault, Reply, Turn, Value, Vat};

#[test]
fn a_facet_passes_its_methods_and_nothing_else() {
    let test = ByHand::default();
    let queue = test.spawn(Queue::new());
    let facet = Facet::new(queue.clone(), ["enqueue", "length"]);
    for facet in [test.restored(&facet), test.spawn(facet)] {
        assert_eq!(test.call(&facet, "enqueue", [1.into()]), NOTHING);
        assert!(test.call(&facet, "length", []).is_ok());
        assert_eq!(test.fault(&facet, "dequeue", []), "this gives no access to the method dequeue");
        for args in [vec![], vec!["length".into()], vec![(&queue).into()]] {
            let fault = test.send(&facet, args).unwrap_err().to_string();
            assert_eq!(fault, "this gives access to methods only");
        }
    }
    assert_eq!(test.call(&queue, "length", []), Ok(2.into()));
    assert!(Facet::restore(Value::List(vec![1.into()])).is_err());
    assert!(Facet::restore(Value::List(vec![queue.into(), "text".into()])).is_err());
}

#[test]
fn what_is_near_is_called_and_what_is_not_is_sent_to() {
    let test = ByHand::default();
    let near = test.spawn(Cell::new(1));
    let other = Vat::new("other", test.hand.clone());
    let far = other.spawn(Cell::new(2));
    let settled = vat_runtime::Promise::settled(Ok((&near).into()));
    let answers = test.turn(move |turn| {
        let mut answers = Vec::new();
        for to in [near, far, settled.into_ref()] {
            answers.push(call_or_send(turn, &to, vec![])?);
        }
        Ok(answers)
    });
    let answers = answers.unwrap();
    assert_eq!(answers[0], 1.into());
    for (answer, value) in [(&answers[1], 2), (&answers[2], 1)] {
        let Value::Ref(promise) = answer else { panic!("a promise and not {answer:?}") };
        assert_eq!(promise.wait(), Ok(value.into()));
    }
}

#[test]
fn a_swapped_proxy_passes_on_to_the_new_target() {
    let test = ByHand::default();
    let (one, two) = (test.spawn(Cell::new(1)), test.spawn(Cell::new(2)));
    let (proxy, swapper) = test.turn(move |turn| Ok(swappable(turn, one))).unwrap();
    assert_eq!(test.send(&proxy, vec![]), Ok(1.into()));
    assert_eq!(test.send(&swapper, vec![two.into()]), NOTHING);
    assert_eq!(test.send(&proxy, vec![]), Ok(2.into()));
    assert_eq!(test.send(&proxy, vec![3.into()]), NOTHING);
    assert_eq!(test.send(&proxy, vec![]), Ok(3.into()));
    assert!(test.send(&swapper, vec![1.into()]).is_err());
    assert!(test.send(&swapper, vec![]).is_err());
    assert_eq!(test.send(&proxy, vec![]), Ok(3.into()));
}

#[test]
fn the_top_of_a_pushdown_stack_gets_the_messages() {
    let test = ByHand::default();
    let (one, two) = (test.spawn(Cell::new(1)), test.spawn(Cell::new(2)));
    let first = one.clone();
    let (stack, forwarder) = test.turn(move |turn| Ok(pushdown(turn, Some(first)))).unwrap();
    assert_eq!(test.send(&forwarder, vec![]), Ok(1.into()));
    assert_eq!(test.call(&stack, "push", [(&two).into()]), NOTHING);
    assert_eq!(test.send(&forwarder, vec![]), Ok(2.into()));

    // A state that knows the one below it.
    let maker = test.spawn(|turn: &mut Turn<'_>, args: Args| {
        let state = turn.spawn(move |_: &mut Turn<'_>, _| Ok(Value::List(args.clone()).into()));
        Ok(Reply::value(state))
    });
    let made = test.call(&stack, "spawn-push", [maker.into(), 5.into()]).unwrap();
    assert_eq!(test.call(&stack, "top", []), Ok(made));
    let below = Value::List(vec![(&two).into(), 5.into()]);
    assert_eq!(test.send(&forwarder, vec![]), Ok(below));

    assert!(test.call(&stack, "pop", []).is_ok());
    assert_eq!(test.call(&stack, "pop", []), Ok(two.into()));
    assert_eq!(test.call(&stack, "empty?", []), Ok(false.into()));
    assert_eq!(test.call(&stack, "pop", []), Ok(one.into()));
    assert_eq!(test.call(&stack, "empty?", []), Ok(true.into()));
    assert_eq!(test.fault(&stack, "pop", []), "stack pop: the stack is empty");
    assert!(test.send(&forwarder, vec![]).is_err());
    assert!(test.call(&stack, "push", [1.into()]).is_err());
}

#[test]
fn a_maker_may_push_too() {
    let test = ByHand::default();
    let (stack, _) = test.turn(|turn| Ok(pushdown(turn, None))).unwrap();
    let (pushed, onto) = (test.spawn(Cell::new(1)), stack.clone());
    let maker = test.spawn(move |turn: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
        assert_eq!(args, [Value::Bool(false)]);
        turn.call(&onto, by_hand::message("push", [(&pushed).into()]))?;
        Ok(Reply::value(turn.spawn(Cell::new(2))))
    });
    assert!(test.call(&stack, "spawn-push", [maker.into()]).is_ok());
    assert!(test.call(&stack, "pop", []).is_ok());
    assert!(test.call(&stack, "pop", []).is_ok(), "what the maker pushed is there");
    assert_eq!(test.call(&stack, "empty?", []), Ok(true.into()));
}
