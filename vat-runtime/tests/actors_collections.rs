//! Cells and collections: what each method does, where it stops, and that a portrait
//! brings back the same.

mod by_hand;

use by_hand::{ByHand, NOTHING, list, message};
use vat_runtime::actors::{
    Cell, Ghash, Kv, Queue, ReadOnlyCell, RingBuffer, Set, Vector, WriteOnlyCell,
};
use vat_runtime::{Args, Durable, Fault, Value};

fn yes() -> Result<Value, Fault> {
    Ok(true.into())
}

fn no() -> Result<Value, Fault> {
    Ok(false.into())
}

#[test]
fn a_cell_is_called_as_goblins_calls_it_or_by_name() {
    let test = ByHand::default();
    let cell = test.spawn(Cell::default());
    assert_eq!(test.send(&cell, vec![]), NOTHING);
    assert_eq!(test.send(&cell, vec![1.into()]), NOTHING);
    assert_eq!(test.send(&cell, vec![]), Ok(1.into()));
    assert_eq!(test.call(&cell, "set", [Value::symbol("get")]), NOTHING);
    assert_eq!(test.call(&cell, "get", []), Ok(Value::symbol("get")));
    assert_eq!(test.fault(&cell, "get", [1.into()]), "cell get: one argument too many");
    assert_eq!(test.fault(&cell, "set", [1.into(), 2.into()]), "cell set: one argument too many");
    assert!(test.fault(&cell, "sit", [1.into()]).contains("no method sit"));
    assert_eq!(
        test.send(&cell, vec!["set".into(), 1.into()]).unwrap_err().to_string(),
        "a cell expects a method, a symbol, first, and not a string"
    );
}

#[test]
fn facets_of_a_cell_read_or_write_and_not_both() {
    let test = ByHand::default();
    let cell = test.spawn(Cell::new(1));
    let reader = test.spawn(ReadOnlyCell::new(cell.clone()));
    let writer = test.spawn(WriteOnlyCell::new(cell.clone()));
    assert_eq!(test.send(&reader, vec![]), Ok(1.into()));
    assert_eq!(test.call(&reader, "get", []), Ok(1.into()));
    assert!(test.send(&reader, vec![2.into()]).is_err());
    assert!(test.call(&reader, "set", [2.into()]).is_err());
    assert_eq!(test.send(&cell, vec![]), Ok(1.into()));

    assert_eq!(test.send(&writer, vec![2.into()]), NOTHING);
    assert_eq!(test.send(&cell, vec![]), Ok(2.into()));
    assert_eq!(test.call(&writer, "set", [3.into()]), NOTHING);
    assert_eq!(test.send(&cell, vec![]), Ok(3.into()));
    assert!(test.send(&writer, vec![]).is_err());
    assert_eq!(test.call(&writer, "get", []), NOTHING, "the symbol is written, not obeyed");
    assert_eq!(test.send(&cell, vec![]), Ok(Value::symbol("get")));
}

#[test]
fn a_kv_holds_values_by_name() {
    let test = ByHand::default();
    let kv = test.spawn(Kv::new().limit(2));
    assert!(test.fault(&kv, "get", ["a".into()]).contains("nothing under \"a\""));
    assert_eq!(test.call(&kv, "set", ["b".into(), 1.into()]), NOTHING);
    assert_eq!(test.call(&kv, "set", [Value::symbol("a"), 2.into()]), NOTHING);
    assert_eq!(test.call(&kv, "get", ["a".into()]), Ok(2.into()));
    assert_eq!(test.call(&kv, "keys", []), Ok(list(["a", "b"])));
    assert_eq!(test.fault(&kv, "set", ["c".into(), 3.into()]), "kv set: no room for more than 2");
    assert_eq!(test.call(&kv, "set", ["a".into(), 3.into()]), NOTHING, "one that is there");
    assert_eq!(test.call(&kv, "delete", ["a".into()]), yes());
    assert_eq!(test.call(&kv, "delete", ["a".into()]), no());
    assert_eq!(test.call(&kv, "set", ["c".into(), 3.into()]), NOTHING);
    assert_eq!(test.call(&kv, "list", []), Ok(list(["b", "c"])));
    assert_eq!(
        test.fault(&kv, "set", [5.into()]),
        "kv set: key: expected a name, found an integer"
    );
    assert_eq!(test.fault(&kv, "set", ["b".into()]), "kv set: value is missing");
}

