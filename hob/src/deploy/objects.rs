//! Contents by their digests, on disk. They come in chunks, of which only the present one
//! is in memory, and are there when they are whole and what they were said to be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::desired::executor::store;
use crate::desired::machine::Digest;

/// The contents that an agent has.
pub(super) struct Objects {
    dir: PathBuf,
    /// Those that may come, with their sizes.
    wanted: BTreeMap<Digest, u64>,
    incoming: Option<Incoming>,
}

/// One that has begun to come.
struct Incoming {
    digest: Digest,
    size: u64,
    there: u64,
    hasher: Sha256,
    file: File,
}

impl Objects {
    /// Those in a directory. What was coming when an earlier process ended is forgotten.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        store::private_dir(&dir)?;
        store::remove(&dir.join(PARTIAL))?;
        Ok(Self { dir, wanted: BTreeMap::new(), incoming: None })
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.to_string())
    }

    /// Whether it is there.
    pub(super) fn has(&self, digest: &Digest, size: u64) -> bool {
        fs::metadata(self.path(digest)).is_ok_and(|metadata| metadata.len() == size)
    }

    /// Lets those come and no others.
    pub(super) fn want(&mut self, wanted: BTreeMap<Digest, u64>) {
        self.wanted = wanted;
        self.incoming = None;
    }

    /// Those that may come and are not there yet, in order.
    pub(super) fn missing(&self) -> Vec<(Digest, u64)> {
        let missing = self.wanted.iter().filter(|(digest, size)| !self.has(digest, **size));
        missing.map(|(digest, size)| (*digest, *size)).collect()
    }

    /// Takes a chunk of one; gives how many bytes of it are there. One that turns out to
    /// be something else is forgotten.
    ///
    /// # Errors
    ///
    /// If it was not asked for, is not the next chunk, or can't be written.
    pub(super) fn put(&mut self, digest: Digest, offset: u64, bytes: &[u8]) -> Result<u64, String> {
        let size = *self.wanted.get(&digest).ok_or("nobody asked for that content")?;
        if self.has(&digest, size) {
            return Ok(size);
        }
        let outcome = self.append(digest, size, offset, bytes);
        if outcome.is_err() {
            self.incoming = None;
        }
        outcome
    }

    fn append(
        &mut self,
        digest: Digest,
        size: u64,
        offset: u64,
        bytes: &[u8],
    ) -> Result<u64, String> {
        let failed = |error: io::Error| format!("the content can't be kept: {error}");
        let partial = self.dir.join(PARTIAL);
        let mut incoming = match self.incoming.take() {
            Some(incoming) if incoming.digest == digest => incoming,
            Some(_) => return Err("another content is on its way".to_owned()),
            None => {
                store::remove(&partial).map_err(failed)?;
                let mut new = OpenOptions::new();
                new.write(true).create_new(true).mode(0o600);
                let file = new.open(&partial).map_err(failed)?;
                Incoming { digest, size, there: 0, hasher: Sha256::new(), file }
            }
        };
        if offset != incoming.there {
            let there = incoming.there;
            return Err(format!("that chunk is from byte {offset}, and {there} is the next"));
        }
        let there = incoming.there.saturating_add(bytes.len() as u64);
        if there > incoming.size {
            return Err(format!("that is more than the {} bytes that were said", incoming.size));
        }
        if bytes.is_empty() && incoming.size > 0 {
            return Err("that chunk is empty".to_owned());
        }
        incoming.file.write_all(bytes).map_err(failed)?;
        incoming.hasher.update(bytes);
        incoming.there = there;
        if there < incoming.size {
            self.incoming = Some(incoming);
            return Ok(there);
        }
        let real = Digest::finish(incoming.hasher);
        if real != digest {
            store::remove(&partial).map_err(failed)?;
            return Err(format!("the content is not {}: its digest is {real}", digest.short()));
        }
        incoming.file.sync_all().map_err(failed)?;
        fs::rename(&partial, self.path(&digest)).map_err(failed)?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
        Ok(there)
    }

    /// Forgets all that are not in use.
    pub(super) fn keep(&self, used: &BTreeSet<Digest>) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| name.parse::<Digest>().ok());
            if digest.is_some_and(|digest| !used.contains(&digest)) {
                // What can't be removed now is the next time.
                let _left = store::remove(&entry.path());
            }
        }
    }

    /// Forgets those of them that are damaged, so that they are sent again.
    pub(super) fn verify<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) {
        for digest in digests {
            let path = self.path(digest);
            if !is(&path, digest) {
                let _left = store::remove(&path);
            }
        }
    }
}

fn is(path: &Path, digest: &Digest) -> bool {
    let read = File::open(path).and_then(|file| Digest::read(file, io::sink()));
    read.is_ok_and(|(real, _)| real == *digest)
}

const PARTIAL: &str = "incoming";
