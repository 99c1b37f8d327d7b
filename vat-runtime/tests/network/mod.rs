//! Several nodes in one process, with links whose messages arrive when the test says.
//! Small enough for every order of arrival to be tried: see [`explore`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, Weak};

use captp::{AnswerPos, ImportPos, RemotePos};
use vat_runtime::{
    Args, Behaviour, Fault, Identity, Link, Manual, Ref, Resolver, Value, Vat, WeakRef, promise,
};

pub(crate) type Node = u64;

/// A value between two nodes. References are as their sender has them.
#[derive(Clone, Debug)]
enum Wire {
    Data(Value),
    Mine { pos: u64, promise: bool },
    Yours(RemotePos),
    Gift { exporter: Node, id: i64 },
}

#[derive(Clone, Debug)]
enum Op {
    Deliver { to: RemotePos, args: Vec<Wire>, question: Option<u64> },
    Listen { to: RemotePos, question: u64 },
    Settle { question: u64, outcome: Result<Wire, String> },
}

/// One node's side of the link to another.
pub(crate) struct Side {
    world: Weak<World>,
    me: Node,
    peer: Node,
    tables: Mutex<Tables>,
    /// Positions of which a handle was made, or which an answer will come to, and
    /// which have not been released.
    held: Mutex<BTreeSet<(RemotePos, u32)>>,
}

#[derive(Default)]
struct Tables {
    dead: bool,
    exports: Vec<Ref>,
    exported: BTreeMap<usize, u64>,
    imports: BTreeMap<u64, (WeakRef, u32)>,
    generation: u32,
    answers: BTreeMap<u64, Ref>,
    questions: BTreeMap<u64, Resolver>,
    asked: u64,
}

/// Where a withdrawal finds its gift, or waits for it.
enum Gift {
    Deposited(Value),
    Awaited(Resolver),
}

pub(crate) struct World {
    /// Whether nodes give each other third parties' objects, or stand in for these.
    handoffs: bool,
    hand: Arc<Manual>,
    vats: Vec<Vat>,
    sides: Mutex<BTreeMap<(Node, Node), Arc<Side>>>,
    channels: Mutex<BTreeMap<(Node, Node), VecDeque<Op>>>,
    gifts: Mutex<BTreeMap<(Node, i64), Gift>>,
    next_gift: Mutex<i64>,
}

impl World {
    pub(crate) fn new(nodes: Node, handoffs: bool) -> Arc<Self> {
        let hand = Manual::new();
        let vats = (0..nodes).map(|_| Vat::new("node", hand.clone())).collect();
        Arc::new(Self {
            handoffs,
            hand,
            vats,
            sides: Mutex::default(),
            channels: Mutex::default(),
            gifts: Mutex::default(),
            next_gift: Mutex::default(),
        })
    }

    pub(crate) fn spawn(&self, node: Node, behaviour: impl Behaviour) -> Ref {
        let actor = self.vats[usize::try_from(node).unwrap()].spawn(behaviour);
        self.hand.run_until_idle();
        actor
    }

    /// Has a node know something of another one's.
    pub(crate) fn introduce(self: &Arc<Self>, of: Node, reference: &Ref, to: Node) -> Ref {
        let wire = self.side(of, to).encode(self, &Value::Ref(reference.clone()));
        match self.side(to, of).decode(self, wire) {
            Value::Ref(reference) => reference,
            _ => unreachable!(),
        }
    }

    fn side(self: &Arc<Self>, me: Node, peer: Node) -> Arc<Side> {
        let world = Arc::downgrade(self);
        let side = || Side { world, me, peer, tables: Mutex::default(), held: Mutex::default() };
        self.sides.lock().unwrap().entry((me, peer)).or_insert_with(|| Arc::new(side())).clone()
    }

    /// One node finds its connection to another lost. What it has sent may be in
    /// buffers and arrive all the same.
    pub(crate) fn cut(self: &Arc<Self>, me: Node, peer: Node) {
        let side = self.side(me, peer);
        let mut tables = side.tables.lock().unwrap();
        tables.dead = true;
        let questions = std::mem::take(&mut tables.questions);
        drop(tables);
        for (_, resolver) in questions {
            resolver.break_with("disconnected");
        }
    }

    fn post(&self, from: Node, to: Node, op: Op) {
        self.channels.lock().unwrap().entry((from, to)).or_default().push_back(op);
    }

