//! When nothing moves any more: what must hold then, and how a world ends.

use super::actor::Actor;
use super::script::{Arg, Proof, SLOTS, Send};
use super::world::World;

/// How long the world waits for timers before it is at rest: more than any of them but
/// those that keep gifts.
const REST: u64 = 12_000_000;

/// The same with those, which are kept for 300 s.
const LONG_REST: u64 = 400_000_000;

/// More events than this without coming to rest means that something goes in circles.
const TOO_MANY: usize = 100_000;

impl World {
    /// Lets things happen until only timers are left, and those for `rest`.
    pub(super) fn come_to_rest(&mut self, rest: u64) {
        let mut until = self.now + rest;
        let mut events = 0;
        while let Some(next) = self.next_event() {
            if self.moving > 0 {
                until = self.now.max(next) + rest;
            } else if next > until {
                break;
            }
            self.step();
            events += 1;
            if self.failed() {
                return;
            }
            if events > TOO_MANY {
                return self.ground.shadow().fail("the world does not come to rest");
            }
        }
        self.set_time(until);
    }

    pub(super) fn failed(&self) -> bool {
        self.ground.shadow().failure.is_some()
    }

    fn fail(&self, what: impl Into<String>) {
        self.ground.shadow().fail(what);
    }

    /// Waits until nothing moves, and checks what must hold then.
    pub(super) fn settle(&mut self) {
        self.come_to_rest(REST);
        self.ground.shadow().check_quiet();
        self.check_nodes();
        self.check_counts();
        self.check_authority();
    }

    /// What must always hold.
    pub(super) fn check_nodes(&self) {
        for (number, peer) in self.peers.iter().enumerate() {
            if let Some(node) = &peer.node
                && let Err(error) = node.hub.check()
            {
                self.fail(format!("p{number}: {error}"));
            }
        }
    }

    /// Both sides of each session agree on what they hold of each other.
    fn check_counts(&self) {
        for conn in &self.open {
            let [one, two] = &self.conns[*conn].ends;
            let (Some(one), Some(two)) = (&one.link, &two.link) else { continue };
            if one.is_ended() || two.is_ended() {
                continue;
            }
            let (near, far) = (one.reference_counts(), two.reference_counts());
            if near.sent != far.received || far.sent != near.received {
                let text = format!("connection {conn}: the sides differ: {near:?} and {far:?}");
                self.fail(text);
            }
            let (near, far) = (one.table_counts(), two.table_counts());
            if near.questions != far.answers || far.questions != near.answers {
                self.fail(format!("connection {conn}: answers differ: {near:?} and {far:?}"));
            }
        }
    }

    /// Ends the program: promises are resolved, every reference is tried, all is let
    /// go, and nothing may be left.
    pub(super) fn finish(&mut self) {
        self.heal();
        self.settle();
        self.settle_promises();
        self.probe();
        self.settle_promises();
        self.check_told();
        if self.failed() {
            return;
        }
        for peer in 0..self.peers.len() {
            let vars = std::mem::take(&mut self.ground.store(peer).vars);
            drop(vars);
            for slot in 0..SLOTS {
                self.revoke(peer, slot);
            }
            self.answer_calls();
        }
        self.come_to_rest(LONG_REST);
        self.check_sessions();
        self.check_unused();
        self.check_objects();
        if self.failed() {
            return;
        }
        for peer in &self.peers {
            if let Some(node) = &peer.node {
                node.hub.stop("the program is over");
            }
        }
        self.answer_calls();
        self.come_to_rest(LONG_REST);
        self.check_objects();
        for (number, peer) in self.peers.iter().enumerate() {
            if peer.node.as_ref().is_some_and(|node| !node.hub.is_quiet()) {
                self.fail(format!("p{number} is not quiet in the end"));
            }
        }
    }

