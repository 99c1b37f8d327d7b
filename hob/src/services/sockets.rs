//! The sockets of socket-activated services.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::net::sockopt::socket_acceptconn;
use rustix::net::{Shutdown, getsockname, shutdown};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::helper::FIRST_SOCKET;
use super::readable::readable;

/// A service's sockets, in the order in which they are passed.
pub(crate) struct Listeners {
    sockets: Vec<OwnedFd>,
    /// What to remove in the end, if it is still that: device and inode.
    files: Vec<(PathBuf, (u64, u64))>,
}

impl Listeners {
    pub(crate) async fn bind(wanted: &[String]) -> Result<Self, String> {
        let mut listeners = Self { sockets: Vec::new(), files: Vec::new() };
        for address in wanted {
            let failed = |error: io::Error| format!("{address}: {error}");
            let socket: OwnedFd = if let Some(path) = address.strip_prefix("unix:") {
                let path = Path::new(path);
                if path.symlink_metadata().is_ok_and(|there| there.file_type().is_socket()) {
                    // Left behind by a shepherd that was killed.
                    std::fs::remove_file(path).map_err(failed)?;
                }
                let listener = UnixListener::bind(path).map_err(failed)?;
                listeners.note(path);
                listener.into()
            } else {
                let address = address.strip_prefix("tcp:").unwrap_or(address);
                let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
                let listener = listener.into_std().map_err(failed)?;
                listener.set_nonblocking(false).map_err(failed)?;
                listener.into()
            };
            listeners.sockets.push(socket);
        }
        Ok(listeners)
    }

    /// Those that a process was given, which still holds them: from a shepherd that is
    /// gone. `None` if it does not, or if we may not look.
    pub(crate) fn of_process(wanted: &[String], pid: Pid) -> Option<Self> {
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let mut listeners = Self { sockets: Vec::new(), files: Vec::new() };
        for (address, number) in wanted.iter().zip(FIRST_SOCKET..) {
            let socket = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok()?;
            // The process may have put anything in its place.
            if !socket_acceptconn(&socket).ok()? || !is_at(&socket, address)? {
                return None;
            }
            rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC).ok()?;
            if let Some(path) = address.strip_prefix("unix:") {
                listeners.note(Path::new(path));
            }
            listeners.sockets.push(socket);
        }
        Some(listeners)
    }

    fn note(&mut self, path: &Path) {
        if let Ok(there) = path.symlink_metadata() {
            self.files.push((path.to_owned(), (there.dev(), there.ino())));
        }
    }

    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd).collect()
    }

    /// Waits until somebody connects, or the sockets are closed. The connection is left to
    /// the service.
    pub(crate) async fn connection(&self) -> io::Result<()> {
        let mut waiting = tokio::task::JoinSet::new();
        for socket in &self.sockets {
            let socket = socket.try_clone()?;
            waiting.spawn(async move { readable(socket).await.map(drop) });
        }
        match waiting.join_next().await {
            Some(Ok(outcome)) => outcome,
            _ => Err(io::Error::other("no sockets")),
        }
    }

    /// Nobody is listened to any more from here on, whoever else still has the sockets.
    pub(crate) fn close(&self) {
        for socket in &self.sockets {
            let _closed_already = shutdown(socket, Shutdown::Both);
        }
        for (path, file) in &self.files {
            let there = path.symlink_metadata();
            if there.is_ok_and(|there| (there.dev(), there.ino()) == *file) {
                let _gone_already = std::fs::remove_file(path);
            }
        }
    }
}

/// Whether a socket is bound to that address.
fn is_at(socket: &OwnedFd, address: &str) -> Option<bool> {
    let bound = getsockname(socket).ok()?;
    if let Some(path) = address.strip_prefix("unix:") {
        let bound = rustix::net::SocketAddrUnix::try_from(bound).ok()?;
        return Some(bound.path_bytes()? == path.as_bytes());
    }
    let bound = SocketAddr::try_from(bound).ok()?;
    // Of a name it is known only that it was resolved.
    let wanted = address.strip_prefix("tcp:")?.parse::<SocketAddr>();
    Some(wanted.map_or(true, |wanted| {
        wanted.ip() == bound.ip() && (wanted.port() == 0 || wanted.port() == bound.port())
    }))
}
