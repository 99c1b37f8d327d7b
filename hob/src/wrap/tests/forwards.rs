//! Forwards: where they listen, what they tell, and that they come up again.

use std::os::unix::fs::PermissionsExt as _;

use ocapn::Value;
use ocapn::netlayers::LoopbackNetwork;
use ocapn::persist::Memory;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::kit::{Machine, Served, ask, echo, exchange, field, pair, until};
use crate::wrap::Address;

#[tokio::test]
async fn a_service_that_is_down_is_a_clean_close_and_an_error_that_can_be_read() {
    let (service, program) = pair();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let down = service.socket(&Address::Tcp(gone.to_string())).await;
    let target = program.get(&service, &down);
    let (forward, address) = program.forward("tcp:127.0.0.1:0", &target).await;
    let mut socket = address.connect().await.unwrap();
    assert_eq!(socket.read(&mut [0; 1]).await.unwrap(), 0);
    until(&forward, "status", "failed", &1.into()).await;
    let why = field(&forward, "status", "last-error").await;
    assert_eq!(why.as_str(), Some("can't connect: connection refused"));
    assert_eq!(field(&forward, "status", "state").await, Value::symbol("listening"));
}

#[tokio::test]
async fn a_capability_that_is_no_more_is_a_clean_close() {
    let (service, program) = pair();
    let served = Served::tcp(echo).await;
    let object = service.socket(&served.address).await;
    let revoked = service.node.mint(&object).unwrap();
    assert!(service.node.revoke(&revoked.swiss));
    let unreachable = service.node.mint(&object).unwrap();
    let target = program.node.enliven(&revoked).into_ref();
    let (forward, address) = program.forward("tcp:127.0.0.1:0", &target).await;
    let mut socket = address.connect().await.unwrap();
    assert_eq!(socket.read(&mut [0; 1]).await.unwrap(), 0);
    until(&forward, "status", "failed", &1.into()).await;
    service.end().await;
    let target = program.node.enliven(&unreachable).into_ref();
    let (forward, address) = program.forward("tcp:127.0.0.1:0", &target).await;
    let mut socket = address.connect().await.unwrap();
    assert_eq!(socket.read(&mut [0; 1]).await.unwrap(), 0);
    until(&forward, "status", "failed", &1.into()).await;
    assert!(field(&forward, "status", "last-error").await.as_str().is_some());
}

#[tokio::test]
async fn a_forward_comes_up_again_unless_it_was_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listen = format!("unix:{}", path.display());
    let network = LoopbackNetwork::new();
    let service = Machine::start(&network, "service", &Memory::new());
    let served = Served::tcp(echo).await;
    let offered = service.node.mint(&service.socket(&served.address).await).unwrap();
    let disk = Memory::new();
    let program = Machine::start(&network, "program", &disk);
    let target = program.node.enliven(&offered).into_ref();
    let (forward, address) = program.forward(&listen, &target).await;
    program.vat.set_root("forward", &forward).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut socket = address.connect().await.unwrap();
    assert_eq!(exchange(&mut socket, b"hello").await, b"hello");
    drop(forward);
    program.end().await;

    // As after kill -9, the socket is there and nobody listens.
    std::fs::remove_file(&path).unwrap_or_default();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let program = Machine::start(&network, "program", &disk);
    let forward = program.vat.root("forward").unwrap().unwrap();
    assert_eq!(field(&forward, "status", "state").await, Value::symbol("stopped"));
    ask(&forward, "resume", vec![]).await.unwrap();
    let mut socket = address.connect().await.unwrap();
    assert_eq!(exchange(&mut socket, b"hello").await, b"hello");
    // Twice is as good as once.
    ask(&forward, "start", vec![]).await.unwrap();
    ask(&forward, "stop", vec![]).await.unwrap();
    assert!(!matches!(socket.read(&mut [0; 1]).await, Ok(1..)), "cut");
    assert!(!path.exists());
    assert_eq!(field(&forward, "status", "state").await, Value::symbol("stopped"));
    drop(forward);
    program.end().await;

    let program = Machine::start(&network, "program", &disk);
    let forward = program.vat.root("forward").unwrap().unwrap();
    assert_eq!(ask(&forward, "resume", vec![]).await.unwrap(), Value::Undefined);
    assert!(!path.exists());
    ask(&forward, "start", vec![]).await.unwrap();
    assert!(path.exists());
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (service, program) = pair();
    let served = Served::unix(&directory.path().join("taken"), echo);
    let target = program.get(&service, &service.socket(&served.address).await);
    std::fs::write(directory.path().join("file"), "precious").unwrap();
    for (name, expected) in [("taken", "in use"), ("file", "there is a file")] {
        let path = directory.path().join(name);
        let (listen, target) = (Address::Unix(path.clone()), target.clone());
        let forward = program.spawn(move |turn, wrap| {
            Ok(turn.spawn(crate::wrap::Forward::new(wrap, "test", listen, target, 1)?))
        });
        let forward = forward.await;
        let why = ask(&forward, "start", vec![]).await.unwrap_err().to_string();
        assert!(why.contains(expected), "{why}");
        assert_eq!(field(&forward, "status", "state").await, Value::symbol("waiting"));
        ask(&forward, "stop", vec![]).await.unwrap();
    }
    let text = std::fs::read_to_string(directory.path().join("file")).unwrap();
    assert_eq!(text, "precious");
    let mut socket = served.address.connect().await.unwrap();
    assert_eq!(exchange(&mut socket, b"still there").await, b"still there");
}

#[tokio::test]
async fn further_connections_wait_to_be_accepted() {
    let (service, program) = pair();
    let served = Served::tcp(echo).await;
    let target = program.get(&service, &service.socket(&served.address).await);
    let forward = program.spawn(move |turn, wrap| {
        let listen = "tcp:127.0.0.1:0".parse().unwrap();
        Ok(turn.spawn(crate::wrap::Forward::new(wrap, "test", listen, target, 1)?))
    });
    let forward = forward.await;
    let address = ask(&forward, "start", vec![]).await.unwrap();
    let address: Address = address.as_str().unwrap().parse().unwrap();
    let mut first = address.connect().await.unwrap();
    assert_eq!(exchange(&mut first, b"one").await, b"one");
    let second = async {
        let mut second = address.connect().await.unwrap();
        exchange(&mut second, b"two").await
    };
    let mut second = std::pin::pin!(second);
    for _ in 0..20 {
        tokio::select! {
            biased;
            _ = &mut second => panic!("one at a time"),
            back = exchange(&mut first, b"one") => assert_eq!(back, b"one"),
        }
    }
    assert_eq!(field(&forward, "status", "accepted").await, 1.into());
    drop(first);
    assert_eq!(second.await, b"two");
}
