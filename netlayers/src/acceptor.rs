//! The task that takes connections from a listening socket and lets their handshakes
//! run beside each other, so that no client can hold up another.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use crate::error::AcceptError;
use crate::netlayer::Channel;
use crate::settings::Settings;

/// How long to leave a listening socket alone after it failed: lack of file descriptors
/// passes only when some are closed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// A listening socket.
pub(crate) trait Listen: Send + 'static {
    /// What it yields.
    type Connection: Send + 'static;

    /// The next connection and where it comes from. Must be safe to cancel.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Connection, String)>> + Send;
}

/// The receiving end of the task, and its life: dropped, the task ends and with it the
/// listening socket.
#[derive(Debug)]
pub(crate) struct Acceptor {
    ready: Mutex<mpsc::Receiver<Channel>>,
    task: std::sync::Mutex<Option<JoinHandle<()>>>,
    abort: AbortHandle,
}

impl Acceptor {
    /// Starts accepting. `handshake` turns a connection and its address into a channel;
    /// it is cut off at the deadline in the settings.
    pub(crate) fn start<L, H, F>(listener: L, settings: &Settings, handshake: H) -> Self
    where
        L: Listen,
        H: Fn(L::Connection, String) -> F + Send + 'static,
        F: Future<Output = io::Result<Channel>> + Send + 'static,
    {
        let (sender, ready) = mpsc::channel(settings.max_ready.max(1));
        let task = tokio::spawn(run(listener, settings.clone(), handshake, sender));
        Self {
            ready: Mutex::new(ready),
            abort: task.abort_handle(),
            task: std::sync::Mutex::new(Some(task)),
        }
    }

    /// The next channel whose handshake is done.
    pub(crate) async fn accept(&self) -> Result<Channel, AcceptError> {
        let mut ready = self.ready.lock().await;
        ready.recv().await.ok_or(AcceptError::Closed)
    }

    /// Ends the task and waits until the listening socket is closed.
    pub(crate) async fn shutdown(&self) {
        let task = match self.task.lock() {
            Ok(mut task) => task.take(),
            Err(poisoned) => poisoned.into_inner().take(),
        };
        if let Some(task) = task {
            task.abort();
            let _cancelled_or_panicked = task.await;
        }
        let mut ready = self.ready.lock().await;
        while ready.try_recv().is_ok() {}
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

/// The methods of [`Netlayer`](crate::Netlayer) that are alike wherever there is an
/// acceptor: for a type with a `location`, an `acceptor` and a method `dial`, in a module
/// with a `TRANSPORT`.
macro_rules! dials_and_accepts {
    () => {
        fn transport(&self) -> &'static str {
            TRANSPORT
        }

        fn location(&self) -> captp::locator::PeerLocator {
            self.location.clone()
        }

        fn connect<'a>(
            &'a self,
            to: &'a captp::locator::PeerLocator,
        ) -> crate::BoxFuture<'a, Result<crate::Channel, crate::ConnectError>> {
            Box::pin(self.dial(to))
        }

        fn accept(&self) -> crate::BoxFuture<'_, Result<crate::Channel, crate::AcceptError>> {
            Box::pin(self.acceptor.accept())
        }

        fn shutdown(&self) -> crate::BoxFuture<'_, ()> {
            Box::pin(self.acceptor.shutdown())
        }
    };
}
pub(crate) use dials_and_accepts;

async fn run<L, H, F>(
    mut listener: L,
    settings: Settings,
    handshake: H,
    ready: mpsc::Sender<Channel>,
) where
    L: Listen,
    H: Fn(L::Connection, String) -> F,
    F: Future<Output = io::Result<Channel>> + Send + 'static,
{
    let mut handshakes = JoinSet::new();
    let mut by_age: VecDeque<AbortHandle> = VecDeque::new();
    let mut done = VecDeque::new();
    loop {
        tokio::select! {
            permit = ready.reserve(), if !done.is_empty() => match permit {
                Ok(permit) => if let Some(channel) = done.pop_front() { permit.send(channel) },
                Err(_nobody_accepts_any_more) => return,
            },
            Some(outcome) = handshakes.join_next() => {
                by_age.retain(|handshake| !handshake.is_finished());
                if let Ok(Some(channel)) = outcome {
                    done.push_back(channel);
                }
            }
            (connection, address) = next(&mut listener), if done.is_empty() => {
                if by_age.len() >= settings.max_handshakes.max(1)
                    && let Some(oldest) = by_age.pop_front()
                {
                    tracing::debug!("too many handshakes under way: the oldest gives way");
                    oldest.abort();
                }
                let work = handshake(connection, address.clone());
                let work = timed(work, address, settings.handshake_timeout);
                by_age.push_back(handshakes.spawn(work));
            }
        }
    }
}

/// The next connection, however often the socket fails before.
pub(crate) async fn next<L: Listen>(listener: &mut L) -> (L::Connection, String) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client has given up already: no reason to pause.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection, trying again");
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
}

