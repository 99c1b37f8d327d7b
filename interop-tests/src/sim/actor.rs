//! What lives in the worlds: objects that take any message, keep what they are given,
//! and answer as the script says. And what each peer holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vat_runtime::{
    Args, Behaviour, Fault, Identity, Promise, Ref, Reply, Resolver, Turn, Value, WeakRef,
};

use super::script::Arg;
use super::shadow::{Meaning, Message, Mid, Shadow, Stream, Thing, Tree};

/// How many references a peer keeps; the oldest go first.
const KEPT: usize = 24;

/// What everybody in a world shares.
#[derive(Default)]
pub(super) struct Ground {
    shadow: Mutex<Shadow>,
    stores: Vec<Mutex<Store>>,
    /// What the objects do, by message.
    plans: Mutex<Vec<Plan>>,
    /// What is known of objects and promises by where they are. As long as they are kept
    /// here, nothing else can be there.
    known: Mutex<HashMap<usize, (WeakRef, Thing)>>,
}

/// What an object does with a message.
#[derive(Clone, Debug)]
struct Plan {
    reply: Arg,
    then: Option<(usize, Arg)>,
}

/// A reference that a peer holds, and what it should be.
#[derive(Clone)]
pub(super) struct Var {
    /// The reference.
    pub(super) reference: Ref,
    /// What it should be.
    pub(super) thing: Thing,
    /// Its messages arrive in order.
    pub(super) stream: Stream,
}

impl Var {
    /// Whether it was never a promise: those may go on sending the way they did.
    fn is_object(&self) -> bool {
        matches!(self.reference.outcome(), Some(Ok(Value::Ref(same))) if same == self.reference)
    }
}

/// What a peer holds.
#[derive(Default)]
pub(super) struct Store {
    /// References, newest last.
    pub(super) vars: Vec<Var>,
    /// Promises to be resolved, newest last.
    pub(super) resolvers: Vec<(Thing, Resolver)>,
    /// Which life of the peer this is.
    pub(super) life: u32,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody who acts: a peer's program, or an object in a turn.
pub(super) struct Actor<'a> {
    ground: &'a Arc<Ground>,
    peer: usize,
    life: u32,
    me: Option<Thing>,
    /// What came with the message.
    received: Vec<Var>,
}

/// How one makes objects.
type Spawn<'a> = &'a mut dyn FnMut(Object) -> Ref;

impl Ground {
    /// For so many peers.
    pub(super) fn new(peers: usize) -> Arc<Self> {
        let mut shadow = Shadow::default();
        shadow.slots = vec![vec![vec![]; super::script::SLOTS]; peers];
        let stores = (0..peers).map(|_| Mutex::default()).collect();
        Arc::new(Self { shadow: Mutex::new(shadow), stores, ..Self::default() })
    }

    /// The oracle. Nothing of the node's is called or dropped under this lock.
    pub(super) fn shadow(&self) -> MutexGuard<'_, Shadow> {
        lock(&self.shadow)
    }

    /// What a peer holds; as for [`Ground::shadow`].
    pub(super) fn store(&self, peer: usize) -> MutexGuard<'_, Store> {
        lock(&self.stores[peer])
    }

    /// A variable, counted from the newest.
    pub(super) fn var(&self, peer: usize, number: usize) -> Option<Var> {
        let store = self.store(peer);
        let len = store.vars.len();
        (len > 0).then(|| store.vars[len - 1 - number % len].clone())
    }

    /// Something new of the program's own. What was found elsewhere is not known by where
    /// it is, and what has gone on to elsewhere is not either.
    pub(super) fn know(&self, reference: &Ref, thing: Thing) {
        if let Identity::Local { key, .. } = reference.identity() {
            lock(&self.known).insert(key, (reference.downgrade(), thing));
        }
    }

    /// The same of a promise, while it has come to nothing.
    pub(super) fn know_promise(&self, promise: &Ref, thing: Thing) {
        if promise.is_promise() {
            self.know(promise, thing);
        }
    }

    /// Which thing a reference of this process designates, if a program made it.
    pub(super) fn known(&self, reference: &Ref) -> Option<Thing> {
        match reference.identity() {
            Identity::Local { key, .. } => lock(&self.known).get(&key).map(|(_, thing)| *thing),
            _ => None,
        }
    }

    fn forget(&self, peer: usize, life: u32, thing: Thing) {
        let mut store = self.store(peer);
        if store.life == life {
            let gone: Vec<_> = store.vars.extract_if(.., |var| var.thing == thing).collect();
            drop(store);
            drop(gone);
        }
    }

    /// A peer gets hold of a reference.
    pub(super) fn keep(&self, peer: usize, life: u32, reference: Ref, thing: Thing) -> Option<Var> {
        let mut store = self.store(peer);
        if store.life != life {
            drop(store);
            return None;
        }
        let known = store.vars.iter().find(|var| var.reference == reference);
        let known = known.map(|var| (var.stream, var.thing));
        let mut shadow = self.shadow();
        if let Some((_, before)) = known
            && shadow.end(before).0 != shadow.end(thing).0
            && !shadow.faulty
            && !matches!(shadow.end(before).1, Meaning::Fetch { .. })
            && !matches!(shadow.end(thing).1, Meaning::Fetch { .. })
        {
            shadow.fail(format!("p{peer} holds one reference for things {before} and {thing}"));
        }
        let stream = known.map_or_else(|| shadow.stream(), |(stream, _)| stream);
        drop(shadow);
        let var = Var { reference, thing, stream };
        store.vars.push(var.clone());
        let gone = (store.vars.len() > KEPT).then(|| store.vars.remove(0));
        drop(store);
        drop(gone);
        Some(var)
    }
}

