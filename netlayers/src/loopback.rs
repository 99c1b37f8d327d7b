//! `loopback`: peers of one process, joined by in-memory pipes.
//!
//! Designators are names, unique within a [`LoopbackNetwork`]; there are no hints. Both
//! ends are proven, since the network hands the names out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use captp::locator::PeerLocator;
use tokio::sync::mpsc;

use crate::error::{AcceptError, BindError, ConnectError, UnreachableCause};
use crate::netlayer::{
    Authentication, BoxFuture, Channel, Direction, Framing, Guarantees, Netlayer,
};
use crate::settings::Settings;
use crate::tcp::expect_transport;

/// The transport of loopback locators.
pub const TRANSPORT: &str = "loopback";

/// Bytes that a pipe holds before its writer has to wait.
const PIPE_BYTES: usize = 64 * 1024;

/// A network within this process. Clones are the same network; there is no global one.
#[derive(Clone, Debug, Default)]
pub struct LoopbackNetwork {
    listening: Arc<Mutex<HashMap<String, mpsc::Sender<Channel>>>>,
}

impl LoopbackNetwork {
    /// A network with nobody on it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a peer with this name on the network.
    ///
    /// # Errors
    ///
    /// [`BindError::NameTaken`] while another one with it listens, or
    /// [`BindError::Empty`].
    pub fn netlayer(&self, name: impl Into<String>) -> Result<Loopback, BindError> {
        self.netlayer_with(name, Settings::default())
    }

    /// Puts a peer on the network with settings other than the default ones.
    ///
    /// # Errors
    ///
    /// As [`netlayer`](Self::netlayer).
    pub fn netlayer_with(
        &self,
        name: impl Into<String>,
        settings: Settings,
    ) -> Result<Loopback, BindError> {
        let name = name.into();
        if name.is_empty() {
            return Err(BindError::Empty("name"));
        }
        let mut listening = self.lock();
        if listening.contains_key(&name) {
            return Err(BindError::NameTaken(name));
        }
        let (sender, receiver) = mpsc::channel(settings.max_ready.max(1));
        let weak = sender.downgrade();
        listening.insert(name.clone(), sender);
        drop(listening);
        Ok(Loopback {
            network: self.clone(),
            name,
            settings,
            sender: weak,
            incoming: tokio::sync::Mutex::new(receiver),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Channel>>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One peer on a [`LoopbackNetwork`].
#[derive(Debug)]
pub struct Loopback {
    network: LoopbackNetwork,
    name: String,
    settings: Settings,
    // Weak, so that leaving the network closes the channel.
    sender: mpsc::WeakSender<Channel>,
    incoming: tokio::sync::Mutex<mpsc::Receiver<Channel>>,
}

impl Loopback {
    async fn dial(&self, to: &PeerLocator) -> Result<Channel, ConnectError> {
        expect_transport(to, TRANSPORT)?;
        let unreachable = |cause| ConnectError::Unreachable { address: to.to_string(), cause };
        let sender = self.network.lock().get(&to.designator).cloned();
        let sender = sender.ok_or_else(|| unreachable(UnreachableCause::NobodyThere))?;
        let patience = self.settings.connect_timeout;
        let permit = match tokio::time::timeout(patience, sender.reserve()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_gone)) => return Err(unreachable(UnreachableCause::NobodyThere)),
            Err(_elapsed) => return Err(unreachable(UnreachableCause::TimedOut(patience))),
        };
        let (here, there) = tokio::io::duplex(PIPE_BYTES);
        let address = |name: &str| format!("{TRANSPORT}:{name}");
        permit.send(
            Channel::new(there, Direction::Accepted, address(&self.name))
                .with_proven(Some(self.name.clone())),
        );
        Ok(Channel::new(here, Direction::Dialled, address(&to.designator))
            .with_proven(Some(to.designator.clone())))
    }

    async fn close(&self) {
        self.leave();
        let mut incoming = self.incoming.lock().await;
        incoming.close();
        while incoming.try_recv().is_ok() {}
    }

    /// Gives the name back, unless it is somebody else's by now.
    fn leave(&self) {
        let mut listening = self.network.lock();
        let ours = match (listening.get(&self.name), self.sender.upgrade()) {
            (Some(listed), Some(ours)) => ours.same_channel(listed),
            _ => false,
        };
        if ours {
            listening.remove(&self.name);
        }
    }
}

impl Netlayer for Loopback {
    fn transport(&self) -> &'static str {
        TRANSPORT
    }

    fn location(&self) -> PeerLocator {
        PeerLocator::new(TRANSPORT, &self.name)
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees {
            confidential: true,
            authentication: Authentication::Both,
            framing: Framing::RawSyrup,
        }
    }

    fn connect<'a>(&'a self, to: &'a PeerLocator) -> BoxFuture<'a, Result<Channel, ConnectError>> {
        Box::pin(self.dial(to))
    }

    fn accept(&self) -> BoxFuture<'_, Result<Channel, AcceptError>> {
        Box::pin(async { self.incoming.lock().await.recv().await.ok_or(AcceptError::Closed) })
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.close())
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_never_accepts_is_given_up_on() {
        let network = LoopbackNetwork::new();
        let settings = Settings { max_ready: 2, ..Settings::default() };
        let patience = settings.connect_timeout;
        let lazy = network.netlayer_with("lazy", settings).unwrap();
        let ada = network.netlayer("ada").unwrap();
        let to = lazy.location();
        let _waiting = [ada.connect(&to).await.unwrap(), ada.connect(&to).await.unwrap()];
        match ada.connect(&to).await {
            Err(ConnectError::Unreachable { cause: UnreachableCause::TimedOut(after), .. }) => {
                assert_eq!(after, patience)
            }
            outcome => panic!("{outcome:?}"),
        }
        lazy.accept().await.unwrap();
        ada.connect(&to).await.unwrap();
    }

    #[tokio::test]
    async fn names_are_given_back_once_and_only_by_their_owner() {
        let network = LoopbackNetwork::new();
        assert!(matches!(network.netlayer(""), Err(BindError::Empty(_))));
        let first = network.netlayer("ada").unwrap();
        assert!(matches!(network.netlayer("ada"), Err(BindError::NameTaken(_))));
        first.shutdown().await;
        let second = network.netlayer("ada").unwrap();
        drop(first);
        let ben = network.netlayer("ben").unwrap();
        ben.connect(&second.location()).await.unwrap();
    }
}
