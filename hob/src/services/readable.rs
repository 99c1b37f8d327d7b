//! Waiting for descriptors that are no streams: of processes, and of listening sockets.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits until there is something to be read, whatever that means for it.
#[expect(
    deprecated,
    reason = "unsound for types that replace their descriptor, which this one does not; what \
              took its place is unsafe, and that is forbidden here"
)]
pub(crate) async fn readable(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
    descriptor.readable().await?.retain_ready();
    Ok(descriptor.into_inner())
}