impl<'a> Actor<'a> {
    /// The program of a peer.
    pub(super) const fn program(ground: &'a Arc<Ground>, peer: usize, life: u32) -> Self {
        Self { ground, peer, life, me: None, received: Vec::new() }
    }

    fn value(&self, arg: &Arg, spawn: Spawn<'_>) -> (Value, Tree) {
        match arg {
            Arg::List(args) => {
                let (values, trees) = args.iter().map(|arg| self.value(arg, spawn)).unzip();
                (Value::List(values), Tree::List(trees))
            }
            Arg::Int(int) => (Value::Int(*int), Tree::Number(*int)),
            Arg::Break => (Value::Int(-1), Tree::Number(-1)),
            _ => match self.reference(arg, spawn) {
                Some(var) => (Value::Ref(var.reference), Tree::Thing(var.thing)),
                None => (Value::Int(0), Tree::Number(0)),
            },
        }
    }

    /// The reference that a single value is.
    fn reference(&self, arg: &Arg, spawn: Spawn<'_>) -> Option<Var> {
        match arg {
            Arg::Var(number) => self.ground.var(self.peer, *number),
            Arg::Nth(number) => {
                let len = self.received.len();
                (len > 0).then(|| self.received[number % len].clone())
            }
            Arg::Promise => self.promise(),
            Arg::New => self.object(spawn),
            Arg::Me => match self.me {
                Some(_) => None,
                None => self.object(spawn),
            },
            Arg::Int(_) | Arg::List(_) | Arg::Break => None,
        }
    }

    /// A new object.
    pub(super) fn object(&self, spawn: Spawn<'_>) -> Option<Var> {
        let (peer, life) = (self.peer, self.life);
        let thing = self.ground.shadow().thing(Meaning::Object { peer, life }, (peer, life));
        let reference = spawn(Object { ground: self.ground.clone(), peer, life, thing });
        self.ground.know(&reference, thing);
        self.ground.keep(peer, life, reference, thing)
    }

    /// A new promise, to be resolved by the program.
    pub(super) fn promise(&self) -> Option<Var> {
        let (promise, resolver) = vat_runtime::promise();
        let thing = self.ground.shadow().thing(Meaning::Open, (self.peer, self.life));
        self.ground.store(self.peer).resolvers.push((thing, resolver));
        let promise = promise.into_ref();
        self.ground.know(&promise, thing);
        self.ground.keep(self.peer, self.life, promise, thing)
    }