#[test]
fn a_ghash_holds_values_by_value_and_identity() {
    let test = ByHand::default();
    let ghash = test.spawn(Ghash::new().limit(3));
    let one = test.spawn(Cell::default());
    let other = test.spawn(Cell::default());
    assert_eq!(test.call(&ghash, "ref", [1.into()]), no());
    assert_eq!(test.call(&ghash, "ref", [1.into(), 2.into()]), Ok(2.into()));
    assert_eq!(test.call(&ghash, "set", [(&one).into(), "one".into()]), NOTHING);
    assert_eq!(test.call(&ghash, "set", [list([1]), "list".into()]), NOTHING);
    assert_eq!(test.call(&ghash, "set", [(&one).into(), "new".into()]), NOTHING);
    assert_eq!(test.call(&ghash, "ref", [(&one).into()]), Ok("new".into()));
    assert_eq!(test.call(&ghash, "ref", [list([1]), 2.into()]), Ok("list".into()));
    assert_eq!(test.call(&ghash, "has-key?", [(&other).into()]), no());
    assert_eq!(test.call(&ghash, "has-key?", [(&one).into()]), yes());
    let entries = vec![((&one).into(), "new".into()), (list([1]), "list".into())];
    assert_eq!(test.call(&ghash, "data", []), Ok(Value::Map(entries)));
    assert_eq!(test.call(&ghash, "set", [3.into(), 3.into()]), NOTHING);
    assert!(test.fault(&ghash, "set", [4.into(), 4.into()]).contains("no room for more than 3"));
    assert_eq!(test.call(&ghash, "remove", [(&one).into()]), NOTHING);
    assert_eq!(test.call(&ghash, "remove", [(&one).into()]), NOTHING);
    assert_eq!(test.call(&ghash, "has-key?", [(&one).into()]), no());
    assert_eq!(test.call(&ghash, "set", [4.into(), 4.into()]), NOTHING);
}

#[test]
fn a_set_holds_each_once() {
    let test = ByHand::default();
    let set = test.spawn(Set::new().limit(2));
    for value in [2, 1, 2] {
        assert_eq!(test.call(&set, "add", [value.into()]), NOTHING);
    }
    assert_eq!(test.call(&set, "as-list", []), Ok(list([2, 1])));
    assert_eq!(test.call(&set, "member?", [1.into()]), yes());
    assert!(test.fault(&set, "add", [3.into()]).contains("no room for more than 2"));
    assert_eq!(test.call(&set, "remove", [2.into()]), NOTHING);
    assert_eq!(test.call(&set, "remove", [2.into()]), NOTHING);
    assert_eq!(test.call(&set, "member?", [2.into()]), no());
    assert_eq!(test.call(&set, "add", [3.into()]), NOTHING);
    assert_eq!(test.call(&set, "as-list", []), Ok(list([1, 3])));
}

