//! The protocol: what goes through, what is held back, and how connections end.

use ocapn::netlayers::LoopbackNetwork;
use ocapn::persist::Memory;
use ocapn::{Ref, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};

use super::kit::{
    Came, Machine, Served, ask, by_hand, echo, exchange, field, pair, pattern, until,
};
use crate::wrap::StreamLimits;
use crate::wrap::socket::Socket;

#[tokio::test]
async fn bytes_come_back_in_their_order_by_every_kind_of_socket() {
    let directory = tempfile::tempdir().unwrap();
    let (service, program) = pair();
    let unix = Served::unix(&directory.path().join("echo"), echo);
    let path = format!("unix:{}", directory.path().join("forward").display());
    for (served, listen) in [(Served::tcp(echo).await, "tcp:127.0.0.1:0"), (unix, path.as_str())] {
        let target = program.get(&service, &service.socket(&served.address).await);
        let (forward, address) = program.forward(listen, &target).await;
        let mut socket = address.connect().await.unwrap();
        for length in [0, 1, 100, 64 << 10, 5 << 20] {
            let bytes = pattern(length);
            assert!(exchange(&mut socket, &bytes).await == bytes, "{length}");
        }
        // All is said before anything is read, and the rest comes after our end.
        let bytes = pattern(100_000);
        socket.write_all(&bytes).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.unwrap();
        assert!(rest == bytes);
        until(&forward, "status", "open", &0.into()).await;
        assert_eq!(field(&forward, "status", "failed").await, 0.into());
        assert_eq!(field(&forward, "status", "last-error").await, Value::Undefined);
        let total: Value = (1_u64 + 100 + (64 << 10) + (5 << 20) + 100_000).into();
        assert_eq!(field(&forward, "status", "sent").await, total);
        assert_eq!(field(&forward, "status", "received").await, total);
    }
}

#[tokio::test]
async fn many_connections_do_not_mix() {
    let (service, program) = pair();
    let served = Served::tcp(echo).await;
    let object = service.socket(&served.address).await;
    let target = program.get(&service, &object);
    let (forward, address) = program.forward("tcp:127.0.0.1:0", &target).await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..150_usize {
        let address = address.clone();
        clients.spawn(async move {
            let mut socket = address.connect().await.unwrap();
            for round in 0..5 {
                let bytes = format!("{client} {round} ").repeat(1000);
                assert_eq!(exchange(&mut socket, bytes.as_bytes()).await, bytes.as_bytes());
            }
            socket
        });
    }
    let sockets = clients.join_all().await;
    assert_eq!(field(&object, "describe", "open").await, 150.into());
    drop(sockets);
    until(&object, "describe", "open", &0.into()).await;
    until(&forward, "status", "open", &0.into()).await;
    assert_eq!(field(&forward, "status", "accepted").await, 150.into());
}

/// Sends as much as is taken.
async fn flood(mut socket: Socket) {
    while socket.write_all(&[7; 32 << 10]).await.is_ok() {}
}

#[tokio::test]
async fn what_is_unanswered_stays_within_the_window() {
    let (service, program) = pair();
    let served = Served::tcp(flood).await;
    let object = service.socket(&served.address).await;
    let target = program.get(&service, &object);
    let (sink, mut came) = by_hand(&program.vat);
    let upstream = ask(&target, "connect", vec![sink.into()]).await.unwrap();
    let window = StreamLimits::default().window;
    for _ in 0..3 {
        let mut unanswered = Vec::new();
        let mut taken = 0;
        while taken < window {
            let Some(Came::Write(bytes, answer)) = came.recv().await else { panic!() };
            assert!(bytes.len() <= StreamLimits::default().chunk);
            taken += bytes.len();
            unanswered.push(answer);
        }
        assert_eq!(taken, window);
        // Anything that was sent as well would be here before these answers.
        for _ in 0..10 {
            ask(&target, "describe", vec![]).await.unwrap();
        }
        assert!(came.try_recv().is_err());
        unanswered.into_iter().for_each(|answer| answer.fulfill(()));
    }
    // Whoever does not want any more says so, or just goes.
    drop(upstream);
    drop(came);
    until(&object, "describe", "open", &0.into()).await;
}

