//! `tcp-testing-only`: bare TCP. No secrecy, no proof of identity: for tests.
//!
//! Hints `host` and `port`; any unique designator; raw Syrup, or [frames](crate::Framing) by a setting.

use captp::locator::PeerLocator;

use crate::acceptor::{Acceptor, dials_and_accepts};
use crate::error::{BindError, ConnectError};
use crate::framing;
use crate::netlayer::{Authentication, Channel, Direction, Guarantees, Netlayer};
use crate::settings::Settings;
use crate::tcp::{self, TcpListen, TcpOptions};

const TRANSPORT: &str = "tcp-testing-only";

/// The `tcp-testing-only` netlayer. **Insecure**: whoever can reach the port can read,
/// change and claim everything.
#[derive(Debug)]
pub struct TcpTestingOnly {
    location: PeerLocator,
    settings: Settings,
    acceptor: Acceptor,
}

impl TcpTestingOnly {
    /// Listens on `address` (`host:port`; port 0 lets the system choose) under a random
    /// designator. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BindError`] if the address can't be listened on or says not where others
    /// should dial.
    pub async fn bind(address: &str, options: TcpOptions) -> Result<Self, BindError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| BindError::Address {
            address: address.to_owned(),
            source: std::io::Error::other(error.to_string()),
        })?;
        let designator: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Self::bind_as(&designator, address, options).await
    }

    /// Listens on `address` under a designator of your choice.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind), and [`BindError::Empty`].
    pub async fn bind_as(
        designator: &str,
        address: &str,
        options: TcpOptions,
    ) -> Result<Self, BindError> {
        if designator.is_empty() {
            return Err(BindError::Empty("designator"));
        }
        let bound = tcp::bind(address, &options).await?;
        let location = PeerLocator::new(TRANSPORT, designator)
            .with_hint("host", bound.host)
            .with_hint("port", bound.port.to_string());
        let settings = options.settings;
        let listen = TcpListen { listener: bound.listener, settings: settings.clone() };
        let framing = settings.clone();
        let acceptor = Acceptor::start(listen, &settings, move |stream, address| {
            let channel = framing::channel(stream, &framing, Direction::Accepted, address);
            async move { Ok(channel) }
        });
        Ok(Self { location, settings, acceptor })
    }

    async fn dial(&self, to: &PeerLocator) -> Result<Channel, ConnectError> {
        tcp::expect_transport(to, TRANSPORT)?;
        let (host, port) = tcp::target(to, None)?;
        let stream = tcp::dial(&host, port, &self.settings).await?;
        let address = tcp::show(&host, port);
        Ok(framing::channel(stream, &self.settings, Direction::Dialled, address))
    }
}

impl Netlayer for TcpTestingOnly {
    dials_and_accepts!();

    fn guarantees(&self) -> Guarantees {
        Guarantees {
            confidential: false,
            authentication: Authentication::FaceValue,
            framing: self.settings.framing,
        }
    }
}
