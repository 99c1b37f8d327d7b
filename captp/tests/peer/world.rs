//! Peers with real sessions between them, in virtual time, where the test chooses the
//! order in which everything arrives.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use captp::locator::{PeerId, PeerLocator};
use captp::{
    Action, ConnId, Established, Event, Peer, PeerSettings, PublicId, SessionConfig, SessionEnd,
    SessionKey,
};

use crate::support::{Side, location};

/// Whom a netlayer proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proves {
    Both,
    Dialled,
    Nobody,
}

/// Something that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The user of a node wants a session with another node.
    Ask { who: usize, whom: usize },
    /// What a node dials answers.
    Connect { who: usize, nth: usize },
    /// The next bytes, or the end, arrive at one end of a wire.
    Arrive { wire: usize, end: usize },
}

pub(crate) struct World {
    pub(crate) proves: Proves,
    pub(crate) now: Duration,
    pub(crate) nodes: Vec<Node>,
    pub(crate) wires: Vec<Wire>,
    /// What users will ask for, at any time.
    pub(crate) asks: Vec<(usize, usize)>,
    /// Nobody answers who is dialled at this node.
    pub(crate) unreachable: Option<usize>,
    next_conn: u64,
}

pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) rule: Rule,
    pub(crate) dialling: VecDeque<PeerLocator>,
    pub(crate) ends: BTreeMap<ConnId, End>,
    /// The next keys, instead of chosen ones.
    pub(crate) keys: VecDeque<[u8; 32]>,
    /// What [`Action::Dialled`] said.
    pub(crate) dialled: Vec<Result<ConnId, SessionEnd>>,
    /// How sessions ended.
    pub(crate) ended: BTreeMap<ConnId, SessionEnd>,
    pub(crate) connects: usize,
    /// Those who waited for a gift in vain, and what was dropped.
    pub(crate) in_vain: Vec<&'static str>,
    pub(crate) dropped: Vec<&'static str>,
    entropy: u64,
}

/// By which rule a node treats its sessions.
pub(crate) enum Rule {
    Ours(Box<Peer<&'static str, &'static str>>),
    /// That of Goblins: a connection that comes from where it has itself dialled is
    /// compared once, and the lower one aborted at once.
    Goblins {
        dialled: Option<(ConnId, PublicId)>,
    },
}

/// One end of a wire: a session.
pub(crate) struct End {
    pub(crate) side: Side,
    pub(crate) dialled: bool,
    pub(crate) established: Option<Established>,
    our_id: PublicId,
    wire: usize,
    end: usize,
    heard: u64,
    /// Its user waits for something on it.
    pub(crate) in_use: bool,
}

#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) at: [Option<(usize, ConnId)>; 2],
    /// What is on its way to each end; an empty one is the end.
    queues: [VecDeque<Vec<u8>>; 2],
    pub(crate) stuck: bool,
}

impl World {
    pub(crate) fn new(proves: Proves, names: &[&'static str]) -> Self {
        Self::with(proves, names, PeerSettings::default())
    }

    pub(crate) fn with(proves: Proves, names: &[&'static str], settings: PeerSettings) -> Self {
        let node = |name: &&'static str| Node {
            name,
            rule: Rule::Ours(Box::new(Peer::new(settings))),
            dialling: VecDeque::new(),
            ends: BTreeMap::new(),
            keys: VecDeque::new(),
            dialled: Vec::new(),
            ended: BTreeMap::new(),
            connects: 0,
            in_vain: Vec::new(),
            dropped: Vec::new(),
            entropy: 0,
        };
        Self {
            proves,
            now: Duration::ZERO,
            nodes: names.iter().map(node).collect(),
            wires: Vec::new(),
            asks: Vec::new(),
            unreachable: None,
            next_conn: 0,
        }
    }

    /// What can happen next.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let asks = self.asks.iter().map(|&(who, whom)| Step::Ask { who, whom });
        let connects = self.nodes.iter().enumerate().flat_map(|(who, node)| {
            (0..node.dialling.len()).map(move |nth| Step::Connect { who, nth })
        });
        let arrivals = self.wires.iter().enumerate().flat_map(|(wire, state)| {
            (0..2)
                .filter(move |&end| !state.stuck && !state.queues[end].is_empty())
                .map(move |end| Step::Arrive { wire, end })
        });
        asks.chain(connects).chain(arrivals).collect()
    }

    pub(crate) fn take(&mut self, step: Step) {
        match step {
            Step::Ask { who, whom } => {
                self.asks.retain(|ask| *ask != (who, whom));
                self.ask(who, whom);
            }
            Step::Connect { who, nth } => {
                let to = self.nodes[who].dialling.remove(nth).unwrap();
                self.connect(who, &to);
            }
            Step::Arrive { wire, end } => self.arrive(wire, end),
        }
        self.settle();
        self.check();
    }

