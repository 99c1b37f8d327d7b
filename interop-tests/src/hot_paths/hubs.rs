//! Two whole nodes but for their event loops: hubs whose bytes are carried by hand.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ocapn::hub::{Hub, HubSettings, Link, Outside};
use ocapn::{Args, Fault, PeerLocator, Promise, Ref, Reply, Sturdyref, SwissNum, Turn, Value, Vat};
use vat_runtime::Manual;

use super::HotPath;

const TRANSPORT: &str = "mem";
/// How many calls are under way at a time, in the path that says so.
const WINDOW: usize = 64;

/// The world around one hub: time stands still.
struct Place {
    name: &'static str,
    keys: Mutex<u8>,
}

impl Outside for Place {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn entropy(&self) -> [u8; 32] {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        *keys = keys.wrapping_add(1);
        let mut bytes = [*keys; 32];
        for (byte, of_name) in bytes.iter_mut().zip(self.name.bytes()) {
            *byte ^= of_name;
        }
        bytes
    }

    fn location(&self, transport: &str) -> Option<PeerLocator> {
        (transport == TRANSPORT).then(|| PeerLocator::new(TRANSPORT, self.name))
    }

    fn trusts_claims(&self, _transport: &str) -> bool {
        false
    }

    fn connect(&self, _peer: PeerLocator) {}

    fn wake_at(&self, _deadline: Option<Duration>) {}
}

/// A client and a server, with a session.
pub struct Hubs {
    hand: Arc<Manual>,
    ends: [End; 2],
    /// An echo at the server.
    echo: Ref,
    /// An object of the client's, to be passed.
    ours: Ref,
    _alive: ([Arc<Hub>; 2], [Vat; 2]),
}

struct End {
    link: Arc<Link>,
    input: BytesMut,
    out: VecDeque<Bytes>,
}

fn echo(_turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
    Ok(args.pop().unwrap_or_default().into())
}

/// Forgets what it is given.
fn forget(_turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
    Ok(Reply::value(()))
}

impl Hubs {
    /// Two hubs with a session, and an object of the one at the other.
    ///
    /// # Panics
    ///
    /// If they do not come together.
    #[must_use]
    pub fn new() -> Self {
        Self::serving(echo)
    }

    fn serving(object: fn(&mut Turn<'_>, Args) -> Result<Reply, Fault>) -> Self {
        let hub = |name| Hub::new(Place { name, keys: Mutex::default() }, HubSettings::default());
        let [client, server] = [hub("client"), hub("server")];
        let hand = Manual::new();
        let vats = ["client", "server"].map(|name| Vat::new(name, hand.clone()));
        let swiss = SwissNum::from_entropy([7; 32]);
        server.register(&swiss, vats[1].spawn(object));
        let at = PeerLocator::new(TRANSPORT, "server");
        let promise = client.enliven(&Sturdyref::new(at.clone(), swiss));
        let dialled = client.connected(&at, Some("server".to_owned()));
        let accepted = server.accepted(TRANSPORT, Some("client".to_owned()));
        let end = |link: Option<Arc<Link>>| End {
            link: link.expect("a link"),
            input: BytesMut::new(),
            out: VecDeque::new(),
        };
        let mut hubs = Self {
            ends: [end(dialled), end(accepted)],
            echo: promise.clone().into_ref(),
            ours: vats[0].spawn(echo),
            hand,
            _alive: ([client, server], vats),
        };
        hubs.exchange();
        let Some(Ok(Value::Ref(echo))) = promise.outcome() else { panic!("the object is there") };
        hubs.echo = echo;
        hubs
    }

    /// Carries bytes and runs vats until there is nothing left to do.
    pub fn exchange(&mut self) {
        loop {
            self.hand.run_until_idle();
            let [one, other] = &mut self.ends;
            let there = carry(one, other);
            self.hand.run_until_idle();
            let [one, other] = &mut self.ends;
            let back = carry(other, one);
            if !(there || back) {
                return;
            }
        }
    }

    /// Says something to the server's object.
    pub fn send(&self, args: Args) -> Promise {
        self.echo.send(args)
    }
}

impl Default for Hubs {
    fn default() -> Self {
        Self::new()
    }
}

/// Carries what one end has to send, references let go included. Whether there was any.
fn carry(from: &mut End, to: &mut End) -> bool {
    from.link.transmit(true, &mut from.out);
    if from.out.is_empty() {
        return false;
    }
    from.out.drain(..).for_each(|bytes| to.input.extend_from_slice(&bytes));
    to.link.receive(&mut to.input);
    true
}

fn message() -> Args {
    vec![
        Value::symbol("echo"),
        Value::from("sixty bytes of text to go there and to come back again, so"),
    ]
}

pub(super) fn call() -> HotPath {
    let mut hubs = Hubs::new();
    HotPath::new("call between nodes", 1, move || {
        let answer = hubs.send(message());
        hubs.exchange();
        assert!(matches!(black_box(answer.outcome()), Some(Ok(_))), "an answer");
    })
}

pub(super) fn window() -> HotPath {
    let mut hubs = Hubs::new();
    HotPath::new("call between nodes, 64 in flight", WINDOW as u64, move || {
        let answers: Vec<Promise> = (0..WINDOW).map(|_| hubs.send(message())).collect();
        hubs.exchange();
        assert!(answers.iter().all(|answer| matches!(answer.outcome(), Some(Ok(_)))), "answers");
    })
}

pub(super) fn pass() -> HotPath {
    let mut hubs = Hubs::serving(forget);
    HotPath::new("reference passed and dropped", 1, move || {
        let answer = hubs.send(vec![Value::Ref(hubs.ours.clone())]);
        hubs.exchange();
        assert!(matches!(black_box(answer.outcome()), Some(Ok(_))), "an answer");
    })
}
