//! A disk that fails when it is told to.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;

/// A file. The process dies in the middle of a certain write to it.
#[derive(Debug)]
pub(crate) struct Dying {
    file: FileBackend,
    left: AtomicU64,
}

impl Dying {
    /// Opens a file, or makes it. `writes` counts from 1; without it nothing fails.
    pub(crate) fn open(path: &Path, writes: Option<u64>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let file = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Self { file, left: AtomicU64::new(writes.unwrap_or(u64::MAX)) })
    }
}

impl StorageBackend for Dying {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            let (done, _torn) = data.split_at(data.len() / 2);
            self.file.write(offset, done)?;
            std::process::abort();
        }
        self.file.write(offset, data)
    }
}
