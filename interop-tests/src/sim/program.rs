//! What the lines of a script do to a world: what its peers' programs do, and faults.

use captp::locator::Sturdyref;

use super::actor::Actor;
use super::outside::locator;
use super::script::{Line, Op, SLOTS};
use super::shadow::Meaning;
use super::world::{Event, World};

impl World {
    /// Does one line of the script.
    pub(super) fn perform(&mut self, line: &Line) {
        let peer = line.peer % self.spec.peers;
        self.count(6, peer);
        if line.op.is_fault() {
            self.ground.shadow().faulty = true;
        }
        let (life, number) = (self.peers[peer].life, self.spec.peers);
        let Some(node) = &self.peers[peer].node else { return };
        let (hub, vat) = (node.hub.clone(), node.vat.clone());
        let ground = self.ground.clone();
        let actor = Actor::program(&ground, peer, life);
        let spawn = &mut |object| vat.spawn(object);
        match &line.op {
            Op::Enliven { at, slot } => self.enliven(peer, at % number, slot % SLOTS),
            Op::Send(send) => actor.send(send, spawn),
            Op::Promise => drop(actor.promise()),
            Op::Resolve { which, with } => actor.resolve(*which, with, spawn),
            Op::Drop { var } => {
                let mut store = ground.store(peer);
                let len = store.vars.len();
                let gone = (len > 0).then(|| store.vars.remove(len - 1 - var % len));
                drop(store);
                drop(gone);
            }
            Op::Listen { var } => {
                if let Some(var) = ground.var(peer, *var) {
                    actor.watch(&var.reference, var.thing);
                    actor.send_when_settled(var);
                }
            }
            Op::Mint { slot } => self.mint(peer, slot % SLOTS),
            Op::Revoke { slot } => self.revoke(peer, slot % SLOTS),
            Op::Close { link } => {
                let links = hub.links();
                if let Some(link) = (!links.is_empty()).then(|| &links[link % links.len()]) {
                    link.close("the script says so");
                }
            }
            Op::Cut { conn } if !self.open.is_empty() => {
                self.cut(self.open[conn % self.open.len()]);
            }
            Op::Crash { back } => self.crash(peer, *back),
            Op::Part { other, time } => self.part(peer, other % number, *time),
            Op::Refuse { time } => drop(self.refusing.insert(peer, self.now + time)),
            Op::Settle => self.settle(),
            Op::Cut { .. } => {}
        }
        self.answer_calls();
    }

    fn crash(&mut self, peer: usize, back: u64) {
        if self.peers[peer].node.is_none() {
            return;
        }
        self.say(|| format!("p{peer} crashes"));
        self.ground.shadow().counters.crashes += 1;
        self.take_down(peer);
        for slot in 0..SLOTS {
            self.ground.shadow().set_slot(peer, slot, None);
        }
        self.at(self.now + back, Event::Restart { peer });
    }

    /// Ends a life of a peer's.
    pub(super) fn take_down(&mut self, peer: usize) {
        let life = self.peers[peer].life;
        self.peers[peer].life += 1;
        self.ground.store(peer).life = life + 1;
        self.ground.shadow().waiting.retain(|(who, at, _)| (*who, *at) != (peer, life));
        let mut links = Vec::new();
        for conn in self.open.clone() {
            for side in 0..2 {
                let end = &mut self.conns[conn].ends[side];
                if end.peer == peer && end.life == life {
                    links.extend(end.link.take());
                    self.cut(conn);
                }
            }
        }
        let store = std::mem::take(&mut *self.ground.store(peer));
        self.ground.store(peer).life = life + 1;
        let node = self.peers[peer].node.take();
        if let Some(node) = &node {
            node.vat.stop();
            node.hub.stop("the peer is gone");
            node.bench.clear();
        }
        links.iter().for_each(|link| link.disconnected());
        drop((store, links, node));
    }

    fn enliven(&mut self, peer: usize, at: usize, slot: usize) {
        if self.spec.is_walled(peer, at) {
            return;
        }
        let life = self.peers[peer].life;
        let Some(node) = &self.peers[peer].node else { return };
        let sturdyref = Sturdyref::new(locator(at), Self::swiss(slot));
        let promise = node.hub.enliven(&sturdyref);
        let mut shadow = self.ground.shadow();
        let since = shadow.version;
        let thing = shadow.thing(Meaning::Fetch { peer: at, slot, since }, (peer, life));
        drop(shadow);
        let actor = Actor::program(&self.ground, peer, life);
        actor.watch(&promise, thing);
        self.ground.know_promise(&promise, thing);
        self.ground.keep(peer, life, promise.into_ref(), thing);
    }

    fn part(&mut self, one: usize, other: usize, time: u64) {
        self.parted.insert((one.min(other), one.max(other)), self.now + time);
        for conn in self.open.clone() {
            let [near, far] = &self.conns[conn].ends;
            if [(near.peer, far.peer), (far.peer, near.peer)].contains(&(one, other)) {
                self.cut(conn);
            }
        }
    }

    /// All faults are over: what is parted may meet again.
    pub(super) fn heal(&mut self) {
        self.parted.clear();
        self.refusing.clear();
    }
}