    fn has_arrivals(self: &Arc<Self>) -> Vec<(Node, Node)> {
        let channels = self.channels.lock().unwrap();
        let waiting: Vec<_> =
            channels.iter().filter(|(_, ops)| !ops.is_empty()).map(|(at, _)| *at).collect();
        drop(channels);
        let alive = |&(from, to): &_| !self.side(to, from).tables.lock().unwrap().dead;
        waiting.into_iter().filter(alive).collect()
    }

    fn arrive(self: &Arc<Self>, from: Node, to: Node) -> String {
        let op = self.channels.lock().unwrap().get_mut(&(from, to)).unwrap().pop_front().unwrap();
        let said = format!("{from} -> {to}: {op:?}");
        self.side(to, from).receive(self, op);
        self.hand.run_until_idle();
        said
    }

    /// Gifts are left and fetched at position 0.
    fn bootstrap(&self, node: Node, args: Args, resolver: Option<Resolver>) {
        let mut args = args.into_iter();
        let id = args.next().and_then(|id| id.as_int()).unwrap();
        let mut gifts = self.gifts.lock().unwrap();
        match (gifts.remove(&(node, id)), args.next(), resolver) {
            (None, Some(gift), _) => drop(gifts.insert((node, id), Gift::Deposited(gift))),
            (None, None, resolver) => {
                gifts.insert((node, id), Gift::Awaited(resolver.unwrap()));
            }
            (Some(Gift::Awaited(resolver)), Some(gift), _) => {
                drop(gifts);
                resolver.fulfill(gift);
            }
            (Some(Gift::Deposited(gift)), _, resolver) => {
                drop(gifts);
                resolver.unwrap().fulfill(gift);
            }
            (Some(Gift::Awaited(_)), None, _) => panic!("withdrawn twice"),
        }
    }

    /// Lets go of everything. Gives the positions that nobody has released.
    pub(crate) fn end(self: &Arc<Self>) -> Vec<String> {
        let sides = std::mem::take(&mut *self.sides.lock().unwrap());
        for side in sides.values() {
            let tables = std::mem::take(&mut *side.tables.lock().unwrap());
            drop(tables);
        }
        self.vats.iter().for_each(Vat::stop);
        let held = |side: &Arc<Side>| {
            let at = (side.me, side.peer);
            side.held.lock().unwrap().iter().map(|held| format!("{at:?} {held:?}")).collect()
        };
        sides.values().flat_map(|side| -> Vec<_> { held(side) }).collect()
    }
}

impl Side {
    fn encode(self: &Arc<Self>, world: &Arc<World>, value: &Value) -> Wire {
        let Value::Ref(reference) = value else { return Wire::Data(value.clone()) };
        match reference.identity() {
            Identity::Value(value) => self.encode(world, value),
            Identity::Remote { link, pos, .. } if link.key() == self.key() => Wire::Yours(pos),
            Identity::Remote { link, promise: false, .. }
                if world.handoffs && link.key() % 100 != self.peer =>
            {
                let exporter = link.key() % 100;
                let mut next = world.next_gift.lock().unwrap();
                *next += 1;
                let id = *next;
                drop(next);
                let deposit = vec![id.into(), reference.clone().into()];
                world.side(self.me, exporter).bootstrap().send_only(deposit);
                Wire::Gift { exporter, id }
            }
            Identity::Remote { key, promise, .. } | Identity::Local { key, promise } => {
                let mut tables = self.tables.lock().unwrap();
                let Tables { exports, exported, .. } = &mut *tables;
                let pos = *exported.entry(key).or_insert_with(|| {
                    exports.push(reference.clone());
                    exports.len() as u64
                });
                Wire::Mine { pos, promise }
            }
        }
    }

    fn decode(self: &Arc<Self>, world: &Arc<World>, wire: Wire) -> Value {
        match wire {
            Wire::Data(value) => value,
            Wire::Yours(pos) => self.find(pos).into(),
            Wire::Mine { pos, promise } => self.import(pos, promise).into(),
            Wire::Gift { exporter, id } => {
                let (gift, resolver) = promise();
                let bootstrap = world.side(self.me, exporter).bootstrap();
                bootstrap.deliver(vec![id.into()], Some(resolver));
                gift.into()
            }
        }
    }

