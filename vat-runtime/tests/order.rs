//! Messages of one sender to one reference arrive in the order sent, whatever the
//! promise that they are sent to resolves to meanwhile.

mod recorder;

use std::sync::{Arc, Barrier};
use std::thread;

use recorder::{Recorder, numbers};
use vat_runtime::{Manual, OwnThread, Value, Vat, promise};

#[test]
fn messages_wait_in_a_promise_and_go_on_in_order() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let recorder = Recorder::default();
    let actor = vat.spawn(recorder.clone());
    let (to, resolver) = promise();
    let answers: Vec<_> = (0..5).map(|number| to.send(vec![number.into()])).collect();
    hand.run_until_idle();
    assert_eq!(recorder.heard(), vec![]);
    resolver.fulfill(&actor);
    to.send_only(vec![5.into()]);
    actor.send_only(vec![6.into()]);
    hand.run_until_idle();
    assert_eq!(recorder.heard(), numbers(0..7));
    for (number, answer) in (0..5).zip(answers) {
        assert_eq!(answer.wait(), Ok(Value::from(number)));
    }
}

#[test]
fn messages_go_through_a_chain_of_promises_in_order() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let recorder = Recorder::default();
    let (first, first_resolver) = promise();
    let (second, second_resolver) = promise();
    first.send_only(vec![0.into()]);
    second.send_only(vec![1.into()]);
    first_resolver.fulfill(&second);
    first.send_only(vec![2.into()]);
    second_resolver.fulfill(vat.spawn(recorder.clone()));
    first.send_only(vec![3.into()]);
    second.send_only(vec![4.into()]);
    hand.run_until_idle();
    // What waited in `first` came to `second` when the two were bound.
    assert_eq!(recorder.heard(), [1, 0, 2, 3, 4].map(Value::from));
}

#[test]
fn messages_to_what_is_no_reference_break() {
    let (data, resolver) = promise();
    let waiting = data.send(vec![]);
    resolver.fulfill(5);
    let later = data.send(vec![]);
    for answer in [waiting, later] {
        let fault = answer.wait().unwrap_err();
        assert_eq!(fault.to_string(), "cannot send a message to a value of kind integer");
    }
    let (broken, resolver) = promise();
    let waiting = broken.send(vec![]);
    resolver.break_with("gone");
    assert_eq!(waiting.wait(), Err("gone".into()));
    assert_eq!(broken.send(vec![]).wait(), Err("gone".into()));
}

/// Several threads send while another resolves, in chains; each sender's messages
/// must arrive in its order.
#[test]
fn concurrent_senders_are_each_in_order() {
    const SENDERS: i64 = 4;
    const MESSAGES: i64 = 500;
    let own = OwnThread::start("vat").unwrap();
    for round in 0..20 {
        let vat = Vat::new("test", own.clone());
        let recorder = Recorder::default();
        let actor = vat.spawn(recorder.clone());
        let (outer, outer_resolver) = promise();
        let (inner, inner_resolver) = promise();
        let start = Arc::new(Barrier::new(usize::try_from(SENDERS).unwrap() + 1));
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (to, start) = (outer.clone(), start.clone());
                thread::spawn(move || {
                    start.wait();
                    for number in 0..MESSAGES {
                        to.send_only(vec![(sender * MESSAGES + number).into()]);
                        if number == MESSAGES / 2 {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        start.wait();
        if round % 2 == 0 {
            outer_resolver.fulfill(&inner);
            thread::yield_now();
            inner_resolver.fulfill(&actor);
        } else {
            inner_resolver.fulfill(&actor);
            outer_resolver.fulfill(&inner);
        }
        for sender in senders {
            sender.join().unwrap();
        }
        actor.send(vec![Value::Null]).wait().unwrap();
        let heard = recorder.heard();
        for sender in 0..SENDERS {
            let range = sender * MESSAGES..(sender + 1) * MESSAGES;
            let of_sender: Vec<_> = heard
                .iter()
                .filter(|value| value.as_int().is_some_and(|number| range.contains(&number)))
                .cloned()
                .collect();
            assert_eq!(of_sender, numbers(range));
        }
    }
}
