//! The library in a store: everything goes on after a restart where it was, be it asleep
//! between any two messages or not.

mod by_hand;

use std::sync::Arc;
use std::time::Duration;

use by_hand::{list, message};
use bytes::Bytes;
use vat_runtime::actors::{
    Cell, Facet, Ghash, Kv, Membrane, Queue, ReadOnlyCell, Refusal, RingBuffer, Set, Vector,
    attenuate, enchant, environment, inbox, mint, nonce_registry, pubsub, pushdown, sealers,
    swappable, ward, warding_pair,
};
use vat_runtime::persist::{Memory, Store, StoreOptions};
use vat_runtime::{Args, Fault, Limits, Manual, Ref, SimClock, Turn, Value, Vat};

const SECOND: Duration = Duration::from_secs(1);

struct World {
    store: Store,
    hand: Arc<Manual>,
    vat: Vat,
}

impl World {
    /// Opens the vat. Each time the clock says what it is told to: as one that has gone
    /// on meanwhile.
    fn open(disk: &Memory, awake: usize, clock: Arc<SimClock>) -> Self {
        let store = Store::open_with(disk.clone(), StoreOptions::default().by_hand()).unwrap();
        let hand = Manual::new();
        let limits = Limits::default().awake(awake);
        let kinds = environment(clock).unwrap();
        let vat = Vat::open("library", hand.clone(), limits, &store, &kinds).unwrap();
        Self { store, hand, vat }
    }

    /// Commits before the message, so that whoever may sleep does.
    fn send(&self, to: &Ref, args: Args) -> Result<Value, Fault> {
        self.store.commit_now().unwrap();
        let answer = to.send(args);
        self.hand.run_until_idle();
        self.store.commit_now().unwrap();
        self.hand.run_until_idle();
        answer.outcome().expect("the answer is there")
    }

    fn call(
        &self,
        to: &Ref,
        method: &'static str,
        args: impl IntoIterator<Item = Value>,
    ) -> Result<Value, Fault> {
        self.send(to, message(method, args))
    }

    fn root(&self, name: &str) -> Ref {
        self.vat.root(name).unwrap().unwrap_or_else(|| panic!("{name} is there"))
    }
}

/// Makes one of each, with something in it.
fn make(turn: &mut Turn<'_>, clock: &Arc<SimClock>) -> Result<Vec<(&'static str, Value)>, Fault> {
    let do_it = |turn: &mut Turn<'_>, to: &Ref, method, args: Vec<Value>| {
        turn.call(to, message(method, args))
    };
    let cell = turn.spawn(Cell::new(1));
    let object = || Value::from(&cell);
    let mut all = vec![("cell", object())];
    all.push(("reader", turn.spawn(ReadOnlyCell::new(cell.clone())).into()));
    all.push(("facet", turn.spawn(Facet::new(cell.clone(), ["get"])).into()));
    for (name, actor, method, args) in [
        ("kv", turn.spawn(Kv::new()), "set", vec!["a".into(), object()]),
        ("ghash", turn.spawn(Ghash::new()), "set", vec![object(), 1.into()]),
        ("set", turn.spawn(Set::new()), "add", vec![object()]),
        ("queue", turn.spawn(Queue::new()), "enqueue", vec![object()]),
        ("ring", turn.spawn(RingBuffer::new(2)), "put", vec![object()]),
        ("vector", turn.spawn(Vector::new(2, 0)), "set", vec![1.into(), object()]),
        ("pubsub", pubsub(turn), "subscribe", vec![object()]),
    ] {
        do_it(turn, &actor, method, args)?;
        all.push((name, actor.into()));
    }
    let (reader, writer, stop) = inbox(turn, 4);
    turn.call(&writer, vec![object()])?;
    all.extend([("read", reader.into()), ("write", writer.into()), ("stop", stop.into())]);
    let (sealer, unsealer, check) = sealers(turn, "test");
    all.push(("sealed", turn.call(&sealer, vec![object()])?));
    all.extend([("sealer", sealer.into()), ("unseal", unsealer.into()), ("check", check.into())]);
    let (warden, incanter) = warding_pair(turn);
    let warded = ward(turn, warden, cell.clone(), None);
    all.push(("enchanted", enchant(turn, incanter, warded.clone()).into()));
    all.push(("warded", warded.into()));
    let (proxy, swapper) = swappable(turn, cell.clone());
    all.extend([("proxy", proxy.into()), ("swapper", swapper.into())]);
    let (stack, forwarder) = pushdown(turn, Some(cell.clone()));
    all.extend([("stack", stack.into()), ("forwarder", forwarder.into())]);
    let behind = turn.spawn(Queue::new());
    let (through, revoker) = Membrane::new().around(turn, behind.clone());
    for _ in 0..2 {
        do_it(turn, &behind, "enqueue", vec![object()])?;
    }
    all.push(("wrapped", do_it(turn, &through, "dequeue", vec![])?));
    all.extend([("through", through.into()), ("behind", behind.into())]);
    all.push(("revoker", revoker.into()));
    let (limited, controller) = attenuate(cell.clone())
        .count(3)
        .rate(2, 10 * SECOND, clock.clone())
        .expires(100 * SECOND, clock.clone())
        .spawn(turn);
    do_it(turn, &limited, "get", vec![])?;
    all.extend([("limited", limited.into()), ("controller", controller.into())]);
    let (registry, locator) = nonce_registry(turn)?;
    let number = Value::Bytes(Bytes::from_static(b"number"));
    do_it(turn, &registry, "register", vec![object(), number])?;
    all.extend([("registry", registry.into()), ("locator", locator.into())]);
    let mint = mint(turn);
    all.push(("full", do_it(turn, &mint, "new-purse", vec![5.into()])?));
    all.push(("empty", do_it(turn, &mint, "new-purse", vec![0.into()])?));
    Ok(all)
}