#[test]
fn a_vector_holds_values_by_index() {
    let test = ByHand::default();
    let vector = test.spawn(Vector::new(3, 0).limit(4));
    assert_eq!(test.call(&vector, "set", [1.into(), 5.into()]), NOTHING);
    assert_eq!(test.call(&vector, "ref", [1.into()]), Ok(5.into()));
    assert_eq!(test.call(&vector, "as-list", []), Ok(list([0, 5, 0])));
    for method in ["ref", "set"] {
        let fault = test.fault(
            &vector,
            method,
            [3.into(), 1.into()].into_iter().take(if method == "ref" { 1 } else { 2 }),
        );
        assert!(fault.contains("there is no index 3 in a length of 3"), "{fault}");
    }
    let fault = test.fault(&vector, "ref", [(-1).into()]);
    assert_eq!(
        fault,
        "vector ref: index: expected an integer from 0 to 18446744073709551615, found -1"
    );
    assert_eq!(test.call(&vector, "resize", [4.into(), 9.into()]), NOTHING);
    assert_eq!(test.call(&vector, "as-list", []), Ok(list([0, 5, 0, 9])));
    assert!(test.fault(&vector, "resize", [5.into()]).contains("no room for more than 4"));
    assert_eq!(test.call(&vector, "resize", [2.into()]), NOTHING);
    assert_eq!(test.call(&vector, "length", []), Ok(2.into()));
    assert_eq!(test.call(&vector, "fill", [7.into()]), NOTHING);
    assert_eq!(test.call(&vector, "as-list", []), Ok(list([7, 7])));
}

#[test]
fn a_queue_gives_the_oldest_first() {
    let test = ByHand::default();
    let queue = test.spawn(Queue::new().limit(2));
    assert_eq!(test.call(&queue, "empty?", []), yes());
    assert_eq!(test.fault(&queue, "dequeue", []), "queue dequeue: the queue is empty");
    assert_eq!(test.call(&queue, "enqueue", [1.into()]), NOTHING);
    assert_eq!(test.call(&queue, "enqueue", [2.into()]), NOTHING);
    assert!(test.fault(&queue, "enqueue", [3.into()]).contains("no room for more than 2"));
    assert_eq!(test.call(&queue, "length", []), Ok(2.into()));
    assert_eq!(test.call(&queue, "dequeue", []), Ok(1.into()));
    assert_eq!(test.call(&queue, "enqueue", [3.into()]), NOTHING);
    assert_eq!(test.call(&queue, "dequeue", []), Ok(2.into()));
    assert_eq!(test.call(&queue, "empty?", []), no());
    assert_eq!(test.call(&queue, "dequeue", []), Ok(3.into()));
}

#[test]
fn a_ring_buffer_keeps_the_newest() {
    let test = ByHand::default();
    let ring = test.spawn(RingBuffer::new(3).limit(4));
    assert_eq!(test.fault(&ring, "take", []), "ring-buffer take: the buffer is empty");
    for value in 1..=5 {
        assert_eq!(test.call(&ring, "put", [value.into()]), NOTHING);
    }
    assert_eq!(test.call(&ring, "full?", []), yes());
    assert_eq!(test.call(&ring, "length", []), Ok(3.into()));
    assert_eq!(test.call(&ring, "ref", [0.into()]), Ok(3.into()));
    assert_eq!(test.call(&ring, "ref", [2.into()]), Ok(5.into()));
    assert!(test.fault(&ring, "ref", [3.into()]).contains("there is no index 3"));
    assert_eq!(test.call(&ring, "head", [2.into()]), Ok(list([3, 4])));
    assert_eq!(test.call(&ring, "tail", [2.into()]), Ok(list([4, 5])));
    assert_eq!(test.call(&ring, "tail", [9.into()]), Ok(list([3, 4, 5])));
    assert_eq!(test.call(&ring, "resize", [2.into()]), NOTHING);
    assert_eq!(test.call(&ring, "tail", [9.into()]), Ok(list([4, 5])));
    assert!(test.fault(&ring, "resize", [5.into()]).contains("no room for more than 4"));
    assert_eq!(test.call(&ring, "resize", [4.into()]), NOTHING);
    assert_eq!(test.call(&ring, "capacity", []), Ok(4.into()));
    assert_eq!(test.call(&ring, "full?", []), no());
    assert_eq!(test.call(&ring, "take", []), Ok(4.into()));
    assert_eq!(test.call(&ring, "clear", []), NOTHING);
    assert_eq!(test.call(&ring, "empty?", []), yes());
    let none = test.spawn(RingBuffer::new(0));
    assert_eq!(test.call(&none, "put", [1.into()]), NOTHING);
    assert_eq!(test.call(&none, "length", []), Ok(0.into()));
}