    pub(crate) fn check(&self) {
        for node in &self.nodes {
            if let Rule::Ours(peer) = &node.rule {
                peer.check().unwrap_or_else(|broken| panic!("{}: {broken}", node.name));
            }
        }
    }

    /// Lets everything arrive, in the order in which it was sent.
    pub(crate) fn run(&mut self) {
        self.settle();
        while let Some(step) = self.steps().first().copied() {
            self.take(step);
        }
    }

    /// Lets time pass, and all that comes of it arrive.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.run();
        while let Some(due) = self.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.tick();
            self.run();
        }
        self.now = end;
    }

    fn deadline(&self) -> Option<Duration> {
        self.nodes.iter().filter_map(|node| node.ours()?.deadline()).min()
    }

    fn tick(&mut self) {
        for node in &mut self.nodes {
            if let Rule::Ours(peer) = &mut node.rule {
                let (in_vain, dropped) = peer.tick(self.now);
                node.in_vain.extend(in_vain);
                node.dropped.extend(dropped);
            }
        }
        self.settle();
        self.check();
    }

    pub(crate) fn peer(&mut self, who: usize) -> &mut Peer<&'static str, &'static str> {
        match &mut self.nodes[who].rule {
            Rule::Ours(peer) => peer,
            Rule::Goblins { .. } => panic!("one of ours"),
        }
    }

    pub(crate) fn ask(&mut self, who: usize, whom: usize) -> Option<ConnId> {
        let to = location(self.nodes[whom].name);
        let node = &mut self.nodes[who];
        let there = match &mut node.rule {
            Rule::Ours(peer) => peer.dial(&to),
            Rule::Goblins { .. } => {
                let theirs =
                    |end: &&End| end.established.as_ref().is_some_and(|e| e.location == to);
                if node.ends.values().find(theirs).is_none() {
                    node.dialling.push_back(to);
                }
                None
            }
        };
        self.settle();
        there
    }

    /// The session that a node has with another.
    pub(crate) fn session(&self, who: usize, whom: usize) -> Option<ConnId> {
        let id = location(self.nodes[whom].name).id();
        self.nodes[who].ours().and_then(|peer| peer.session_with(&id))
    }

    /// Whether a session of a node's is live at both ends.
    pub(crate) fn is_whole(&self, who: usize, conn: ConnId) -> bool {
        let Some(end) = self.nodes[who].ends.get(&conn) else { return false };
        let other = self.wires[end.wire].at[1 - end.end];
        let other = other.and_then(|(node, conn)| self.nodes[node].ends.get(&conn));
        end.side.session.is_live() && other.is_some_and(|other| other.side.session.is_live())
    }

    /// Whether two nodes mean the same connection, and it is live.
    pub(crate) fn agree(&self, one: usize, two: usize) -> bool {
        let (Some(at_one), Some(at_two)) = (self.session(one, two), self.session(two, one)) else {
            return false;
        };
        let wire = |who: usize, conn| self.nodes[who].ends[&conn].wire;
        wire(one, at_one) == wire(two, at_two) && self.is_whole(one, at_one)
    }

    /// Opens a connection and both its ends; who is dialled is at the second one.
    fn connect(&mut self, who: usize, to: &PeerLocator) {
        self.nodes[who].connects += 1;
        let whom = self.nodes.iter().position(|node| location(node.name).same_peer(to));
        let wanted = match &mut self.nodes[who].rule {
            Rule::Ours(peer) => peer.connected(&to.id()),
            Rule::Goblins { .. } => true,
        };
        let Some(whom) = whom.filter(|whom| Some(*whom) != self.unreachable) else {
            if let Rule::Ours(peer) = &mut self.nodes[who].rule {
                peer.connect_failed(&to.id());
            }
            return;
        };
        if !wanted {
            return;
        }
        self.wires.push(Wire::default());
        let wire = self.wires.len() - 1;
        let (dialler, acceptor) = (self.nodes[who].name, self.nodes[whom].name);
        let proven = (self.proves == Proves::Both).then_some(dialler);
        let answers = (self.proves != Proves::Nobody).then_some(acceptor);
        self.open(who, wire, 0, Some(to), answers, dialler);
        self.open(whom, wire, 1, None, proven, acceptor);
    }

    /// Somebody who is no node connects to `whom`, claims to be `claim` and proves to
    /// be `proven`.
    pub(crate) fn intrude(
        &mut self,
        whom: usize,
        claim: &str,
        proven: Option<&str>,
        seed: u8,
    ) -> (ConnId, Side) {
        self.wires.push(Wire { stuck: true, ..Wire::default() });
        let acceptor = self.nodes[whom].name;
        let conn = self.open(whom, self.wires.len() - 1, 1, None, proven, acceptor);
        let mut intruder = Side::new(crate::support::config(claim, seed));
        let end = self.nodes[whom].ends.get_mut(&conn).unwrap();
        let greeting = end.side.transmit(true);
        intruder.receive(&greeting);
        end.side.receive(&intruder.transmit(true));
        self.settle();
        self.check();
        (conn, intruder)
    }

    fn open(
        &mut self,
        who: usize,
        wire: usize,
        end: usize,
        dialled: Option<&PeerLocator>,
        proven: Option<&str>,
        name: &str,
    ) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let node = &mut self.nodes[who];
        let claim = dialled.zip(node.ours()).and_then(|(to, peer)| peer.claim_on(&to.id()));
        let one_sided =
            self.proves == Proves::Dialled && dialled.is_some() && node.ours().is_some();
        let key = match node.keys.pop_front() {
            Some(seed) => SessionKey::from_entropy(seed),
            None if one_sided => SessionKey::of_high_rank(claim, || node.entropy()),
            None => SessionKey::from_entropy(node.entropy()),
        };
        let our_id = key.public().id();
        let mut config = SessionConfig::new(location(name), key);
        config.dialect = captp::Dialect::ONE;
        config.dialled = dialled.cloned();
        config.proven = proven.map(str::to_owned);
        match &mut node.rule {
            Rule::Ours(peer) => peer.opened(conn, dialled, our_id, self.now),
            Rule::Goblins { dialled: of_old } if dialled.is_some() => {
                *of_old = Some((conn, our_id));
            }
            Rule::Goblins { .. } => {}
        }
        let side = Side::new(config);
        let opened = End {
            side,
            dialled: dialled.is_some(),
            established: None,
            our_id,
            wire,
            end,
            heard: 0,
            in_use: false,
        };
        node.ends.insert(conn, opened);
        self.wires[wire].at[end] = Some((who, conn));
        conn
    }

    fn arrive(&mut self, wire: usize, end: usize) {
        let Some(bytes) = self.wires[wire].queues[end].pop_front() else { return };
        let Some((who, conn)) = self.wires[wire].at[end] else { return };
        let Some(end) = self.nodes[who].ends.get_mut(&conn) else { return };
        if bytes.is_empty() {
            end.side.session.disconnected();
            let Side { session, events, .. } = &mut end.side;
            session.take_events(events);
        } else {
            end.side.receive(&bytes);
        }
    }

    /// Bytes arrive that no node has sent.
    pub(crate) fn receive(&mut self, who: usize, conn: ConnId, bytes: &[u8]) {
        self.nodes[who].ends.get_mut(&conn).unwrap().side.receive(bytes);
        self.settle();
        self.check();
    }

    /// A connection is cut; neither end is told why.
    pub(crate) fn cut(&mut self, who: usize, conn: ConnId) {
        let wire = self.nodes[who].ends[&conn].wire;
        for queue in &mut self.wires[wire].queues {
            queue.clear();
            queue.push_back(Vec::new());
        }
        self.run();
    }

    /// A node forgets everything, and nobody is told.
    pub(crate) fn restart(&mut self, who: usize) {
        let ends = std::mem::take(&mut self.nodes[who].ends);
        for end in ends.into_values() {
            self.wires[end.wire].stuck = true;
        }
        self.nodes[who].rule = Rule::Ours(Box::new(Peer::new(PeerSettings::default())));
    }

    /// Does what came of the last step: events, actions and what is to be sent.
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for who in 0..self.nodes.len() {
                quiet &= !self.events_of(who);
                quiet &= !self.actions_of(who);
            }
            if quiet {
                return;
            }
        }
    }

    fn events_of(&mut self, who: usize) -> bool {
        let (now, node) = (self.now, &mut self.nodes[who]);
        let mut found = false;
        let conns: Vec<ConnId> = node.ends.keys().copied().collect();
        for conn in conns {
            let end = node.ends.get_mut(&conn).unwrap();
            end.side.session.take_events(&mut end.side.events);
            let events = std::mem::take(&mut end.side.events);
            for event in events {
                found = true;
                match event {
                    Event::Started(established) => node.started(conn, &established, now),
                    Event::Ended(how) => node.over(conn, &how, now),
                    _ => {}
                }
            }
            let Some(end) = node.ends.get_mut(&conn) else { continue };
            let (wire, to, over) = (end.wire, 1 - end.end, end.side.session.is_ended());
            let bytes = end.side.transmit(true);
            let queue = &mut self.wires[wire].queues[to];
            if !bytes.is_empty() {
                queue.push_back(bytes);
                found = true;
            }
            if over {
                queue.push_back(Vec::new());
                node.ends.remove(&conn);
                found = true;
            }
        }
        found
    }

    fn actions_of(&mut self, who: usize) -> bool {
        let node = &mut self.nodes[who];
        let mut found = false;
        while let Rule::Ours(peer) = &mut node.rule
            && let Some(action) = peer.poll_action()
        {
            found = true;
            match action {
                Action::Connect(to) => node.dialling.push_back(to),
                Action::Dialled(_, outcome) => node.dialled.push(outcome),
                Action::Close(conn, why) => node.close(conn, why),
                Action::CloseUnused(conn, why) => {
                    let end = node.ends.get(&conn);
                    if end.is_some_and(|end| !end.in_use && end.side.session.is_unused()) {
                        node.close(conn, why);
                    }
                }
                Action::CloseSilent(conn, why) => {
                    let Some(end) = node.ends.get_mut(&conn) else { continue };
                    let heard = end.side.session.traffic().messages_in;
                    if std::mem::replace(&mut end.heard, heard) == heard {
                        node.close(conn, why);
                    }
                }
            }
        }
        found
    }
}