#[tokio::test]
async fn little_is_sent_before_connect_is_answered() {
    let (service, program) = pair();
    // An object that never answers; but it takes what is sent to the promise.
    let (hold, mut held) = mpsc::unbounded_channel();
    let slow = service.vat.spawn(move |turn: &mut ocapn::Turn<'_>, args: ocapn::Args| {
        let (answer, resolver) = turn.promise();
        hold.send((args, resolver)).unwrap();
        Ok(ocapn::Reply::value(answer))
    });
    let target = program.get(&service, &slow);
    let (forward, address) = program.forward("tcp:127.0.0.1:0", &target).await;
    let mut socket = address.connect().await.unwrap();
    let bytes = pattern(100_000);
    socket.write_all(&bytes).await.unwrap();
    socket.shutdown().await.unwrap();
    let early = StreamLimits::default().early as u64;
    until(&forward, "status", "sent", &early.into()).await;
    let (_sink, connected) = held.recv().await.unwrap();
    let (sink, mut came) = by_hand(&service.vat);
    connected.fulfill(sink);
    let mut all = Vec::new();
    loop {
        match came.recv().await.unwrap() {
            Came::Write(bytes, answer) => {
                all.extend(bytes);
                answer.fulfill(());
            }
            Came::End(answer) => break answer.fulfill(()),
            Came::Abort(why) => panic!("{why}"),
        }
    }
    assert!(all == bytes);
}

/// Reads nothing, and tells how the connection ends when it is told to look.
fn deaf() -> (impl Fn(Socket) -> Deaf, mpsc::UnboundedReceiver<Socket>) {
    let (to, from) = mpsc::unbounded_channel();
    let serve = move |socket| {
        to.send(socket).unwrap();
        Box::pin(async {}) as Deaf
    };
    (serve, from)
}

type Deaf = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

#[tokio::test]
async fn a_sender_that_does_not_wait_is_cut_off() {
    for (limits, writes, size) in [
        (StreamLimits { take: 100_000, ..StreamLimits::default() }, 200, 64 << 10),
        (StreamLimits { take_writes: 50, ..StreamLimits::default() }, 1000, 0),
    ] {
        let network = LoopbackNetwork::new();
        let service = Machine::with_limits(&network, "service", &Memory::new(), limits);
        let program = Machine::start(&network, "program", &Memory::new());
        let (serve, mut sockets) = deaf();
        let served = Served::tcp(serve).await;
        let object = service.socket(&served.address).await;
        let target = program.get(&service, &object);
        let (sink, mut came) = by_hand(&program.vat);
        let upstream = ask(&target, "connect", vec![sink.into()]).await.unwrap();
        let Value::Ref(upstream) = upstream else { panic!() };
        let kept = sockets.recv().await.unwrap();
        let bytes = Value::Bytes(vec![1; size].into());
        let write = |_| upstream.send(vec![Value::symbol("write"), bytes.clone()]);
        let answers: Vec<_> = (0..writes).map(write).collect();
        let last = answers.into_iter().next_back().unwrap().await.unwrap_err();
        assert!(
            ["more was sent than may wait to be written", "the connection is over"]
                .contains(&last.to_string().as_str()),
            "{last}"
        );
        let Some(Came::Abort(why)) = came.recv().await else { panic!() };
        assert_eq!(why, "more was sent than may wait to be written");
        until(&object, "describe", "open", &0.into()).await;
        drop(kept);
    }
}

#[tokio::test]
async fn a_reset_is_not_mistaken_for_an_end() {
    let (service, program) = pair();
    let (serve, mut sockets) = deaf();
    let served = Served::tcp(serve).await;
    let target = program.get(&service, &service.socket(&served.address).await);
    let (forward, address) = program.forward("tcp:127.0.0.1:0", &target).await;
    let mut socket = address.connect().await.unwrap();
    let theirs = sockets.recv().await.unwrap();
    theirs.abort();
    drop(theirs);
    let error = socket.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    until(&forward, "status", "failed", &1.into()).await;
    let why = field(&forward, "status", "last-error").await;
    assert_eq!(
        why.as_str(),
        Some("the other side broke it off: the socket failed: connection reset")
    );
}

#[tokio::test]
async fn a_program_that_ends_is_seen_at_the_service() {
    let (service, program) = pair();
    let (serve, mut sockets) = deaf();
    let served = Served::tcp(serve).await;
    let object = service.socket(&served.address).await;
    let target = program.get(&service, &object);
    let (_forward, address) = program.forward("tcp:127.0.0.1:0", &target).await;
    let socket = address.connect().await.unwrap();
    let mut theirs = sockets.recv().await.unwrap();
    socket.abort();
    drop(socket);
    assert!(theirs.read(&mut [0; 10]).await.is_err(), "a reset, as it was");
    until(&object, "describe", "open", &0.into()).await;
}

