//! Telling systemd how the service is: `sd_notify(3)`'s protocol, datagrams of
//! `NAME=VALUE` lines to the socket that `$NOTIFY_SOCKET` names. Where there is none,
//! nobody is told.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use ocapn::Vat;

/// Whom to tell, and how often to say that all is well.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As the environment says.
    pub(crate) fn of_process() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        let microseconds = || {
            let for_us = std::env::var("WATCHDOG_PID");
            if for_us.is_ok_and(|id| id != std::process::id().to_string()) {
                return None;
            }
            std::env::var("WATCHDOG_USEC").ok()?.parse().ok()
        };
        match open(name.as_bytes()) {
            Ok(to) => Self { to: Some(to), watchdog: microseconds().and_then(interval) },
            Err(error) => {
                tracing::warn!("can't tell systemd how this service is: {error}");
                Self::default()
            }
        }
    }

    /// The service can be reached. A few words for people say as what.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nMAINPID={}\nSTATUS={status}", std::process::id()));
    }

    /// It is about to end.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=saying goodbye");
    }

    /// Says again and again that all is well, if systemd wants to hear it: whenever the
    /// vat has had a turn. Never returns.
    pub(crate) async fn keep_alive(&self, vat: &Vat) {
        let Some(interval) = self.watchdog else { return std::future::pending().await };
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if vat.run(|_turn| Ok(())).await.is_ok() {
                self.tell("WATCHDOG=1");
            }
        }
    }

    fn tell(&self, state: &str) {
        let Some((socket, to)) = &self.to else { return };
        // Whoever listens there is no part of what this service is for.
        if let Err(error) = socket.send_to_addr(state.as_bytes(), to) {
            tracing::warn!("can't tell systemd how this service is: {error}");
        }
    }
}

/// Twice in the time that systemd waits.
fn interval(microseconds: u64) -> Option<Duration> {
    (microseconds > 1).then(|| Duration::from_micros(microseconds / 2))
}

fn open(name: &[u8]) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
        [b'/', ..] => SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(name)))?,
        _ => return Err(io::Error::other("NOTIFY_SOCKET is neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    // A full queue must not hold up the service.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    fn notifier(name: &[u8], watchdog: Option<Duration>) -> Notifier {
        Notifier { to: Some(open(name).unwrap()), watchdog }
    }

    #[test]
    fn by_path_and_by_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("hob-test-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        let names = [path.as_os_str().as_bytes().to_vec(), format!("@{name}").into_bytes()];
        for (socket, name) in [by_path, by_name].iter().zip(names) {
            let notifier = notifier(&name, None);
            notifier.ready("2 addresses");
            let id = std::process::id();
            assert_eq!(heard(socket), format!("READY=1\nMAINPID={id}\nSTATUS=2 addresses"));
            notifier.stopping();
            assert_eq!(heard(socket), "STOPPING=1\nSTATUS=saying goodbye");
        }
        assert!(open(b"relative").is_err() && open(b"").is_err());
    }

    #[test]
    fn nobody_is_told_where_nobody_listens() {
        Notifier::default().ready("x");
        let directory = tempfile::tempdir().unwrap();
        let gone = directory.path().join("gone");
        notifier(gone.as_os_str().as_bytes(), None).stopping();
    }

    #[tokio::test]
    async fn the_watchdog_hears_from_a_vat_that_has_turns() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let node = ocapn::Node::builder().start();
        let vat = node.vat("kept");
        let beats = notifier(path.as_os_str().as_bytes(), interval(2000));
        let listening = tokio::task::spawn_blocking(move || (heard(&socket), heard(&socket)));
        tokio::select! {
            () = beats.keep_alive(&vat) => {}
            heard = listening => {
                assert_eq!(heard.unwrap(), ("WATCHDOG=1".into(), "WATCHDOG=1".into()));
            }
        }
        assert_eq!((interval(0), interval(1)), (None, None));
    }
}