fn goes_on(awake: usize) {
    let (disk, clock) = (Memory::new(), SimClock::new());
    let world = World::open(&disk, awake, clock.clone());
    let time = clock.clone();
    let made = world.vat.run(move |turn| make(turn, &time));
    world.hand.run_until_idle();
    world.store.commit_now().unwrap();
    for (name, actor) in made.wait().unwrap() {
        world.vat.set_root(name, actor).unwrap();
    }
    world.store.commit_now().unwrap();
    let world = World::open(&disk, awake, clock.clone());
    let cell = Value::from(&world.root("cell"));

    for (name, method, args, answer) in [
        ("reader", "get", vec![], 1.into()),
        ("facet", "get", vec![], 1.into()),
        ("kv", "get", vec!["a".into()], cell.clone()),
        ("ghash", "ref", vec![cell.clone()], 1.into()),
        ("set", "member?", vec![cell.clone()], true.into()),
        ("queue", "dequeue", vec![], cell.clone()),
        ("ring", "take", vec![], cell.clone()),
        ("vector", "as-list", vec![], Value::List(vec![0.into(), cell.clone()])),
        ("pubsub", "subscribers", vec![], list([cell.clone()])),
        ("registry", "fetch", vec![Value::Bytes(Bytes::from_static(b"number"))], cell.clone()),
        ("locator", "fetch", vec![Value::Bytes(Bytes::from_static(b"number"))], cell.clone()),
        ("proxy", "get", vec![], 1.into()),
        ("stack", "top", vec![], cell.clone()),
        ("forwarder", "get", vec![], 1.into()),
        ("enchanted", "get", vec![], 1.into()),
    ] {
        assert_eq!(world.call(&world.root(name), method, args), Ok(answer), "{name}");
    }
    assert!(world.call(&world.root("facet"), "set", [2.into()]).is_err());
    assert!(world.call(&world.root("warded"), "get", []).is_err());
    assert_eq!(world.send(&world.root("read"), vec![]), Ok(cell.clone()));

    let sealed = Value::from(&world.root("sealed"));
    assert_eq!(world.send(&world.root("unseal"), vec![sealed.clone()]), Ok(cell.clone()));
    assert_eq!(world.send(&world.root("check"), vec![sealed]), Ok(true.into()));
    assert_eq!(world.send(&world.root("check"), vec![cell.clone()]), Ok(false.into()));

    let (full, empty) = (world.root("full"), world.root("empty"));
    assert!(world.call(&empty, "deposit", [2.into(), (&full).into()]).is_ok());
    assert!(world.call(&empty, "deposit", [4.into(), (&full).into()]).is_err());
    assert_eq!(world.call(&full, "get-balance", []), Ok(3.into()));
    assert_eq!(world.call(&empty, "get-balance", []), Ok(2.into()));

    let limited = world.root("limited");
    let refused =
        |world: &World| Refusal::of(&world.call(&limited, "get", []).expect_err("this is refused"));
    assert_eq!(world.call(&limited, "get", []), Ok(1.into()), "the second of a burst of two");
    assert_eq!(refused(&world), Some(Refusal::TooOften));
    clock.advance(5 * SECOND);
    assert_eq!(world.call(&limited, "get", []), Ok(1.into()), "the third of three");
    clock.advance(10 * SECOND);
    assert_eq!(refused(&world), Some(Refusal::UsedUp));
    clock.advance(100 * SECOND);
    assert!(refused(&world).is_some());

    // The proxy that was there is the cell's, and is the cell inside.
    let (through, behind) = (world.root("through"), world.root("behind"));
    let wrapped = world.root("wrapped");
    assert_eq!(world.send(&wrapped, vec![]), Ok(1.into()));
    assert_eq!(world.call(&through, "dequeue", []), Ok((&wrapped).into()));
    assert!(world.call(&through, "enqueue", [(&wrapped).into()]).is_ok());
    assert_eq!(world.call(&behind, "dequeue", []), Ok(cell));
    assert!(world.send(&world.root("revoker"), vec![]).is_ok());
    for cut in [&wrapped, &through] {
        let fault = world.send(cut, vec![]).unwrap_err();
        assert_eq!(Refusal::of(&fault), Some(Refusal::Revoked));
    }
    world.store.commit_now().unwrap();
    let world = World::open(&disk, awake, clock);
    let fault = world.send(&world.root("wrapped"), vec![]).unwrap_err();
    assert_eq!(Refusal::of(&fault), Some(Refusal::Revoked), "for good");
}

#[test]
fn the_library_goes_on_after_a_restart() {
    goes_on(usize::MAX);
}

#[test]
fn the_library_goes_on_though_it_sleeps_all_the_time() {
    goes_on(1);
}