    /// What a promise may be resolved to: not what waits for the promise itself, unless
    /// both are of one peer, which sees that.
    fn outcome(
        &self,
        promise: Thing,
        with: &Arg,
        me: Option<(Ref, Thing)>,
        spawn: Spawn<'_>,
    ) -> Result<Value, Fault> {
        let to = match (with, me) {
            (Arg::Me, Some((reference, thing))) => Some((reference, thing)),
            _ => self.reference(with, spawn).map(|var| (var.reference, var.thing)),
        };
        let mut shadow = self.ground.shadow();
        let (outcome, meaning) = match (with, to) {
            (Arg::Break, _) => (Err(Fault::from("broken by the script")), Meaning::Broken),
            (_, Some((reference, thing))) if !shadow.waits_for(thing, promise) => {
                (Ok(Value::Ref(reference)), Meaning::Is(thing))
            }
            (Arg::Int(int), _) => (Ok(Value::Int(*int)), Meaning::Number(*int)),
            _ => (Ok(Value::Int(7)), Meaning::Number(7)),
        };
        shadow.resolve(promise, meaning);
        outcome
    }

    /// Resolves one of the peer's promises.
    pub(super) fn resolve(&self, which: usize, with: &Arg, spawn: Spawn<'_>) {
        let mut store = self.ground.store(self.peer);
        let len = store.resolvers.len();
        if len == 0 {
            return;
        }
        let (thing, resolver) = store.resolvers.remove(which % len);
        drop(store);
        let itself = self.itself(thing, with);
        if let Some(outcome) = itself {
            return resolver.resolve(outcome);
        }
        let outcome = self.outcome(thing, with, None, spawn);
        resolver.resolve(outcome);
    }

    /// A promise resolved to itself, by the very reference to it, breaks.
    fn itself(&self, thing: Thing, with: &Arg) -> Option<Result<Value, Fault>> {
        let Arg::Var(number) = with else { return None };
        let var = self.ground.var(self.peer, *number).filter(|var| var.thing == thing)?;
        // What came back from elsewhere may be a promise for it, and not it.
        if !var.reference.is_promise() || !var.reference.is_local() {
            return None;
        }
        self.ground.shadow().resolve(thing, Meaning::Broken);
        Some(Ok(Value::Ref(var.reference)))
    }

    /// Makes a message ready: what to send where, and what its answer will be.
    fn prepare(
        &self,
        to: &Var,
        args: &[Arg],
        want: bool,
        plan: (Arg, Option<(usize, Arg)>),
        spawn: Spawn<'_>,
    ) -> (Args, Option<Thing>) {
        let (values, trees): (Vec<_>, Vec<_>) =
            args.iter().map(|arg| self.value(arg, spawn)).unzip();
        let mut shadow = self.ground.shadow();
        let mid = shadow.messages.len();
        let answer = want.then(|| shadow.thing(Meaning::Answer(mid), (self.peer, self.life)));
        shadow.sent(Message {
            from: self.peer,
            life: self.life,
            stream: to.stream,
            target: to.thing,
            args: Tree::List(trees),
            answer,
            delivered: false,
            direct: to.is_object(),
            near: to.reference.is_local(),
        });
        shadow.note(7, mid as u64, to.thing as u64);
        drop(shadow);
        let (reply, then) = plan;
        lock(&self.ground.plans).push(Plan { reply, then });
        (vec![Value::Int(mid as i64), Value::List(values)], answer)
    }

    /// Sends a message from outside of turns.
    pub(super) fn send(&self, send: &super::script::Send, spawn: Spawn<'_>) {
        let Some(to) = self.ground.var(self.peer, send.to) else { return };
        self.send_to(&to, send, spawn);
    }

    /// The same, to a certain reference.
    pub(super) fn send_to(&self, to: &Var, send: &super::script::Send, spawn: Spawn<'_>) {
        let plan = (send.reply.clone(), send.then.clone());
        let (args, answer) = self.prepare(to, &send.args, send.want, plan, spawn);
        match answer {
            None => to.reference.send_only(args),
            Some(thing) => {
                let promise = to.reference.send(args);
                self.answer(promise, thing);
            }
        }
    }

    fn answer(&self, promise: Promise, thing: Thing) {
        self.watch(&promise, thing);
        self.ground.know_promise(&promise, thing);
        self.ground.keep(self.peer, self.life, promise.into_ref(), thing);
    }

    /// Sends one more message along a reference as soon as it is known to have settled,
    /// as handlers do: it may not overtake those that waited.
    pub(super) fn send_when_settled(&self, var: Var) {
        let (ground, peer, life) = (self.ground.clone(), self.peer, self.life);
        let reference = var.reference.clone();
        reference.when_settled(move |outcome| {
            if outcome.is_err() || ground.store(peer).life != life {
                return;
            }
            let send = super::script::Send {
                to: 0,
                args: vec![],
                want: false,
                reply: Arg::Int(1),
                then: None,
            };
            let same = var.reference.clone();
            Actor::program(&ground, peer, life).send_to(&var, &send, &mut |_| same.clone());
        });
    }