    fn import(self: &Arc<Self>, pos: u64, promise: bool) -> Ref {
        let mut tables = self.tables.lock().unwrap();
        if let Some(known) = tables.imports.get(&pos).and_then(|(weak, _)| weak.upgrade()) {
            return known;
        }
        tables.generation += 1;
        let generation = tables.generation;
        let made = if promise { Ref::remote_promise } else { Ref::remote_object };
        let reference = made(self.clone(), ImportPos(pos), generation);
        self.held.lock().unwrap().insert((RemotePos::Import(ImportPos(pos)), generation));
        tables.imports.insert(pos, (reference.downgrade(), generation));
        reference
    }

    fn bootstrap(self: &Arc<Self>) -> Ref {
        Ref::remote_object(self.clone(), ImportPos(0), u32::MAX)
    }

    fn find(&self, pos: RemotePos) -> Ref {
        let tables = self.tables.lock().unwrap();
        match pos {
            RemotePos::Import(pos) => tables.exports[usize::try_from(pos.0).unwrap() - 1].clone(),
            RemotePos::Answer(pos) => tables.answers[&pos.0].clone(),
        }
    }

    fn receive(self: &Arc<Self>, world: &Arc<World>, op: Op) {
        match op {
            Op::Deliver { to, args, question } => {
                let args: Args = args.into_iter().map(|wire| self.decode(world, wire)).collect();
                let resolver = question.map(|question| {
                    let (answer, resolver) = promise();
                    let before =
                        self.tables.lock().unwrap().answers.insert(question, answer.clone().into());
                    assert!(before.is_none());
                    self.tell(question, &answer);
                    resolver
                });
                if to == RemotePos::Import(ImportPos(0)) {
                    world.bootstrap(self.me, args, resolver);
                } else {
                    self.find(to).deliver(args, resolver);
                }
            }
            Op::Listen { to, question } => self.tell(question, &self.find(to)),
            Op::Settle { question, outcome } => {
                let resolver = self.tables.lock().unwrap().questions.remove(&question).unwrap();
                let outcome = outcome.map(|wire| self.decode(world, wire));
                resolver.resolve(outcome.map_err(Fault::from));
            }
        }
    }

    /// Tells the peer how something of ours settles.
    fn tell(self: &Arc<Self>, question: u64, reference: &Ref) {
        let me = self.clone();
        reference.when_settled(move |outcome| {
            let Some(world) = me.world.upgrade() else { return };
            let outcome = match outcome {
                Ok(value) => Ok(me.encode(&world, &value)),
                Err(fault) => Err(fault.to_string()),
            };
            world.post(me.me, me.peer, Op::Settle { question, outcome });
        });
    }

    fn ask(&self, resolver: Resolver) -> Result<u64, Resolver> {
        let mut tables = self.tables.lock().unwrap();
        if tables.dead {
            return Err(resolver);
        }
        tables.asked += 1;
        let question = tables.asked;
        tables.questions.insert(question, resolver);
        Ok(question)
    }

    fn is_held(&self, at: RemotePos) -> bool {
        // The bootstrap object is there for as long as the link is.
        let bootstrap = at == RemotePos::Import(ImportPos(0));
        bootstrap || self.held.lock().unwrap().iter().any(|(pos, _)| *pos == at)
    }
}

impl Link for Side {
    fn key(&self) -> u64 {
        self.me * 100 + self.peer
    }

    fn deliver(&self, to: RemotePos, args: Args, answer: Option<Resolver>) -> Option<AnswerPos> {
        let world = self.world.upgrade()?;
        assert!(self.is_held(to), "{to:?} was released");
        let me = world.side(self.me, self.peer);
        let args = args.iter().map(|value| me.encode(&world, value)).collect();
        let question = match answer.map(|resolver| self.ask(resolver)) {
            Some(Err(resolver)) => {
                resolver.break_with("disconnected");
                return None;
            }
            Some(Ok(question)) => Some(question),
            None => None,
        };
        let pos = question.map(AnswerPos);
        if let Some(pos) = pos {
            self.held.lock().unwrap().insert((RemotePos::Answer(pos), 0));
        }
        if !self.tables.lock().unwrap().dead {
            world.post(self.me, self.peer, Op::Deliver { to, args, question });
        }
        pos
    }

    fn listen(&self, to: RemotePos, resolver: Resolver) {
        let Some(world) = self.world.upgrade() else { return };
        match self.ask(resolver) {
            Ok(question) => world.post(self.me, self.peer, Op::Listen { to, question }),
            Err(resolver) => resolver.break_with("disconnected"),
        }
    }

