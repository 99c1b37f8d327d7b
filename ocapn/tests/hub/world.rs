//! A few hubs, in virtual time, over wires whose bytes move when the test says so.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use ocapn::hub::{Hub, HubSettings, Link, Outside};
use ocapn::netlayers::{ConnectError, UnreachableCause};
use ocapn::{
    Args, Behaviour, Fault, PeerLocator, Promise, Ref, Reply, Sturdyref, SwissNum, Turn, Value, Vat,
};
use vat_runtime::Manual;

/// What all nodes share with the world.
#[derive(Default)]
struct Shared {
    now: Duration,
    dialling: VecDeque<(usize, PeerLocator)>,
    wake: Vec<Option<Duration>>,
}

struct Place {
    who: usize,
    name: &'static str,
    transports: &'static [&'static str],
    shared: Arc<Mutex<Shared>>,
    entropy: Mutex<u64>,
}

impl Outside for Place {
    fn now(&self) -> Duration {
        self.shared.lock().unwrap().now
    }

    fn entropy(&self) -> [u8; 32] {
        let mut count = self.entropy.lock().unwrap();
        *count += 1;
        let mut bytes = [self.who as u8 + 1; 32];
        bytes[..8].copy_from_slice(&count.to_be_bytes());
        bytes
    }

    fn location(&self, transport: &str) -> Option<PeerLocator> {
        let speaks = self.transports.contains(&transport);
        speaks.then(|| PeerLocator::new(transport, self.name))
    }

    fn trusts_claims(&self, _transport: &str) -> bool {
        false
    }

    fn connect(&self, peer: PeerLocator) {
        self.shared.lock().unwrap().dialling.push_back((self.who, peer));
    }

    fn wake_at(&self, deadline: Option<Duration>) {
        self.shared.lock().unwrap().wake[self.who] = deadline;
    }
}

pub(crate) struct World {
    shared: Arc<Mutex<Shared>>,
    pub(crate) hubs: Vec<Arc<Hub>>,
    names: Vec<&'static str>,
    wires: Vec<Wire>,
    scheduler: Arc<Manual>,
    vats: Vec<Vat>,
    gone: BTreeSet<usize>,
    /// Who takes nothing at present of what whom has for it: `(whom, who)`.
    pub(crate) clogged: BTreeSet<(usize, usize)>,
    /// Pairs that can't connect to each other, and how that shows.
    pub(crate) walls: Vec<(usize, usize, Wall)>,
    /// Chooses what moves next.
    random: u64,
    pub(crate) steps: usize,
}

/// Why two can't connect.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wall {
    Refused,
    Silence,
    Impostor,
}

struct Wire {
    ends: [End; 2],
}

struct End {
    who: usize,
    link: Arc<Link>,
    input: BytesMut,
    coming: VecDeque<bytes::Bytes>,
    /// The other end is over: after what is coming there is nothing.
    closing: bool,
    closed: bool,
}

pub(crate) const TRANSPORT: &str = "mem";

