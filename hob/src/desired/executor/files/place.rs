//! Places below a root: found and changed without following a symbolic link.

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, mkdirat, openat, readlinkat, renameat, statat, symlinkat,
    unlinkat,
};
use rustix::io::Errno;

use super::checkpoint;
use crate::desired::machine::Digest;

/// A directory below which all paths are.
pub(super) struct Root(PathBuf);

/// A name in a directory.
pub(super) struct Place {
    parent: OwnedFd,
    name: String,
}

/// What is somewhere.
pub(super) enum Found {
    Nothing,
    File {
        content: Content,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    Link {
        target: String,
    },
    Directory {
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// None of them: what.
    Other(&'static str),
}

impl Found {
    pub(super) const fn what(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::File { .. } => "a file",
            Self::Link { .. } => "a symbolic link",
            Self::Directory { .. } => "a directory",
            Self::Other(what) => what,
        }
    }
}

/// What is in a file, to be read.
pub(super) struct Content(File);

impl Content {
    /// Whether it is those bytes, of which there are so many.
    pub(super) fn is(self, digest: &Digest, size: u64) -> io::Result<bool> {
        if self.0.metadata()?.len() != size {
            return Ok(false);
        }
        Ok(Digest::read(self.0, io::sink())? == (*digest, size))
    }

    /// The first bytes.
    pub(super) fn read(self, limit: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.0.take(limit).read_to_end(&mut content)?;
        Ok(content)
    }
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Root {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn open(&self) -> io::Result<OwnedFd> {
        Ok(File::open(&self.0)?.into())
    }

    /// The directory that the path's last part is in. `None`: it is not there.
    fn walk(&self, path: &str, make: bool) -> io::Result<Option<Place>> {
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let name = parts.pop().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let mut parent = self.open()?;
        for part in parts {
            parent = match openat(&parent, part, DIRECTORY, Mode::empty()) {
                Ok(next) => next,
                Err(Errno::NOENT) if make => {
                    match mkdirat(&parent, part, Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    checkpoint();
                    openat(&parent, part, DIRECTORY, Mode::empty())?
                }
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(why(&parent, part, error)),
            };
        }
        Ok(Some(Place { parent, name }))
    }

    /// The place at that path, if its directory is there.
    pub(super) fn find(&self, path: &str) -> io::Result<Option<Place>> {
        self.walk(path, false)
    }

    /// The place at that path; directories that are missing are made.
    pub(super) fn make(&self, path: &str) -> io::Result<Place> {
        self.walk(path, true)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The directories that are missing on the way to a path, the outermost first.
    pub(super) fn missing(&self, path: &str) -> io::Result<Vec<String>> {
        let mut missing = Vec::new();
        for (index, _) in path.match_indices('/').filter(|(index, _)| *index > 0) {
            let directory = path.get(..index).unwrap_or_default();
            let there = match self.find(directory)? {
                Some(place) => !matches!(place.look()?, Found::Nothing),
                None => false,
            };
            if !there {
                missing.push(directory.to_owned());
            }
        }
        Ok(missing)
    }

    /// Removes a directory, if it is there and empty.
    pub(super) fn remove_dir(&self, path: &str) -> io::Result<()> {
        let Some(place) = self.find(path)? else { return Ok(()) };
        match unlinkat(&place.parent, &place.name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::NOTDIR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Why a part of a path can't be walked through.
fn why(parent: &OwnedFd, part: &str, error: Errno) -> io::Error {
    let kind = statat(parent, part, AtFlags::SYMLINK_NOFOLLOW)
        .map(|stat| FileType::from_raw_mode(stat.st_mode));
    if kind == Ok(FileType::Symlink) {
        let what = format!("{part:?} on the way is a symbolic link: write where it leads instead");
        return io::Error::other(what);
    }
    error.into()
}

impl Place {
    /// What is there.
    pub(super) fn look(&self) -> io::Result<Found> {
        let stat = match statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(error) => return Err(error.into()),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Symlink => {
                let target = readlinkat(&self.parent, &self.name, Vec::new())?;
                let target = target.into_string().map_err(io::Error::other)?;
                return Ok(Found::Link { target });
            }
            FileType::Directory => {
                let mode = stat.st_mode & 0o7777;
                return Ok(Found::Directory { mode, uid: stat.st_uid, gid: stat.st_gid });
            }
            _ => return Ok(Found::Other("a device or socket")),
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&self.parent, &self.name, flags, Mode::empty())?);
        // What was opened is what is told of, whatever has happened to the name since.
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(Found::Other("something that changes"));
        }
        let (mode, uid, gid) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
        Ok(Found::File { content: Content(file), mode, uid, gid })
    }

    /// The name under which something is made ready. Always the same for one place, so
    /// that what a crash left is found.
    fn new_name(&self) -> String {
        format!(".hob-{}", Digest::of(self.name.as_bytes()).short())
    }

    /// Replaces what is there by a file, at once and durably.
    pub(super) fn write(&self, content: &[u8], mode: u32, uid: u32, gid: u32) -> io::Result<()> {
        self.write_with(mode, uid, gid, |file| file.write_all(content))
    }

    /// The same with a content that is copied from another file, and must be what it is
    /// said to be.
    pub(super) fn copy(
        &self,
        from: &std::path::Path,
        content: (Digest, u64),
        mode: u32,
        (uid, gid): (u32, u32),
    ) -> io::Result<()> {
        let from = File::open(from)?;
        self.write_with(mode, uid, gid, |file| {
            if Digest::read(from, file)? == content {
                return Ok(());
            }
            Err(io::Error::other("what was kept of its content is damaged"))
        })
    }

    /// Makes a directory, or changes that which is there; anything else makes way.
    pub(super) fn directory(&self, mode: u32, uid: u32, gid: u32) -> io::Result<()> {
        if !matches!(self.look()?, Found::Directory { .. }) {
            self.clear(&self.name)?;
            mkdirat(&self.parent, &self.name, Mode::from_raw_mode(0o700))?;
        }
        checkpoint();
        let directory = File::from(openat(&self.parent, &self.name, DIRECTORY, Mode::empty())?);
        fchown(&directory, Some(uid), Some(gid))?;
        directory.set_permissions(Permissions::from_mode(mode))?;
        self.sync()
    }

    fn write_with(
        &self,
        mode: u32,
        uid: u32,
        gid: u32,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        let new = self.new_name();
        self.clear(&new)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.parent, &new, flags, Mode::from_raw_mode(0o600))?);
        checkpoint();
        fill(&mut file)?;
        fchown(&file, Some(uid), Some(gid))?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        self.put(&new)
    }

    /// Replaces what is there by a symbolic link.
    pub(super) fn link(&self, target: &str) -> io::Result<()> {
        let new = self.new_name();
        self.clear(&new)?;
        symlinkat(target, &self.parent, &new)?;
        self.put(&new)
    }

    /// Removes what a crash may have left of something that was made ready.
    pub(super) fn tidy(&self) -> io::Result<()> {
        self.clear(&self.new_name())
    }

    /// Removes what is there; a directory only if it is empty.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.clear(&self.new_name())?;
        if matches!(self.look()?, Found::Directory { .. }) {
            match unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => {}
                Err(error) => return Err(error.into()),
            }
        } else {
            self.clear(&self.name)?;
        }
        self.sync()
    }

    fn clear(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn put(&self, new: &str) -> io::Result<()> {
        checkpoint();
        renameat(&self.parent, new, &self.parent, &self.name)?;
        checkpoint();
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        rustix::fs::fsync(&self.parent).map_err(Into::into)
    }
}
