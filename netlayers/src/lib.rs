//! Netlayers: from an OCapN locator to an ordered, reliable, two-way byte channel.
//!
//! A [`Netlayer`] listens under a locator of its own, dials the locators of others, and
//! says what it [guarantees](Guarantees). Which peer is at the other end is said by each
//! [`Channel`]: `proven` is a designator that the netlayer has verified, or `None`.
//! Nothing that the other end claims inside the channel is known here.
//!
//! | transport | confidential | proves the dialled end | proves the dialling end | bytes |
//! |---|---|---|---|---|
//! | [`loopback`] | same process | yes | yes | raw Syrup |
//! | [`tcp-testing-only`](TcpTestingOnly) | **no** | **no**: claims are taken at face value | **no** | raw Syrup, or framed |
//! | [`tcp-tls`](TcpTls) | TLS 1.2, 1.3 | yes: certificate hash is the designator | if it shows a certificate; ours do, Goblins' do when asked | raw Syrup, or framed |
//! | [`unix`](Unix) | same kernel | yes: path, and the user who listens there | no, but its user is known | raw Syrup, or framed |
//! | [`unix-domain-socket`](unix_domain_socket) | same kernel | yes, by the word of the introduction server | yes, likewise | raw Syrup, or framed |
//! | [`websocket`], `ws://` | **no** | yes, with a signature; **not** against who can change what is sent | no | raw Syrup, one value in a frame |
//! | [`websocket`], `wss://` | TLS 1.3 | yes: its certificate is of the designator's key, or of one whom we [trust](WebsocketTrust) | if it shows a certificate of its key; ours do | raw Syrup, one value in a frame |
//!
//! Every netlayer here answers to the same contract, `tests/contract.rs`:
//!
//! - `connect` and `accept` may be called from many tasks at once and may be dropped at
//!   any point; a connection that has been accepted is not lost by that.
//! - A client that says nothing, or nonsense, delays nobody: handshakes run beside each
//!   other, each with a deadline, and when there are too many the oldest gives way.
//! - Running out of file descriptors pauses accepting and does not end it.
//! - Both ends may half-close and go on reading, but for `websocket`, where the end that
//!   hears of it can't go on writing.
//! - `shutdown` frees the address before it returns; dropping a netlayer frees it soon
//!   after.
//!
//! ```
//! use netlayers::{Netlayer, TcpOptions, TcpTestingOnly};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ada = TcpTestingOnly::bind("127.0.0.1:0", TcpOptions::default()).await?;
//! let ben = TcpTestingOnly::bind("127.0.0.1:0", TcpOptions::default()).await?;
//!
//! let mut dialled = ben.connect(&ada.location()).await?;
//! let mut accepted = ada.accept().await?;
//! dialled.io.write_all(b"hello").await?;
//! dialled.io.shutdown().await?;
//! let mut heard = String::new();
//! accepted.io.read_to_string(&mut heard).await?;
//! assert_eq!(heard, "hello");
//! assert_eq!(accepted.proven, None); // this transport proves nothing
//! # Ok(())
//! # }
//! ```

mod acceptor;
mod error;
mod framing;
mod key_file;
mod listen;
pub mod loopback;
mod netlayer;
mod settings;
mod signing_key;
mod tcp;
mod tcp_testing_only;
pub mod tcp_tls;
pub mod unix;
pub mod unix_domain_socket;
mod values;
pub mod websocket;

pub use error::{AcceptError, BadLocator, BindError, ConnectError, UnreachableCause};
pub use listen::{
    Identities, ListenAddress, ListenError, ListenSpec, ListenTls, ListenTrust, PublicAddress,
};
pub use loopback::{Loopback, LoopbackNetwork};
pub use netlayer::{
    Authentication, BoxFuture, ByteStream, Channel, Credentials, Direction, Framing, Guarantees,
    Netlayer, OnStranger, Stranger,
};
pub use settings::Settings;
pub use tcp::TcpOptions;
pub use tcp_testing_only::TcpTestingOnly;
pub use tcp_tls::{Identity, IdentityError, TcpTls};
pub use unix::{Unix, UnixOptions};
pub use unix_domain_socket::{
    IntroductionOptions, IntroductionServer, UnixDomainSocket, UnixDomainSocketIdentity,
    UnixDomainSocketOptions,
};
pub use websocket::{
    Websocket, WebsocketCertificate, WebsocketIdentity, WebsocketOptions, WebsocketTls,
    WebsocketTrust,
};