impl World {
    /// Hubs of these names, which all speak one transport.
    pub(crate) fn new(names: &[&'static str], settings: &HubSettings) -> Self {
        let speakers: Vec<_> = names.iter().map(|name| (*name, &[TRANSPORT][..])).collect();
        Self::of(&speakers, settings)
    }

    pub(crate) fn of(
        names: &[(&'static str, &'static [&'static str])],
        settings: &HubSettings,
    ) -> Self {
        Self::of_each(names, |_| settings.clone())
    }

    /// Hubs with settings of their own.
    pub(crate) fn of_each(
        names: &[(&'static str, &'static [&'static str])],
        settings: impl Fn(usize) -> HubSettings,
    ) -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        shared.lock().unwrap().wake = vec![None; names.len()];
        let hub = |(who, &(name, transports)): (usize, &(&'static str, _))| {
            let (shared, entropy) = (Arc::clone(&shared), Mutex::default());
            Hub::new(Place { who, name, transports, shared, entropy }, settings(who))
        };
        let hubs = names.iter().enumerate().map(hub).collect();
        Self {
            shared,
            hubs,
            names: names.iter().map(|(name, _)| *name).collect(),
            wires: Vec::new(),
            scheduler: Manual::new(),
            vats: Vec::new(),
            gone: BTreeSet::new(),
            clogged: BTreeSet::new(),
            walls: Vec::new(),
            random: 0,
            steps: 0,
        }
    }

    /// From now on what moves next is chosen by this seed.
    pub(crate) fn shuffled(mut self, seed: u64) -> Self {
        self.random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        self
    }

    fn choose(&mut self, among: usize) -> usize {
        if self.random == 0 {
            return 0;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).unwrap() % among
    }

    pub(crate) fn spawn(&mut self, behaviour: impl Behaviour) -> Ref {
        let vat = Vat::new("objects", self.scheduler.clone());
        let object = vat.spawn(behaviour);
        self.vats.push(vat);
        object
    }

    /// Exports an object of a hub's.
    pub(crate) fn export(
        &mut self,
        who: usize,
        transport: &str,
        behaviour: impl Behaviour,
    ) -> Sturdyref {
        let object = self.spawn(behaviour);
        let swiss = SwissNum::from_entropy([self.vats.len() as u8; 32]);
        self.hubs[who].register(&swiss, object);
        Sturdyref::new(PeerLocator::new(transport, self.names[who]), swiss)
    }

    /// The object behind a sturdyref, once it is there.
    pub(crate) fn resolve(&mut self, who: usize, sturdyref: &Sturdyref) -> Ref {
        let promise = self.hubs[who].enliven(sturdyref);
        match self.outcome(&promise) {
            Some(Ok(Value::Ref(object))) => object,
            other => panic!("{other:?}"),
        }
    }

    /// How a promise has settled, when all is quiet.
    pub(crate) fn outcome(&mut self, promise: &Promise) -> Option<Result<Value, Fault>> {
        self.run();
        promise.outcome()
    }

    /// Moves bytes and runs vats until there is nothing left to do.
    pub(crate) fn run(&mut self) {
        while self.step() {}
    }

    /// The same, with time passing.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.shared.lock().unwrap().now + time;
        loop {
            self.run();
            let due = self.shared.lock().unwrap().wake.iter().flatten().min().copied();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            {
                let mut shared = self.shared.lock().unwrap();
                shared.now = shared.now.max(due);
            }
            self.hubs.iter().for_each(|hub| hub.tick());
        }
        self.shared.lock().unwrap().now = end;
    }

    /// Does one thing: a vat's turn, a connection, or a piece of one that arrives.
    pub(crate) fn step(&mut self) -> bool {
        self.collect();
        let dialling = self.shared.lock().unwrap().dialling.len();
        let arriving: Vec<(usize, usize)> = (0..self.wires.len())
            .flat_map(|wire| [(wire, 0), (wire, 1)])
            .filter(|&(wire, end)| {
                let end = &self.wires[wire].ends[end];
                let coming = !end.coming.is_empty() && !end.link.is_paced();
                !end.closed && (coming || end.coming.is_empty() && end.closing)
            })
            .collect();
        let vats = usize::from(self.scheduler.step());
        if vats == 0 && dialling + arriving.len() == 0 {
            return false;
        }
        if vats == 0 {
            let choice = self.choose(dialling + arriving.len());
            match choice.checked_sub(dialling) {
                None => self.connect(choice),
                Some(arrival) => self.arrive(arriving[arrival]),
            }
            self.steps += 1;
        }
        for hub in &self.hubs {
            hub.check().unwrap();
        }
        true
    }

    /// Lets what is on its way arrive, all at once, and what is sent then not. Counts
    /// how often that takes until a promise has settled: the journeys, one after the
    /// other, that nothing could be saved of by sending more at a time.
    pub(crate) fn journeys_until(&mut self, promise: &Promise) -> usize {
        for journeys in 0.. {
            while self.scheduler.step() {}
            if promise.outcome().is_some() {
                return journeys;
            }
            self.collect();
            for wire in 0..self.wires.len() {
                for end in [0, 1] {
                    for _ in 0..self.wires[wire].ends[end].coming.len() {
                        self.arrive((wire, end));
                    }
                }
            }
        }
        unreachable!()
    }

    /// Takes what is to be sent, and hears of sessions that are over.
    fn collect(&mut self) {
        for wire in &mut self.wires {
            for end in [0, 1] {
                let mut out = VecDeque::new();
                let pair = (wire.ends[end].who, wire.ends[1 - end].who);
                if !wire.ends[end].closed && !self.clogged.contains(&pair) {
                    wire.ends[end].link.transmit(true, &mut out);
                }
                let over = wire.ends[end].link.is_ended();
                wire.ends[end].closed |= over;
                let other = &mut wire.ends[1 - end];
                if !other.closed {
                    other.coming.extend(out);
                    other.closing |= over;
                }
            }
        }
    }

    fn arrive(&mut self, (wire, end): (usize, usize)) {
        let end = &mut self.wires[wire].ends[end];
        match end.coming.pop_front() {
            Some(bytes) => {
                end.input.extend_from_slice(&bytes);
                end.link.receive(&mut end.input);
            }
            None => end.link.disconnected(),
        }
    }

    fn connect(&mut self, nth: usize) {
        let Some((who, peer)) = self.shared.lock().unwrap().dialling.remove(nth) else { return };
        if self.gone.contains(&who) {
            return;
        }
        let address = peer.id().to_string();
        let whom = self.names.iter().position(|name| *name == peer.designator);
        let wall = self.walls.iter().find(|(one, two, _)| {
            (Some(*one), *two) == (whom, who) || (*one, Some(*two)) == (who, whom)
        });
        let here = whom.filter(|whom| !self.gone.contains(whom));
        let error = match (wall.map(|(_, _, wall)| *wall), here) {
            (None, Some(whom)) => {
                let (from, to) = (self.names[who], self.names[whom]);
                let dialled = self.hubs[who].connected(&peer, Some(to.to_owned()));
                let Some(dialled) = dialled else { return };
                let accepted = self.hubs[whom].accepted(&peer.transport, Some(from.to_owned()));
                self.join(who, dialled, whom, accepted.unwrap());
                return;
            }
            (Some(Wall::Impostor), _) => ConnectError::IdentityMismatch {
                address,
                expected: peer.designator.clone(),
                found: Some("somebody else".to_owned()),
            },
            (Some(Wall::Silence), _) => {
                let after = Duration::from_secs(10);
                ConnectError::Unreachable { address, cause: UnreachableCause::TimedOut(after) }
            }
            _ => ConnectError::Unreachable { address, cause: UnreachableCause::NobodyThere },
        };
        self.hubs[who].connect_failed(&peer, error);
    }

    fn join(&mut self, one: usize, dialled: Arc<Link>, two: usize, accepted: Arc<Link>) {
        let end = |who, link| End {
            who,
            link,
            input: BytesMut::new(),
            coming: VecDeque::new(),
            closing: false,
            closed: false,
        };
        self.wires.push(Wire { ends: [end(one, dialled), end(two, accepted)] });
    }

    /// Somebody who is no hub connects, proven to be `proven`.
    pub(crate) fn intrude(&mut self, whom: usize, proven: Option<&str>) -> Arc<Link> {
        self.hubs[whom].accepted(TRANSPORT, proven.map(str::to_owned)).unwrap()
    }

    /// A node is gone, with all its connections and what was on its way by them.
    pub(crate) fn kill(&mut self, who: usize) {
        self.gone.insert(who);
        for wire in &mut self.wires {
            if wire.ends.iter().any(|end| end.who == who) {
                for end in &mut wire.ends {
                    end.coming.clear();
                    end.closed = true;
                    end.link.disconnected();
                }
            }
        }
        self.hubs[who].stop("gone");
        self.run();
    }

    /// Nobody has a session, and nothing is left of any.
    pub(crate) fn end(&mut self) {
        for hub in &self.hubs {
            hub.stop("the test is over");
        }
        self.pass(Duration::from_secs(300));
        for (who, hub) in self.hubs.iter().enumerate() {
            // Whoever is gone dialled in vain to the last.
            assert!(self.gone.contains(&who) || hub.is_quiet(), "{}", self.names[who]);
        }
    }

    /// How many sessions a hub has.
    pub(crate) fn sessions(&self, who: usize) -> usize {
        self.hubs[who].links().iter().filter(|link| !link.is_ended()).count()
    }

    /// How many references a hub's peers hold that lead elsewhere by way of it.
    pub(crate) fn standing_in(&self, who: usize) -> usize {
        self.hubs[who].links().iter().map(|link| link.standing_in()).sum()
    }
}

/// Counts what it is told.
pub(crate) struct Counter(pub(crate) i64);

impl Behaviour for Counter {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let by = args.first().and_then(Value::as_int).ok_or("by how much?")?;
        Ok(Reply::become_with(Self(self.0 + by), self.0 + by))
    }
}

/// Tells its first argument the others, and answers with what that answers.
pub(crate) struct Caller;

impl Behaviour for Caller {
    fn receive(&self, turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
        let Value::Ref(target) = args.remove(0) else { return Err("a target".into()) };
        Ok(Reply::value(turn.send(&target, args)))
    }
}
