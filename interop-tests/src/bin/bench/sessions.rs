//! How long it takes to have something to call: a new session, an object of a session
//! that is there, and an object that a third party gave.

use std::path::Path;
use std::time::Instant;

use ocapn::locator::PeerLocator;
use ocapn::netlayers::{Identity, Netlayer, TcpOptions, TcpTls};
use ocapn::{Node, Ref, Sturdyref, Value};

use crate::calls::{Server, message, netlayer, ping_pong, traffic};
use crate::table::{Table, Unit};
use crate::{Stack, Transport};

/// Sessions that are opened in a repetition, and handshakes for their floor.
const SESSIONS: usize = 50;

/// Enlivens and handoffs in a repetition.
const LOOKUPS: usize = 500;

/// What a handoff takes at least, once receiver and exporter have a session, as seen by
/// the gifter: the gift travels to the receiver; its request for the gift, with the call
/// of it behind, to the exporter; the answer to the receiver; and from there to the
/// gifter. Four journeys, one after the other. (The gifter's deposit travels beside the
/// first.) Without that session, what the first row says comes on top.
const HANDOFF_ROUND_TRIPS: f64 = 2.0;

/// What the raw side's messages are long, about as the messages of these rows.
const PING: usize = 300;

/// Measures the rows, all over `tcp-tls`.
pub(crate) async fn measure(table: &mut Table, core: usize) {
    let here = Path::new(".");
    let raw = Server::start(Transport::TcpTls, Stack::Raw, here, core).await;
    let exporter = Server::start(Transport::TcpTls, Stack::Node, here, core).await;
    let receiver = Server::start(Transport::TcpTls, Stack::Caller, here, core).await;
    let raw = raw_locator(&raw);
    let echo_at: Sturdyref = exporter.address.parse().expect("a sturdyref");
    let caller_at: Sturdyref = receiver.address.parse().expect("a sturdyref");
    let dialler = netlayer(Transport::TcpTls, here, "").await;
    let node = Node::builder().netlayer_boxed(netlayer(Transport::TcpTls, here, "").await).start();
    let echo = node.resolve(&echo_at).await.expect("the object");
    let caller = node.resolve(&caller_at).await.expect("the object");
    // The receiver's session with the exporter is there from here on.
    handoff(&caller, &echo).await;
    for _ in 0..table.reps() {
        let handshake = handshakes(&*dialler, &raw).await;
        let (session, bytes) = sessions(&echo_at).await;
        let row = "session to first answer / TLS handshake, tcp-tls";
        table.add(row, Unit::Microseconds, bytes, session, handshake);

        let round_trip = 1e6 / ping_pong(&*dialler, &raw, PING, 4 * LOOKUPS).await;
        let start = Instant::now();
        for _ in 0..LOOKUPS {
            node.resolve(&echo_at).await.expect("the object");
        }
        let row = "enliven, session there / 1 round trip, tcp-tls";
        table.add(row, Unit::Microseconds, PING, each(start, LOOKUPS), round_trip);

        let start = Instant::now();
        for _ in 0..LOOKUPS {
            handoff(&caller, &echo).await;
        }
        let floor = HANDOFF_ROUND_TRIPS * round_trip;
        let row = "handoff to first answer / 2 round trips, tcp-tls";
        table.add(row, Unit::Microseconds, PING, each(start, LOOKUPS), floor);
    }
    assert_eq!(standing_in(&node), 0, "all went direct");
    node.shutdown().await;
}

fn raw_locator(raw: &Server) -> PeerLocator {
    use ocapn::locator::Locator;
    match raw.address.parse().expect("a locator") {
        Locator::Peer(peer) => peer,
        Locator::Sturdyref(sturdyref) => sturdyref.peer,
    }
}

fn standing_in(node: &Node) -> usize {
    node.sessions().iter().map(|session| session.standing_in).sum()
}

/// Gives the receiver the exporter's object, which it calls: until the answer is here.
async fn handoff(caller: &Ref, echo: &Ref) {
    let mut args = vec![Value::Ref(echo.clone())];
    args.extend(message());
    caller.send(args).await.expect("an answer");
}

/// Microseconds for each.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn each(since: Instant, done: usize) -> f64 {
    since.elapsed().as_secs_f64() * 1e6 / done as f64
}

/// A connection, the certificate in clear and the mutual TLS 1.3 handshake, until the
/// dialling side is done with it: the floor of a session.
async fn handshakes(dialler: &dyn Netlayer, peer: &PeerLocator) -> f64 {
    let start = Instant::now();
    for _ in 0..SESSIONS {
        dialler.connect(peer).await.expect("a channel");
    }
    each(start, SESSIONS)
}

/// From nothing to the answer of the first call: connection, handshake, both
/// `op:start-session`, and `fetch` with the call behind it. Gives the bytes, too. Making
/// the nodes that dial is not counted.
async fn sessions(echo: &Sturdyref) -> (f64, usize) {
    let mut nodes = Vec::new();
    for _ in 0..SESSIONS {
        let identity = Identity::generate().expect("an identity");
        let bound = TcpTls::bind("127.0.0.1:0", identity, TcpOptions::default()).await;
        nodes.push(Node::builder().netlayer(bound.expect("a port")).start());
    }
    let start = Instant::now();
    for node in &nodes {
        node.enliven(echo).send(message()).await.expect("an answer");
    }
    let took = each(start, SESSIONS);
    let bytes = nodes.first().map_or(0, traffic);
    for node in nodes {
        node.shutdown().await;
    }
    (took, usize::try_from(bytes).expect("a small number"))
}
