//! The sockets of socket-activated services.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::readable::readable;

/// A service's sockets, in the order in which they are passed.
pub(crate) struct Listeners {
    sockets: Vec<OwnedFd>,
    /// What to remove in the end.
    paths: Vec<PathBuf>,
}

impl Listeners {
    pub(crate) async fn bind(wanted: &[String]) -> Result<Self, String> {
        let mut listeners = Self { sockets: Vec::new(), paths: Vec::new() };
        for address in wanted {
            let failed = |error: io::Error| format!("{address}: {error}");
            let socket: OwnedFd = if let Some(path) = address.strip_prefix("unix:") {
                let path = Path::new(path);
                if path.symlink_metadata().is_ok_and(|there| there.file_type().is_socket()) {
                    // Left behind by a shepherd that was killed.
                    std::fs::remove_file(path).map_err(failed)?;
                }
                let listener = UnixListener::bind(path).map_err(failed)?;
                listeners.paths.push(path.to_owned());
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

    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd).collect()
    }

    /// Waits until somebody connects. The connection is left to the service.
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
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for path in &self.paths {
            let _gone_already = std::fs::remove_file(path);
        }
    }
}
