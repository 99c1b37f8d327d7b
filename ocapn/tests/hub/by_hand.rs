//! A peer by hand at the other end of a hub's session, which may say what it likes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::BytesMut;
use captp::{Established, Event, ImportPos, RemotePos, Session, SessionConfig, SessionKey};
use ocapn::PeerLocator;
use ocapn::hub::Link;

use crate::world::{TRANSPORT, World};

pub(crate) use crate::bare::{Bare, Said, Thing};

pub(crate) struct ByHand {
    pub(crate) session: Session<Bare>,
    pub(crate) established: Established,
    pub(crate) link: Arc<Link>,
    input: BytesMut,
    asked: usize,
    outcomes: BTreeMap<usize, Result<Said, Said>>,
}

impl ByHand {
    /// Connects to a hub by a name, proven or not.
    pub(crate) fn connect(
        world: &mut World,
        to: usize,
        name: &str,
        proven: bool,
        seed: u8,
    ) -> Self {
        let link = world.intrude(to, proven.then_some(name));
        let key = SessionKey::from_entropy([seed; 32]);
        let mut config = SessionConfig::new(PeerLocator::new(TRANSPORT, name), key);
        config.dialect = captp::Dialect::ONE;
        let mut session = Session::new(config);
        let mut input = BytesMut::new();
        exchange(&mut session, &link, &mut input, world);
        let Some(Event::Started(established)) = session.poll_event() else { panic!("a start") };
        Self {
            session,
            established: *established,
            link,
            input,
            asked: 0,
            outcomes: BTreeMap::new(),
        }
    }

    /// Says something to something, and gives what comes of it.
    pub(crate) fn ask(
        &mut self,
        world: &mut World,
        to: ImportPos,
        args: &[Said],
    ) -> Option<Result<Said, Said>> {
        let asked = self.say(to, args);
        self.outcome(world, asked)
    }

    /// Says something, which does not arrive yet.
    pub(crate) fn say(&mut self, to: ImportPos, args: &[Said]) -> usize {
        self.asked += 1;
        let sent = self.session.deliver(&mut Bare, RemotePos::Import(to), args, Some(self.asked));
        assert!(sent.is_ok());
        self.asked
    }

    /// What came of it, once everything has arrived.
    pub(crate) fn outcome(
        &mut self,
        world: &mut World,
        asked: usize,
    ) -> Option<Result<Said, Said>> {
        exchange(&mut self.session, &self.link, &mut self.input, world);
        while let Some(event) = self.session.poll_event() {
            if let Event::Settled { resolver, outcome } = event {
                self.outcomes.insert(resolver, outcome);
            }
        }
        self.outcomes.remove(&asked)
    }

    pub(crate) fn fetch(&mut self, world: &mut World, swiss: &[u8]) -> Thing {
        let args = [Said::symbol("fetch"), bytes(swiss)];
        match self.ask(world, BOOTSTRAP, &args) {
            Some(Ok(Said::Ref(thing))) => thing,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) const BOOTSTRAP: ImportPos = ImportPos(0);

pub(crate) fn bytes(bytes: &[u8]) -> Said {
    Said::Bytes(bytes::Bytes::copy_from_slice(bytes))
}

/// Moves bytes both ways until there are none.
fn exchange(
    session: &mut Session<Bare>,
    link: &Arc<Link>,
    input: &mut BytesMut,
    world: &mut World,
) {
    loop {
        let (mut there, mut here) = (VecDeque::new(), VecDeque::new());
        session.poll_transmit(true, &mut there);
        link.transmit(true, &mut here);
        if there.is_empty() && here.is_empty() {
            return;
        }
        input.extend(here.iter().flatten());
        session.receive(&mut Bare, input);
        let mut said: BytesMut = there.iter().flatten().copied().collect();
        if !said.is_empty() {
            link.receive(&mut said);
        }
        world.run();
    }
}