async fn timed(
    work: impl Future<Output = io::Result<Channel>>,
    address: String,
    limit: Duration,
) -> Option<Channel> {
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(channel)) => return Some(channel),
        Ok(Err(error)) => tracing::debug!(peer = %address, %error, "a handshake failed"),
        Err(_elapsed) => tracing::debug!(peer = %address, "a handshake took too long"),
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlayer::Direction;

    /// Yields numbered connections, or errors, as the test sends them.
    struct Scripted(mpsc::UnboundedReceiver<io::Result<u32>>);

    impl Listen for Scripted {
        type Connection = u32;

        async fn accept(&mut self) -> io::Result<(u32, String)> {
            match self.0.recv().await {
                Some(next) => next.map(|number| (number, number.to_string())),
                None => std::future::pending().await,
            }
        }
    }

    type Script = mpsc::UnboundedSender<io::Result<u32>>;

    /// Odd connections never end their handshake, even ones do at once.
    fn start(settings: &Settings) -> (Script, Acceptor) {
        let (script, listener) = mpsc::unbounded_channel();
        let acceptor =
            Acceptor::start(Scripted(listener), settings, |number, address| async move {
                if number % 2 == 1 {
                    std::future::pending::<()>().await;
                }
                Ok(Channel::new(tokio::io::empty(), Direction::Accepted, address))
            });
        (script, acceptor)
    }

    async fn accepted(acceptor: &Acceptor) -> String {
        acceptor.accept().await.expect("open").peer_address
    }

    #[tokio::test(start_paused = true)]
    async fn outlives_a_failing_socket() {
        let (script, acceptor) = start(&Settings::default());
        for code in [24, 23, 103, 12] {
            script.send(Err(io::Error::from_raw_os_error(code))).unwrap();
        }
        script.send(Ok(2)).unwrap();
        assert_eq!(accepted(&acceptor).await, "2");
    }

    /// Says its number when it is dropped.
    struct Held(u32, mpsc::UnboundedSender<u32>);

    impl Drop for Held {
        fn drop(&mut self) {
            let _test_is_over = self.1.send(self.0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silent_clients_hold_nobody_up_and_the_oldest_gives_way() {
        let settings =
            Settings { max_handshakes: 3, handshake_timeout: Duration::MAX, ..Settings::default() };
        let (script, listener) = mpsc::unbounded_channel();
        let (dropped, mut gone) = mpsc::unbounded_channel();
        let acceptor = Acceptor::start(Scripted(listener), &settings, move |number, address| {
            let held = Held(number, dropped.clone());
            async move {
                if number < 100 {
                    std::future::pending::<()>().await;
                }
                drop(held);
                Ok(Channel::new(tokio::io::empty(), Direction::Accepted, address))
            }
        });
        for number in 0..=100 {
            script.send(Ok(number)).unwrap();
        }
        assert_eq!(accepted(&acceptor).await, "100");
        // The last of them made the 98th give way.
        let mut numbers = std::collections::BTreeSet::new();
        while numbers.len() < 99 {
            let next = tokio::time::timeout(Duration::from_secs(1), gone.recv());
            numbers.insert(next.await.expect("too many stay").unwrap());
        }
        assert!(numbers.into_iter().eq((0..98).chain([100])));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_of_channels_loses_none() {
        let settings = Settings { max_ready: 1, ..Settings::default() };
        let (script, acceptor) = start(&settings);
        for number in 0..50 {
            script.send(Ok(number * 2)).unwrap();
        }
        for number in 0..50 {
            tokio::task::yield_now().await;
            assert_eq!(accepted(&acceptor).await, (number * 2).to_string());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_ends_at_its_deadline() {
        let (dropped, seen) = tokio::sync::oneshot::channel::<()>();
        let (script, listener) = mpsc::unbounded_channel();
        let dropped = std::sync::Mutex::new(Some(dropped));
        let settings = Settings::default();
        let begin = tokio::time::Instant::now();
        let _acceptor = Acceptor::start(Scripted(listener), &settings, move |_, _| {
            let held = dropped.lock().unwrap().take();
            async move {
                std::future::pending::<()>().await;
                drop(held);
                Err(io::ErrorKind::Other.into())
            }
        });
        script.send(Ok(1)).unwrap();
        assert!(seen.await.is_err());
        assert_eq!(begin.elapsed(), settings.handshake_timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_wakes_who_waits_and_may_be_repeated() {
        let (script, acceptor) = start(&Settings::default());
        let (answer, ()) = tokio::join!(acceptor.accept(), acceptor.shutdown());
        assert_eq!(answer.unwrap_err(), AcceptError::Closed);
        acceptor.shutdown().await;
        assert_eq!(acceptor.accept().await.unwrap_err(), AcceptError::Closed);
        assert!(script.is_closed());
    }
}