/// The session ends at either end while nothing moves, and while much does.
#[tokio::test]
async fn a_session_that_is_cut_closes_the_sockets_at_both_ends() {
    for cut_service in [true, false] {
        for busy in [true, false] {
            let (service, program) = pair();
            let (ended, end) = oneshot::channel();
            let ended = std::sync::Mutex::new(Some(ended));
            let served = Served::tcp(move |mut socket: Socket| {
                let ended = ended.lock().unwrap().take();
                async move {
                    if busy {
                        while socket.write_all(&vec![1; 1 << 16]).await.is_ok() {}
                    } else {
                        while !matches!(socket.read(&mut [0; 10]).await, Ok(0) | Err(_)) {}
                    }
                    ended.unwrap().send(()).unwrap();
                }
            });
            let served = served.await;
            let target = program.get(&service, &service.socket(&served.address).await);
            let (_forward, address) = program.forward("tcp:127.0.0.1:0", &target).await;
            let mut socket = address.connect().await.unwrap();
            socket.write_all(b"x").await.unwrap();
            if busy {
                socket.read_exact(&mut vec![0; 1 << 20]).await.unwrap();
            } else {
                until(&_forward, "status", "sent", &1.into()).await;
            }
            if cut_service { &service } else { &program }.node.shutdown().await;
            let mut rest = Vec::new();
            // An end or a reset, as it comes.
            let _how = socket.read_to_end(&mut rest).await;
            end.await.unwrap();
        }
    }
}

#[tokio::test]
async fn no_more_connections_are_made_than_there_may_be() {
    let (service, program) = pair();
    let served = Served::tcp(echo).await;
    let object = service.sockets(&served.address, 2).await;
    let target = program.get(&service, &object);
    let (forward, address) = program.forward("tcp:127.0.0.1:0", &target).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut socket = address.connect().await.unwrap();
        assert_eq!(exchange(&mut socket, b"hello").await, b"hello");
        open.push(socket);
    }
    let mut third = address.connect().await.unwrap();
    assert_eq!(third.read(&mut [0; 10]).await.unwrap(), 0);
    until(&forward, "status", "failed", &1.into()).await;
    let why = field(&forward, "status", "last-error").await;
    assert_eq!(why.as_str(), Some("2 connections are open already"));
    drop(open.pop());
    until(&object, "describe", "open", &1.into()).await;
    let mut fourth = address.connect().await.unwrap();
    assert_eq!(exchange(&mut fourth, b"hello").await, b"hello");
}

async fn granted(object: &Ref, id: &str) -> Ref {
    let granted = ask(object, "grant", vec![id.into(), Value::List(vec![])]).await;
    let Value::Ref(granted) = granted.unwrap() else { panic!() };
    granted
}

#[tokio::test]
async fn ungranting_cuts_what_the_grant_gave_and_nothing_else() {
    let (service, program) = pair();
    let served = Served::tcp(echo).await;
    let object = service.socket(&served.address).await;
    let (a, b) = (granted(&object, "a").await, granted(&object, "b").await);
    let (a, b) = (program.get(&service, &a), program.get(&service, &b));
    let (forward, to_a) = program.forward("tcp:127.0.0.1:0", &a).await;
    let (_forward, to_b) = program.forward("tcp:127.0.0.1:0", &b).await;
    let (mut by_a, mut by_b) = (to_a.connect().await.unwrap(), to_b.connect().await.unwrap());
    assert_eq!(exchange(&mut by_a, b"hello").await, b"hello");
    assert_eq!(exchange(&mut by_b, b"hello").await, b"hello");
    for _ in 0..2 {
        ask(&object, "ungrant", vec!["a".into()]).await.unwrap();
    }
    assert!(by_a.read(&mut [0; 1]).await.is_err(), "cut");
    until(&forward, "status", "failed", &1.into()).await;
    let mut again = to_a.connect().await.unwrap();
    assert_eq!(again.read(&mut [0; 1]).await.unwrap(), 0, "turned away");
    until(&forward, "status", "failed", &2.into()).await;
    let why = field(&forward, "status", "last-error").await;
    assert_eq!(why.as_str(), Some("this has been revoked"));
    assert_eq!(exchange(&mut by_b, b"hello").await, b"hello");
    let rules = Value::List(vec![Value::symbol("read-only")]);
    let refused = ask(&object, "grant", vec!["c".into(), rules]).await.unwrap_err();
    assert_eq!(refused.to_string(), "socket grant: a socket keeps no rules");
}

#[tokio::test]
async fn a_sink_says_what_it_does_not_understand() {
    let (service, program) = pair();
    let served = Served::tcp(echo).await;
    let target = program.get(&service, &service.socket(&served.address).await);
    let (sink, _came) = by_hand(&program.vat);
    let Value::Ref(far) = ask(&target, "connect", vec![sink.into()]).await.unwrap() else {
        panic!()
    };
    for (method, args, why) in [
        ("write", vec!["text".into()], "sink write: bytes are bytes, and nothing else"),
        ("write", vec![], "sink write: bytes is missing"),
        ("read", vec![], "a sink has no method read; it has write bytes, end, abort [reason]"),
    ] {
        assert_eq!(ask(&far, method, args).await.unwrap_err().to_string(), why);
    }
    ask(&far, "end", vec![]).await.unwrap();
    for method in ["write", "end"] {
        let args = if method == "write" { vec![Value::Bytes(vec![1].into())] } else { vec![] };
        let why = ask(&far, method, args).await.unwrap_err().to_string();
        assert_eq!(why, format!("sink {method}: the end has been sent already"));
    }
}
