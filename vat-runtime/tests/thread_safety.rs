//! What may move between threads, checked by the compiler; and that promises which
//! settle and leave their routes while threads send keep each thread's order.

mod recorder;

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use captp::{AnswerPos, ImportPos, RemotePos};
use recorder::{Recorder, numbers};
use vat_runtime::{
    Args, Behaviour, Fault, Link, Manual, OwnThread, Promise, ReadyVat, Ref, Reply, Resolver,
    Settling, Value, Vat, WeakRef,
};

const fn shared<T: Send + Sync + 'static>() {}

const _: () = {
    shared::<Ref>();
    shared::<WeakRef>();
    shared::<Promise>();
    shared::<Resolver>();
    shared::<Settling>();
    shared::<Value>();
    shared::<Args>();
    shared::<Fault>();
    shared::<Reply>();
    shared::<Vat>();
    shared::<ReadyVat>();
    shared::<Manual>();
    shared::<OwnThread>();
    shared::<Box<dyn Behaviour>>();
};

/// A peer that is a queue: what has arrived is sent on to the target, late.
struct Slow {
    target: Ref,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<(Args, Option<Resolver>)>,
    next: u64,
    held: BTreeSet<RemotePos>,
}

impl Slow {
    /// Passes one message on. Whether there was one.
    fn pass_on(&self) -> bool {
        let message = self.queue.lock().unwrap().messages.pop_front();
        let Some((args, answer)) = message else { return false };
        self.target.deliver(args, answer);
        true
    }
}

impl Link for Slow {
    fn key(&self) -> u64 {
        1
    }

    fn deliver(&self, to: RemotePos, args: Args, answer: Option<Resolver>) -> Option<AnswerPos> {
        let mut queue = self.queue.lock().unwrap();
        assert!(matches!(to, RemotePos::Import(_)) || queue.held.contains(&to), "released");
        let pos = answer.is_some().then(|| AnswerPos(queue.next));
        queue.next += 1;
        queue.held.extend(pos.map(RemotePos::Answer));
        queue.messages.push_back((args, answer));
        pos
    }

    fn listen(&self, _: RemotePos, _: Resolver) {}

    fn release(&self, pos: RemotePos, _: u32) {
        let held = self.queue.lock().unwrap().held.remove(&pos);
        assert!(held || matches!(pos, RemotePos::Import(_)), "released twice");
    }
}

/// Answers the first message with a promise and notes all that follow.
struct Opening(Promise, Recorder);

impl Behaviour for Opening {
    fn receive(&self, turn: &mut vat_runtime::Turn<'_>, args: Args) -> Result<Reply, Fault> {
        if args.is_empty() { Ok(Value::from(&self.0).into()) } else { self.1.receive(turn, args) }
    }
}

/// Threads send to a promise, questions and statements, while it settles and each
/// time that its route is drained. Half of the time the path is busy and half idle.
#[test]
fn each_threads_order_is_kept_while_a_route_is_left() {
    const SENDERS: i64 = 3;
    const MESSAGES: i64 = if cfg!(miri) { 20 } else { 300 };
    let own = OwnThread::start("vat").unwrap();
    for round in 0..if cfg!(miri) { 2 } else { 60_i64 } {
        let vat = Vat::new("test", own.clone());
        let recorder = Recorder::default();
        let actor = vat.spawn(recorder.clone());
        let opening = {
            let actor = actor.clone();
            Opening(Promise::settled(Ok(actor.into())), recorder.clone())
        };
        // The first message is answered with the actor; the rest comes to it as well.
        let target = vat.spawn(opening);
        let link = Arc::new(Slow { target, queue: Mutex::default() });
        let to = Ref::remote_object(link.clone(), ImportPos(1), 0).send(vec![]);
        let ended = Arc::new(AtomicBool::new(false));
        let start = Arc::new(Barrier::new(usize::try_from(SENDERS).unwrap() + 1));
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (to, start) = (to.clone(), start.clone());
                thread::spawn(move || {
                    start.wait();
                    for number in 0..MESSAGES {
                        let args = vec![(sender * MESSAGES + number).into()];
                        // Some wait for their answers, so that the route may drain.
                        match (number + round) % 4 {
                            0 => to.send_only(args),
                            1 if sender == 0 => drop(to.send(args).wait().unwrap()),
                            _ => drop(to.send(args)),
                        }
                    }
                })
            })
            .collect();
        let peer = {
            let (link, ended) = (link.clone(), ended.clone());
            thread::spawn(move || {
                while link.pass_on() || !ended.load(Ordering::Acquire) {
                    thread::yield_now();
                }
            })
        };
        start.wait();
        for sender in senders {
            sender.join().unwrap();
        }
        ended.store(true, Ordering::Release);
        peer.join().unwrap();
        // Behind everything that has been passed on.
        drop(link.target.send(vec![Value::Null]).wait());
        drop(actor.send(vec![Value::Null]).wait());
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
        drop(to);
        assert_eq!(link.queue.lock().unwrap().held, BTreeSet::new());
    }
    own.join();
}