    /// Asks to be told what something settles to.
    pub(super) fn watch(&self, reference: &Ref, thing: Thing) {
        let (peer, life) = (self.peer, self.life);
        let watcher = self.ground.shadow().watch(peer, life);
        let ground = self.ground.clone();
        reference.when_settled(move |outcome| {
            let outcome = match outcome {
                Ok(Value::Int(int)) => Ok(Some(int)),
                Ok(Value::Ref(_)) => Ok(None),
                Ok(other) => Err(format!("a {}", other.kind())),
                Err(fault) => Err(fault.to_string()),
            };
            // A peer mostly forgets what is of no more use, so that most messages go to
            // objects and promises.
            let useless = !matches!(outcome, Ok(None)) && !thing.is_multiple_of(8);
            ground.shadow().told((peer, life, watcher), thing, outcome);
            if useless {
                ground.forget(peer, life, thing);
            }
        });
    }
}

/// An object.
pub(super) struct Object {
    ground: Arc<Ground>,
    peer: usize,
    life: u32,
    thing: Thing,
}

impl Object {
    /// Goes through what was said and what should have been, and keeps references.
    fn take(&self, value: &Value, tree: &Tree, received: &mut Vec<Var>) {
        match (tree, value) {
            (Tree::List(trees), Value::List(values)) if trees.len() == values.len() => {
                for (tree, value) in trees.iter().zip(values) {
                    self.take(value, tree, received);
                }
            }
            (Tree::Number(number), Value::Int(int)) if number == int => {}
            (Tree::Thing(thing), Value::Ref(reference)) => {
                let ground = &self.ground;
                received.extend(ground.keep(self.peer, self.life, reference.clone(), *thing));
            }
            (Tree::Thing(thing), Value::Int(int)) => {
                let mut shadow = self.ground.shadow();
                if !matches!(shadow.end(*thing).1, Meaning::Number(number) if number == int) {
                    shadow.fail(format!("thing {thing} arrived as the number {int}"));
                }
            }
            (tree, value) => {
                let text = format!("{tree:?} arrived as a {}", value.kind());
                self.ground.shadow().fail(text);
            }
        }
    }
}

impl Behaviour for Object {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut args = args.into_iter();
        let mid = args.next().and_then(|mid| mid.as_int()).and_then(|mid| Mid::try_from(mid).ok());
        let (Some(mid), Some(said)) = (mid, args.next()) else {
            self.ground.shadow().fail("a message that nobody sent");
            return Err("?".into());
        };
        let (tree, answer) = {
            let mut shadow = self.ground.shadow();
            shadow.note(8, mid as u64, self.thing as u64);
            shadow.arrived(mid, self.thing);
            let message = shadow.messages.get(mid).map(|m| (m.args.clone(), m.answer));
            match message {
                Some(message) => message,
                None => return Err("?".into()),
            }
        };
        if self.ground.store(self.peer).life != self.life {
            self.ground.shadow().fail("an object outlived its peer");
        }
        let mut received = Vec::new();
        self.take(&said, &tree, &mut received);
        let Plan { reply, then } = lock(&self.ground.plans)[mid].clone();
        let (ground, peer, life) = (&self.ground, self.peer, self.life);
        let actor = Actor { ground, peer, life, me: Some(self.thing), received };
        if let Some((to, arg)) = then
            && let Some(to) = ground.var(peer, to)
        {
            let plan = (Arg::Int(1), None);
            let (args, _) =
                actor.prepare(&to, &[arg], false, plan, &mut |object| turn.spawn(object));
            turn.send_only(&to.reference, args);
        }
        let Some(answer) = answer else { return Ok(Reply::value(Value::Int(0))) };
        let me = Some((turn.me(), self.thing));
        let outcome = actor.outcome(answer, &reply, me, &mut |object| turn.spawn(object));
        match outcome {
            Ok(value) => Ok(Reply::value(value)),
            // A fault would take back what the turn has sent: a broken promise is as
            // broken, and takes nothing back.
            Err(fault) => Ok(Reply::value(Promise::settled(Err(fault)))),
        }
    }
}
