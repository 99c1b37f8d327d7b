//! Two sessions face to face, without a socket and without objects.

use std::collections::VecDeque;
use std::hint::black_box;

use bytes::BytesMut;
use captp::locator::PeerLocator;
use captp::{Event, ImportPos, Passable, RemotePos, Session, SessionConfig, SessionKey};

use super::HotPath;
use super::bare::{Bare, Thing};

/// How many messages a burst has.
const BURST: usize = 100;

/// A session that speaks and one that is spoken to, greeted.
pub struct Sessions {
    speaker: Session<Bare>,
    hearer: Session<Bare>,
    runtimes: [Bare; 2],
    events: VecDeque<Event<Bare>>,
    out: VecDeque<bytes::Bytes>,
    /// An object of the hearer's.
    to: RemotePos,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::new()
    }
}

impl Sessions {
    /// Two sessions, of which the one has an object of the other.
    ///
    /// # Panics
    ///
    /// If the sessions do not understand each other.
    #[must_use]
    pub fn new() -> Self {
        let mut sessions = Self {
            speaker: Session::new(config("speaker", 1)),
            hearer: Session::new(config("hearer", 2)),
            runtimes: Default::default(),
            events: VecDeque::new(),
            out: VecDeque::new(),
            to: RemotePos::Import(ImportPos(0)),
        };
        sessions.exchange();
        let object = [Passable::Ref(Thing::Local(1))];
        let bootstrap = RemotePos::Import(ImportPos(0));
        let [_, runtime] = &mut sessions.runtimes;
        let sent = sessions.hearer.deliver(runtime, bootstrap, &object, None);
        assert!(sent.is_ok(), "there is a session");
        sessions.exchange();
        sessions.to = RemotePos::Import(ImportPos(1));
        sessions
    }

    /// Carries bytes both ways until there are none.
    fn exchange(&mut self) {
        loop {
            let [speaks, hears] = &mut self.runtimes;
            let there = carry(&mut self.speaker, &mut self.hearer, hears);
            let back = carry(&mut self.hearer, &mut self.speaker, speaks);
            if !(there || back) {
                break;
            }
        }
        self.speaker.take_events(&mut self.events);
        self.hearer.take_events(&mut self.events);
        self.events.clear();
    }

    /// Says one message, and gives the bytes to be sent.
    ///
    /// # Panics
    ///
    /// If the session has ended.
    pub fn say(&mut self) -> &mut VecDeque<bytes::Bytes> {
        let args = [
            Passable::symbol("deposit"),
            Passable::from("hello, world"),
            Passable::Int(1),
            Passable::Int(42),
            Passable::Int(1_000_000),
        ];
        let [runtime, _] = &mut self.runtimes;
        let sent = self.speaker.deliver(runtime, self.to, &args, None);
        assert!(sent.is_ok(), "there is a session");
        self.out.clear();
        self.speaker.poll_transmit(false, &mut self.out);
        &mut self.out
    }

    /// Takes messages in, and gives how many came of it.
    pub fn take_in(&mut self, input: &mut BytesMut) -> usize {
        let [_, runtime] = &mut self.runtimes;
        self.hearer.receive(runtime, input);
        self.hearer.take_events(&mut self.events);
        let taken = black_box(&self.events).len();
        self.events.clear();
        taken
    }
}

fn carry(from: &mut Session<Bare>, to: &mut Session<Bare>, runtime: &mut Bare) -> bool {
    let mut out = VecDeque::new();
    from.poll_transmit(true, &mut out);
    let mut input: BytesMut = out.into_iter().flatten().collect();
    to.receive(runtime, &mut input);
    !input.is_empty() || to.has_output()
}

fn config(designator: &str, seed: u8) -> SessionConfig {
    let location = PeerLocator::new("loopback", designator);
    let mut config = SessionConfig::new(location, SessionKey::from_entropy([seed; 32]));
    config.dialect = captp::Dialect::ONE;
    config
}

pub(super) fn say() -> HotPath {
    let mut sessions = Sessions::new();
    HotPath::new("say op:deliver", 1, move || {
        black_box(sessions.say());
    })
}

pub(super) fn take_in() -> HotPath {
    let mut sessions = Sessions::new();
    let mut burst = BytesMut::new();
    for _ in 0..BURST {
        sessions.say().iter().for_each(|bytes| burst.extend_from_slice(bytes));
    }
    let burst = burst.freeze();
    HotPath::new("take in a burst of op:deliver", BURST as u64, move || {
        let taken = sessions.take_in(&mut BytesMut::from(&*burst));
        assert_eq!(taken, BURST, "every message arrives");
    })
}