impl Node {
    pub(crate) fn ours(&self) -> Option<&Peer<&'static str, &'static str>> {
        match &self.rule {
            Rule::Ours(peer) => Some(peer),
            Rule::Goblins { .. } => None,
        }
    }

    fn entropy(&mut self) -> [u8; 32] {
        self.entropy += 1;
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.entropy.to_be_bytes());
        bytes[8..8 + self.name.len()].copy_from_slice(self.name.as_bytes());
        bytes
    }

    pub(crate) fn close(&mut self, conn: ConnId, why: &str) {
        if let Some(end) = self.ends.get_mut(&conn) {
            end.side.session.close(why);
        }
    }

    fn started(&mut self, conn: ConnId, established: &Established, now: Duration) {
        let end = self.ends.get_mut(&conn).unwrap();
        end.established = Some(established.clone());
        let accepted = !end.dialled;
        match &mut self.rule {
            Rule::Ours(peer) => peer.established(conn, established, now),
            Rule::Goblins { dialled: Some((outbound, ours)) } if accepted => {
                let lower = if *ours < established.peer_key.id() { *outbound } else { conn };
                self.close(lower, "Crossed hellos mitigation");
            }
            Rule::Goblins { .. } => {}
        }
    }

    fn over(&mut self, conn: ConnId, how: &SessionEnd, now: Duration) {
        self.ended.insert(conn, how.clone());
        match &mut self.rule {
            Rule::Ours(peer) => {
                let (in_vain, dropped) = peer.ended(conn, how, now);
                self.in_vain.extend(in_vain);
                self.dropped.extend(dropped);
            }
            Rule::Goblins { dialled } => {
                if dialled.is_some_and(|(outbound, _)| outbound == conn) {
                    *dialled = None;
                }
            }
        }
    }

    /// The ids of its keys, by connection.
    pub(crate) fn id(&self, conn: ConnId) -> PublicId {
        self.ends[&conn].our_id
    }
}

/// Runs a world in every order in which its steps can be taken. `make` builds it,
/// `finish` looks at how it ended. Gives how many orders there are.
pub(crate) fn in_every_order(
    make: impl Fn() -> World,
    mut finish: impl FnMut(&mut World, &[Step]),
) -> usize {
    let mut choices: Vec<usize> = Vec::new();
    let mut runs = 0;
    loop {
        let mut world = make();
        let (mut widths, mut taken) = (Vec::new(), Vec::new());
        loop {
            let steps = world.steps();
            if steps.is_empty() {
                break;
            }
            let choice = choices.get(widths.len()).copied().unwrap_or(0);
            widths.push(steps.len());
            taken.push(steps[choice]);
            world.take(steps[choice]);
        }
        finish(&mut world, &taken);
        runs += 1;
        choices.resize(widths.len(), 0);
        loop {
            match (choices.pop(), widths.pop()) {
                (Some(choice), Some(width)) if choice + 1 < width => {
                    choices.push(choice + 1);
                    break;
                }
                (Some(_), Some(_)) => {}
                _ => return runs,
            }
        }
    }
}

pub(crate) fn peer_id(name: &str) -> PeerId {
    location(name).id()
}
