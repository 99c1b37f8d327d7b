//! Frames as they are on the wire, spoken by hand.

use std::io::ErrorKind;
use std::time::Duration;

use netlayers::{Channel, Framing, Netlayer as _, TcpOptions, TcpTestingOnly};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

async fn framed(max_message: usize) -> TcpTestingOnly {
    let mut options = TcpOptions::default();
    options.settings.framing = Framing::LengthPrefixed;
    options.settings.max_message = max_message;
    let layer = TcpTestingOnly::bind("127.0.0.1:0", options).await.unwrap();
    assert_eq!(layer.guarantees().framing, Framing::LengthPrefixed);
    layer
}

/// The channel of a peer that dials us, or that we dial, and its end of the connection.
async fn with_a_peer(max_message: usize, dialled: bool) -> (Channel, TcpStream) {
    let layer = framed(max_message).await;
    let to = layer.location();
    if dialled {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let to = to.with_hint("port", port.to_string());
        let (channel, peer) = tokio::join!(layer.connect(&to), listener.accept());
        return (channel.unwrap(), peer.unwrap().0);
    }
    let address = format!("{}:{}", to.hints["host"], to.hints["port"]);
    let peer = TcpStream::connect(address).await.unwrap();
    (layer.accept().await.unwrap(), peer)
}

#[tokio::test]
async fn each_value_has_its_length_before_it() {
    for dialled in [false, true] {
        let (mut channel, mut peer) = with_a_peer(1000, dialled).await;
        channel.io.write_all(b"<2'ab[1+2+]>7+").await.unwrap();
        channel.io.flush().await.unwrap();
        let mut heard = [0; 19];
        peer.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"12:<2'ab[1+2+]>2:7+");
        peer.write_all(b"12:<2'ab[1+2+]>2:7+").await.unwrap();
        peer.shutdown().await.unwrap();
        let mut heard = Vec::new();
        channel.io.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"<2'ab[1+2+]>7+");
        drop(channel);
        assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn raw_syrup_and_long_frames_are_refused() {
    for bytes in [b"<2'ab[1+2+]>".as_slice(), b"1001:", b"2:7+,2:7+"] {
        let (mut channel, mut peer) = with_a_peer(1000, false).await;
        peer.write_all(bytes).await.unwrap();
        let mut heard = Vec::new();
        let refused = channel.io.read_to_end(&mut heard).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidData);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_amid_a_frame_is_no_end() {
    for reset in [false, true] {
        let (mut channel, mut peer) = with_a_peer(1000, false).await;
        peer.write_all(b"2:7+12:<2'ab").await.unwrap();
        let mut heard = [0; 7];
        channel.io.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"7+<2'ab");
        if reset {
            socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(peer);
        let error = channel.io.read(&mut heard).await.unwrap_err();
        let expected = if reset { ErrorKind::ConnectionReset } else { ErrorKind::UnexpectedEof };
        assert_eq!(error.kind(), expected);
    }
}