    fn release(&self, pos: RemotePos, generation: u32) {
        let held = self.held.lock().unwrap().remove(&(pos, generation));
        assert!(held || generation == u32::MAX, "{pos:?} is released twice");
    }
}

/// What a node does by itself, one action after the other, each at any time.
pub(crate) type Script = (Node, Vec<Box<dyn FnOnce()>>);

/// A world at its start, and what must be so in the end.
pub(crate) struct Run {
    pub(crate) world: Arc<World>,
    pub(crate) scripts: Vec<Script>,
    pub(crate) check: Box<dyn FnOnce()>,
}

/// Something that can happen at a node: an arrival from another, or its own action.
type Step = (Node, Option<Node>);

/// One point of a run: what could happen, what was tried, and what need not be.
struct Choice {
    steps: Vec<Step>,
    taken: usize,
    /// Steps that, taken here, lead only to what has been tried already: they happen at
    /// other nodes than all that was done since they were tried (sleep sets).
    idle: BTreeSet<Step>,
}

impl Choice {
    fn next(&self, from: usize) -> Option<usize> {
        (from..self.steps.len()).find(|&index| !self.idle.contains(&self.steps[index]))
    }
}

/// Tells what happened in a run that fails.
struct Trace(Vec<String>);

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in this order:\n  {}", self.0.join("\n  "));
        }
    }
}

impl Run {
    fn steps(&self) -> Vec<Step> {
        let arrivals = self.world.has_arrivals().into_iter().map(|(from, to)| (to, Some(from)));
        let scripts = self.scripts.iter().filter(|(_, actions)| !actions.is_empty());
        arrivals.chain(scripts.map(|(node, _)| (*node, None))).collect()
    }

    fn take(&mut self, (node, from): Step) -> String {
        if let Some(from) = from {
            return self.world.arrive(from, node);
        }
        let (_, actions) = self.scripts.iter_mut().find(|(other, _)| *other == node).unwrap();
        actions.remove(0)();
        self.world.hand.run_until_idle();
        format!("{node} acts")
    }

    fn finish(self) {
        (self.check)();
        assert_eq!(self.world.end(), Vec::<String>::new(), "never released");
    }
}

/// Runs a program in every order in which its messages can arrive and its nodes can act,
/// except that of two orders in which each node sees the same, only one is tried.
/// Gives how many there were.
pub(crate) fn explore(start: impl Fn() -> Run) -> usize {
    let mut choices: Vec<Choice> = Vec::new();
    let mut runs = 0;
    loop {
        let mut run = start();
        let mut trace = Trace(Vec::new());
        let mut depth = 0;
        let done = loop {
            let steps = run.steps();
            if steps.is_empty() {
                break true;
            }
            if depth == choices.len() {
                let idle = choices.last().map_or_else(BTreeSet::new, |before: &Choice| {
                    let (tried, step) = (&before.steps[..before.taken], before.steps[before.taken]);
                    let apart = |other: &&Step| other.0 != step.0;
                    before.idle.iter().chain(tried).filter(apart).copied().collect()
                });
                let mut choice = Choice { steps, taken: 0, idle };
                let Some(first) = choice.next(0) else { break false };
                choice.taken = first;
                choices.push(choice);
            }
            let choice = &choices[depth];
            trace.0.push(run.take(choice.steps[choice.taken]));
            depth += 1;
        };
        if done {
            run.finish();
            runs += 1;
        } else {
            run.world.end();
        }
        // On to the last choice that has something left to try.
        loop {
            let Some(choice) = choices.last_mut() else { return runs };
            if let Some(next) = choice.next(choice.taken + 1) {
                choice.taken = next;
                break;
            }
            choices.pop();
        }
    }
}

/// Runs a program in some of those orders, picked by a number.
pub(crate) fn sample(seeds: std::ops::Range<u64>, start: impl Fn() -> Run) {
    for seed in seeds {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut run = start();
        let mut trace = Trace(vec![format!("seed {seed}")]);
        loop {
            let steps = run.steps();
            if steps.is_empty() {
                break;
            }
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let index = usize::try_from(random % steps.len() as u64).unwrap();
            trace.0.push(run.take(steps[index]));
        }
        run.finish();
    }
}
