//! A machine's directory, which is named by its key.
//!
//! | file | what |
//! |---|---|
//! | `machine.json` | whose machine it is, and its port at the host |
//! | `seed.img` | what cloud-init reads, with the enrolment |
//! | `disk.img` | the disk: a copy of the image, or at first an empty one |
//! | `qemu.pid` | the id of its process, locked by it |
//! | `qmp.sock` | where its process takes commands |
//!
//! The directory has mode 0700 and what is in it 0600.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tempfile::NamedTempFile;

use super::process::PidFile;
use super::qmp::Qmp;
use crate::providers::Key;

/// More than any record has.
const MAX_RECORD_BYTES: u64 = 64 * 1024;
const RECORD: &str = "machine.json";
/// The first bytes of an image in QEMU's own format, which says of itself what it is.
const QCOW2: &[u8; 4] = b"QFI\xfb";

/// What is known of a machine from its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) fleet: String,
    pub(super) name: String,
    /// Where its hob is reached at the host. Others know the machine by it, so it stays.
    pub(super) host_port: u16,
    /// Not found out again later: what is written in the disk is then the machine's own.
    pub(super) disk: DiskFormat,
    /// Whether it may have run: till then there is nothing to lose.
    pub(super) ran: bool,
}

/// In which format a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum DiskFormat {
    Raw,
    Qcow2,
}

impl DiskFormat {
    /// That of an image.
    pub(super) fn of(image: &Path) -> io::Result<Self> {
        let mut magic = Vec::new();
        File::open(image)?.take(QCOW2.len() as u64).read_to_end(&mut magic)?;
        Ok(if magic == QCOW2 { Self::Qcow2 } else { Self::Raw })
    }

    /// QEMU's name for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// A machine's directory, whether it is there or not.
pub(super) struct Machine(PathBuf);

impl Machine {
    pub(super) fn new(parent: &Path, key: &Key) -> Self {
        Self(parent.join(key.as_str()))
    }

    /// All that are in the directory, with their keys, in order.
    pub(super) fn all(parent: &Path) -> io::Result<Vec<(Key, Self)>> {
        let entries = match fs::read_dir(parent) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut machines = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if let Some(key) = name.to_str().and_then(|name| name.parse::<Key>().ok()) {
                let machine = Self::new(parent, &key);
                machines.push((key, machine));
            }
        }
        machines.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(machines)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn seed(&self) -> PathBuf {
        self.0.join("seed.img")
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.0.join("disk.img")
    }

    pub(super) fn pid_file(&self) -> PathBuf {
        self.0.join("qemu.pid")
    }

    /// What is known of it: nothing, if there is no such machine.
    pub(super) fn record(&self) -> io::Result<Option<Record>> {
        let file = match File::open(self.0.join(RECORD)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        file.take(MAX_RECORD_BYTES).read_to_string(&mut text)?;
        Ok(Some(serde_json::from_str(&text)?))
    }

    /// Keeps that, and makes the directory if need be.
    pub(super) fn keep(&self, record: &Record) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        self.write(RECORD, serde_json::to_string(record)?.as_bytes())?;
        // So that it is found again also after a crash of the host.
        File::open(&self.0)?.sync_all()
    }

    /// Writes a file all at once.
    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(&self.0)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(self.0.join(name))?;
        Ok(())
    }

    pub(super) fn write_seed(&self, volume: &[u8]) -> io::Result<()> {
        self.write("seed.img", volume)
    }

    /// Makes an empty disk of so many bytes, unless there is a disk.
    pub(super) fn make_disk(&self, bytes: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(self.disk())?;
        // One that has been begun and is empty is as good as new.
        if file.metadata()?.len() == 0 {
            file.set_len(bytes)?;
        }
        Ok(())
    }

    /// Copies the image, unless there is a disk.
    pub(super) fn copy_disk(&self, image: &Path) -> io::Result<()> {
        if self.disk().exists() {
            return Ok(());
        }
        // Under another name at first: half a copy is none.
        let copy = NamedTempFile::new_in(&self.0)?;
        fs::copy(image, copy.path())?;
        copy.as_file().set_permissions(Permissions::from_mode(0o600))?;
        copy.as_file().sync_all()?;
        copy.persist(self.disk())?;
        Ok(())
    }

    /// The machine's process, if it has one.
    pub(super) fn process(&self) -> io::Result<Option<PidFile>> {
        PidFile::held(&self.pid_file())
    }

    pub(super) fn qmp(&self) -> io::Result<Qmp> {
        Qmp::connect(&self.0)
    }

    /// Ends its process, if it has one. What the machine has in its memory is lost.
    fn end(&self) -> io::Result<()> {
        let Some(process) = self.process()? else { return Ok(()) };
        process.end(|| self.qmp()?.execute("quit", json!({})).map(drop))
    }

    /// Ends it, and removes all that there is of it.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.end()?;
        // At once no longer a machine, so that what is left if we are killed is none.
        let gone = Self(self.0.with_extension("gone"));
        gone.end()?;
        gone.clear()?;
        match fs::rename(&self.0, &gone.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // If it was being started just now, by a boss that has been killed since, then it
        // has come up by now, or finds no directory.
        gone.end()?;
        gone.clear()
    }

    fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// A port that nobody listens on at that address: the one that is wanted, or any.
pub(super) fn free_port(address: Ipv4Addr, wanted: Option<u16>) -> io::Result<u16> {
    let listener = TcpListener::bind((address, wanted.unwrap_or(0)))?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests;