/// The portrait of the portrait is the portrait, and methods answer the same before
/// and after.
fn comes_back<D: Durable + Clone>(actor: &D, questions: &[Args]) {
    let test = ByHand::default();
    let again = D::restore(actor.portray()).unwrap();
    assert_eq!(again.portray(), actor.portray());
    let (before, after) = (test.spawn(actor.clone()), test.spawn(again));
    for question in questions {
        let answer = test.send(&before, question.clone());
        assert!(answer.is_ok(), "{question:?}: {answer:?}");
        assert_eq!(answer, test.send(&after, question.clone()), "{question:?}");
    }
    for wrong in [1.into(), Value::List(vec![1.into(), 2.into()])] {
        if std::any::type_name::<D>() != std::any::type_name::<Cell>() {
            assert!(D::restore(wrong).is_err());
        }
    }
}

#[test]
fn portraits_bring_back_the_same() {
    let pairs = || Value::List(vec![list([1, 2]), list([3, 4])]);
    let read = |method| message(method, []);
    comes_back(&Cell::new(7), &[vec![]]);
    let kv = Value::Struct(vec![("a".into(), 1.into()), ("b".into(), 2.into())]);
    let kv = Kv::restore(Value::List(vec![2.into(), kv])).unwrap();
    comes_back(&kv, &[read("keys"), message("get", ["b".into()])]);
    let ghash = Ghash::restore(Value::List(vec![2.into(), pairs()])).unwrap();
    comes_back(&ghash, &[read("data"), message("ref", [3.into()])]);
    let set = Set::restore(Value::List(vec![3.into(), list([3, 1, 2])])).unwrap();
    comes_back(&set, &[read("as-list")]);
    comes_back(&Vector::new(3, 1), &[read("as-list")]);
    let queue = Queue::restore(Value::List(vec![3.into(), list([3, 1, 2])])).unwrap();
    comes_back(&queue, &[read("length"), read("dequeue"), read("dequeue")]);
    let ring = vec![9.into(), 2.into(), list([3, 1, 2])];
    let ring = RingBuffer::restore(Value::List(ring)).unwrap();
    comes_back(&ring, &[read("capacity"), message("head", [9.into()])]);
    let over = Value::List(vec![1.into(), pairs()]);
    assert!(Ghash::restore(over.clone()).is_err());
    assert!(Set::restore(over).is_err());
}

#[test]
fn actors_say_which_methods_they_have_and_have_them() {
    let test = ByHand::default();
    let described = |actor: &vat_runtime::Ref| {
        let description = vat_runtime::typed::describe(actor);
        test.hand.run_until_idle();
        description.wait().unwrap()
    };
    let ghash = test.spawn(Ghash::new());
    assert_eq!(
        described(&ghash).to_string(),
        "ghash\n  ref(key: any, default?: any) -> any\n  set(key: any, value: any) -> any\n  \
         remove(key: any) -> any\n  has-key?(key: any) -> any\n  data() -> any\n"
    );
    let actors = [
        ghash,
        test.spawn(Kv::new()),
        test.spawn(Set::new()),
        test.spawn(Vector::new(1, 1)),
        test.spawn(Queue::new()),
        test.spawn(RingBuffer::new(1)),
        test.turn(|turn| Ok(vat_runtime::actors::ticker(turn))).unwrap(),
        test.turn(|turn| Ok(vat_runtime::actors::pubsub(turn))).unwrap(),
        test.turn(|turn| Ok(vat_runtime::actors::mint(turn))).unwrap(),
    ];
    for actor in actors {
        for method in described(&actor).methods {
            let args = vec![Value::Symbol(method.name.as_str().into())];
            let answer = test.send(&actor, args).map_err(|fault| fault.to_string());
            let unknown = answer.is_err_and(|fault| fault.contains("no method"));
            assert!(!unknown, "{method}");
        }
    }
}
