//! A store that can't be written any more, as on a full disk: it stays failed for as long
//! as it is open. The shepherd waits for room and then becomes itself anew. It stays the
//! same process, and its services go on.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use ocapn::Node;
use ocapn::persist::StoreError;
use tokio::task::spawn_blocking;

/// How often it is looked whether there is room.
const EVERY: Duration = Duration::from_secs(1);
/// How much there is to be.
const ROOM: usize = 1 << 20;

/// Why the store has failed, as soon as it has.
pub(crate) async fn store_failure(node: &Node) -> StoreError {
    if let Some(store) = node.store() {
        // No turn has that number, so that it only ever fails.
        if let Err(error) = store.until_durable(u64::MAX).await {
            return error;
        }
    }
    std::future::pending().await
}

/// Waits until there is room in the directory.
pub(crate) async fn room_in(directory: &Path) {
    loop {
        let path = directory.join("room");
        let tried = spawn_blocking(move || {
            let written = std::fs::File::create(&path)
                .and_then(|mut file| file.write_all(&vec![0; ROOM]).and_then(|()| file.sync_all()));
            let _removed = std::fs::remove_file(&path);
            written
        });
        if matches!(tried.await, Ok(Ok(()))) {
            return;
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Becomes this program anew, with the same arguments. Comes back only if it can't.
pub(crate) fn begin_again() -> anyhow::Error {
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    anyhow!("can't begin again: {}", command.args(arguments).exec())
}
