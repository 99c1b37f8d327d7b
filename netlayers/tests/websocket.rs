//! What only `websocket` does: its frames, its limit and the file that keeps its key.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use netlayers::{
    Authentication, Channel, ConnectError, Netlayer, Websocket, WebsocketIdentity, WebsocketOptions,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

const REQUEST: &[u8] = include_bytes!("vectors/init-peer-auth-request.syrup");
const ANSWER: &[u8] = include_bytes!("vectors/init-peer-auth-answer.syrup");

async fn listen(options: WebsocketOptions) -> Websocket {
    let identity = WebsocketIdentity::generate().unwrap();
    Websocket::bind("127.0.0.1:0", identity, options).await.unwrap()
}

/// A client that does the HTTP upgrade and no more.
async fn upgraded(to: &Websocket) -> WebSocketStream<TcpStream> {
    let url = to.location().hints["url"].clone();
    let stream = TcpStream::connect(url.strip_prefix("ws://").unwrap()).await.unwrap();
    client_async(url, stream).await.unwrap().0
}

async fn authenticated(to: &Websocket) -> (WebSocketStream<TcpStream>, Channel) {
    let mut socket = upgraded(to).await;
    socket.send(Message::binary(REQUEST)).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().len(), ANSWER.len());
    (socket, to.accept().await.unwrap())
}

#[tokio::test]
async fn each_value_is_a_message() {
    let layer = listen(WebsocketOptions::default()).await;
    assert!(!layer.guarantees().confidential);
    assert_eq!(layer.guarantees().authentication, Authentication::Dialled);
    let (mut socket, mut channel) = authenticated(&layer).await;
    assert_eq!(channel.proven, None);
    let values: [&[u8]; 4] = [b"<2'ab[1+2+]>", b"7+", b"3:\0\0\0", b"{1'a[]}"];
    let all = values.concat();
    for cut in 1..all.len() {
        for piece in all.chunks(cut) {
            // One write for each piece, wherever values end.
            channel.io.write_all(piece).await.unwrap();
        }
        channel.io.flush().await.unwrap();
        for value in values {
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::binary(value), "{cut}");
        }
    }
    for value in values {
        socket.send(Message::binary(value)).await.unwrap();
    }
    socket.close(None).await.unwrap();
    let mut heard = Vec::new();
    channel.io.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, all);
}

#[tokio::test]
async fn messages_have_a_limit() {
    let mut options = WebsocketOptions::default();
    options.tcp.settings.max_message = 1000;
    let layer = listen(options).await;
    let value = |content: usize| [format!("{content}:").as_bytes(), &vec![0; content]].concat();

    let (mut socket, mut channel) = authenticated(&layer).await;
    channel.io.write_all(&value(996)).await.unwrap();
    channel.io.flush().await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().len(), 1000);
    let (head, rest) = (value(997), value(997).split_off(700));
    let refused = channel.io.write_all(&head).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);

    let (_socket, mut channel) = authenticated(&layer).await;
    channel.io.write_all(&head[..700]).await.unwrap();
    let refused = channel.io.write_all(&rest).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);

    for (size, good) in [(1000, true), (1001, false)] {
        let (mut socket, mut channel) = authenticated(&layer).await;
        socket.send(Message::binary(vec![1; size])).await.unwrap();
        let mut heard = vec![0; size];
        assert_eq!(channel.io.read_exact(&mut heard).await.is_ok(), good);
    }
}

#[tokio::test]
async fn text_is_refused() {
    let layer = listen(WebsocketOptions::default()).await;
    let (mut socket, mut channel) = authenticated(&layer).await;
    socket.send(Message::text("7+")).await.unwrap();
    let refused = channel.io.read_u8().await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn nothing_but_a_request_is_signed() {
    let layer = listen(WebsocketOptions::default()).await;
    let mut longer = REQUEST.to_vec();
    longer.push(b'0');
    for bad in [Message::binary(longer), Message::binary("7+"), Message::text("7+")] {
        let mut socket = upgraded(&layer).await;
        socket.send(bad).await.unwrap();
        let answer = socket.next().await;
        assert!(!matches!(answer, Some(Ok(Message::Binary(_)))), "{answer:?}");
    }
}

#[tokio::test]
async fn a_nonsensical_answer_fails_the_handshake() {
    let layer = listen(WebsocketOptions::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let to = layer.location().with_hint("url", url);
    let serve = async {
        let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        let request = socket.next().await.unwrap().unwrap();
        socket.send(request).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(layer.connect(&to), serve);
    assert!(matches!(outcome, Err(ConnectError::Handshake { .. })), "{outcome:?}");
}

#[tokio::test]
async fn silence_has_a_deadline() {
    let mut options = WebsocketOptions::default();
    options.tcp.settings.handshake_timeout = Duration::from_millis(20);
    let layer = listen(options).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let to = layer.location().with_hint("url", url);
    let outcome = layer.connect(&to).await;
    assert!(matches!(outcome, Err(ConnectError::Unreachable { .. })), "{outcome:?}");
    let url = layer.location().hints["url"].clone();
    let mut silent = TcpStream::connect(url.strip_prefix("ws://").unwrap()).await.unwrap();
    assert!(matches!(silent.read(&mut [0; 8]).await, Ok(0) | Err(_)));
}

#[test]
fn the_key_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let made = WebsocketIdentity::load_or_create(directory.path()).unwrap();
    let path = directory.path().join("websocket-key");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    let again = WebsocketIdentity::load_or_create(directory.path()).unwrap();
    assert_eq!(made.designator(), again.designator());
    let key = std::fs::read_to_string(&path).unwrap();
    assert!(!format!("{made:?}").contains(key.trim()));
    for bad in ["", "\n", key.trim(), &key.to_uppercase(), &format!("{key}\n")] {
        std::fs::write(&path, bad).unwrap();
        assert!(WebsocketIdentity::load_or_create(directory.path()).is_err(), "{bad:?}");
    }
}