    /// Resolves the promises that the program has left, and those that its messages
    /// make once these let them go.
    fn settle_promises(&mut self) {
        for _round in 0..1000 {
            self.settle();
            if self.failed() {
                return;
            }
            let peers = 0..self.peers.len();
            if peers.map(|peer| self.ground.store(peer).resolvers.len()).sum::<usize>() == 0 {
                return;
            }
            self.resolve_all();
        }
        self.fail("there is no end of promises");
    }

    fn resolve_all(&mut self) {
        for peer in 0..self.peers.len() {
            let (life, count) = (self.peers[peer].life, self.ground.store(peer).resolvers.len());
            for _ in 0..count {
                let ground = self.ground.clone();
                let Some(node) = &self.peers[peer].node else { continue };
                let vat = node.vat.clone();
                let with = if self.rng.percent(70) {
                    Arg::Var(self.rng.below(100) as usize)
                } else {
                    Arg::Break
                };
                let actor = Actor::program(&ground, peer, life);
                actor.resolve(0, &with, &mut |object| vat.spawn(object));
                self.answer_calls();
            }
        }
    }

    /// Sends a message along every reference and asks what it settles to.
    fn probe(&mut self) {
        let probe = Send { to: 0, args: vec![], want: true, reply: Arg::Int(3), then: None };
        for peer in 0..self.peers.len() {
            let (life, vars) = (self.peers[peer].life, self.ground.store(peer).vars.clone());
            let ground = self.ground.clone();
            let Some(node) = &self.peers[peer].node else { continue };
            let vat = node.vat.clone();
            let actor = Actor::program(&ground, peer, life);
            for var in vars {
                actor.send_to(&var, &probe, &mut |object| vat.spawn(object));
                actor.watch(&var.reference, var.thing);
            }
            self.answer_calls();
        }
    }

    /// Whoever waits has been told.
    fn check_told(&self) {
        let mut shadow = self.ground.shadow();
        if let Some((peer, ..)) = shadow.waiting.first().copied() {
            let count = shadow.waiting.len();
            shadow.fail(format!("p{peer} waits for ever for a promise, and {count} in all"));
        }
    }

    /// Nothing is held any more: no table has an entry left.
    fn check_unused(&self) {
        for (number, peer) in self.peers.iter().enumerate() {
            let links = peer.node.iter().flat_map(|node| node.hub.links());
            for link in links.filter(|link| !link.is_unused()) {
                let dump = link.dump();
                let with = link.peer().map(|peer| peer.location.designator.clone());
                self.fail(format!("p{number} has something left with {with:?}:\n{dump}"));
            }
        }
    }

    /// No object is left that nobody holds.
    fn check_objects(&self) {
        for (number, peer) in self.peers.iter().enumerate() {
            let count = peer.node.as_ref().map_or(0, |node| node.vat.actor_count());
            if count > 0 {
                self.fail(format!("p{number} has {count} objects left that nobody holds"));
            }
        }
    }

    /// Two peers have one session with each other, or one in each direction where only
    /// who was dialled is proven; and others only while something is held by way of
    /// them, as a gift may be that nobody fetches.
    fn check_sessions(&self) {
        let most = if self.spec.proof == Proof::Dialled { 2 } else { 1 };
        for one in 0..self.peers.len() {
            for two in 0..one {
                let between = self.open.iter().filter(|conn| {
                    let ends = &self.conns[**conn].ends;
                    let used = ends.iter().filter_map(|end| end.link.as_ref());
                    let used = used.filter(|link| !link.is_unused()).count() > 0;
                    let [near, far] = ends;
                    !used && [(near.peer, far.peer), (far.peer, near.peer)].contains(&(one, two))
                });
                let count = between.count();
                if count > most {
                    self.fail(format!("p{one} and p{two} have {count} sessions in the end"));
                }
            }
        }
    }
}

impl Drop for World {
    /// References that lead in circles are let go of.
    fn drop(&mut self) {
        for peer in 0..self.peers.len() {
            self.take_down(peer);
        }
    }
}
