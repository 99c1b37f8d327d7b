//! What is deployed, as it is on the workstation: a state, and where its contents are.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;

use crate::desired::graph::Directory;
use crate::desired::limits::Limits;
use crate::desired::machine::{Content, DesiredState, Digest, FileState};
use crate::exit::BadUsage;

/// What is deployed.
pub(super) struct Parcel {
    /// The state as JSON.
    text: Bytes,
    pub(super) digest: Digest,
    /// The files with the contents that are no part of it.
    contents: BTreeMap<Digest, PathBuf>,
}

impl Parcel {
    /// What those files and directories say, together; directories go to that path of the
    /// machine.
    pub(super) fn read(sources: &[PathBuf], at: &str) -> anyhow::Result<Self> {
        let mut state = DesiredState::default();
        let mut contents = BTreeMap::new();
        for source in sources {
            let metadata = fs::metadata(source).map_err(|error| unusable(source, error))?;
            let more = if metadata.is_dir() {
                let mut walk = Walk { files: BTreeMap::new(), contents: &mut contents };
                walk.directory(source, at.trim_end_matches('/'))?;
                DesiredState { files: walk.files, ..DesiredState::default() }
            } else {
                written(source)?
            };
            merge(&mut state, more)?;
        }
        let text = Bytes::from(state.to_json().to_string());
        let digest = Digest::of(&text);
        Ok(Self { text, digest, contents })
    }

    /// How long the state is.
    pub(super) fn size(&self) -> u64 {
        self.text.len() as u64
    }

    /// One of its contents, to be read in chunks.
    pub(super) fn open(&self, digest: &Digest) -> anyhow::Result<Source> {
        if *digest == self.digest {
            return Ok(Source::Text(self.text.clone()));
        }
        let path = self.contents.get(digest);
        let path = path.ok_or_else(|| anyhow!("the agent asks for what is not to be deployed"))?;
        let file = File::open(path).with_context(|| path.display().to_string())?;
        Ok(Source::File(file))
    }
}

/// A content that is read in chunks.
pub(super) enum Source {
    Text(Bytes),
    File(File),
}

impl Source {
    /// At most so many bytes, from that one on.
    pub(super) fn chunk(&mut self, offset: u64, most: usize) -> io::Result<Bytes> {
        match self {
            Self::Text(text) => {
                let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
                let end = begin.saturating_add(most).min(text.len());
                Ok(text.slice(begin..end))
            }
            Self::File(file) => {
                let mut chunk = Vec::new();
                file.seek(SeekFrom::Start(offset))?;
                file.take(most as u64).read_to_end(&mut chunk)?;
                Ok(chunk.into())
            }
        }
    }
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> anyhow::Error {
    BadUsage(format!("{}: {why}", path.display())).into()
}

/// The state that a TOML file says.
fn written(path: &Path) -> anyhow::Result<DesiredState> {
    let limits = Limits { object_bytes: u64::MAX, objects_bytes: u64::MAX, ..Limits::default() };
    let mut text = String::new();
    let limit = limits.text_bytes as u64;
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_string(&mut text));
    read.map_err(|error| unusable(path, error))?;
    if text.len() as u64 > limit {
        return Err(unusable(path, format_args!("more than {limit} bytes")));
    }
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let directory = Directory(parent.unwrap_or_else(|| Path::new(".")).to_owned());
    DesiredState::parse(&text, &directory, &limits).map_err(|error| unusable(path, error))
}

fn merge(state: &mut DesiredState, more: DesiredState) -> anyhow::Result<()> {
    let twice = |what: &str| anyhow!(BadUsage(format!("{what} is to be deployed twice")));
    for (path, file) in more.files {
        if state.files.contains_key(&path) {
            return Err(twice(&path));
        }
        state.files.insert(path, file);
    }
    for (name, service) in more.services {
        if state.services.contains_key(&name) {
            return Err(twice(&name));
        }
        state.services.insert(name, service);
    }
    for (name, listen) in more.forwards {
        state.forwards.insert(name, listen);
    }
    state.packages.extend(more.packages);
    match (&state.guix, more.guix) {
        (Some(_), Some(_)) => return Err(twice("guix")),
        (None, guix) => state.guix = guix,
        (Some(_), None) => {}
    }
    Ok(())
}

/// Goes through a directory. Links are taken as links.
struct Walk<'a> {
    files: BTreeMap<String, FileState>,
    contents: &'a mut BTreeMap<Digest, PathBuf>,
}

impl Walk<'_> {
    fn directory(&mut self, from: &Path, to: &str) -> anyhow::Result<()> {
        let failed = |error: io::Error| unusable(from, error);
        let mut entries: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(from).map_err(failed)? {
            entries.push(entry.map_err(failed)?.path());
        }
        entries.sort();
        for path in entries {
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| unusable(&path, "the name is no text"))?;
            let to = format!("{to}/{name}");
            self.entry(&path, to)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, to: String) -> anyhow::Result<()> {
        let failed = |error: io::Error| unusable(path, error);
        let metadata = fs::symlink_metadata(path).map_err(failed)?;
        let mode = metadata.permissions().mode() & 0o777;
        let content = if metadata.is_symlink() {
            let target = fs::read_link(path).map_err(failed)?;
            let target = target.to_str().ok_or_else(|| unusable(path, "it leads to no text"))?;
            Content::Link(target.to_owned())
        } else if metadata.is_dir() {
            // Others come with what is in them, and are not changed if they are there.
            if fs::read_dir(path).map_err(failed)?.next().is_some() {
                return self.directory(path, &to);
            }
            Content::Directory
        } else if metadata.is_file() {
            let read = File::open(path).and_then(|file| Digest::read(file, io::sink()));
            let (digest, size) = read.map_err(failed)?;
            self.contents.insert(digest, path.to_owned());
            Content::Object { digest, size }
        } else {
            return Err(unusable(path, "neither a file, a link nor a directory"));
        };
        let mode = if metadata.is_symlink() { 0o777 } else { mode };
        self.files.insert(to, FileState { content, mode, owner: None, group: None });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn files_and_directories_become_one_state() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir_all(path("site/empty")).unwrap();
        fs::create_dir_all(path("site/sub")).unwrap();
        fs::write(path("site/sub/index"), "hello").unwrap();
        fs::set_permissions(path("site/sub/index"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("sub/index", path("site/link")).unwrap();
        fs::write(path("motd"), "hi").unwrap();
        fs::write(
            path("web.toml"),
            "packages = [\"nginx\"]\n[files.\"/etc/motd\"]\nsource = \"motd\"\n",
        )
        .unwrap();
        let read = |sources: &[&str], at: &str| {
            let sources: Vec<PathBuf> = sources.iter().map(|source| path(source)).collect();
            Parcel::read(&sources, at)
        };
        let parcel = read(&["web.toml", "site"], "/srv/").unwrap();
        let digest = Digest::of(b"hello");
        let state: serde_json::Value = serde_json::from_slice(&parcel.text).unwrap();
        assert_eq!(
            state,
            serde_json::json!({
                "files": {
                    "/etc/motd": {"content": "hi", "mode": "0644"},
                    "/srv/empty": {"directory": true, "mode": state["files"]["/srv/empty"]["mode"]},
                    "/srv/link": {"link": "sub/index"},
                    "/srv/sub/index": {
                        "digest": digest.to_string(), "size": 5, "mode": "0640",
                    },
                },
                "packages": ["nginx"],
            })
        );
        let mut source = parcel.open(&digest).unwrap();
        assert_eq!(source.chunk(0, 3).unwrap(), "hel");
        assert_eq!(source.chunk(3, 3).unwrap(), "lo");
        assert!(parcel.open(&Digest::of(b"/etc/shadow")).is_err());
        let error = read(&["site", "site"], "/").err().unwrap().to_string();
        assert_eq!(error, "/empty is to be deployed twice");
        fs::write(path("web.toml"), "packages = [\"nginx\"]\nfile = 1\n").unwrap();
        let error = read(&["web.toml"], "/").err().unwrap().to_string();
        assert!(error.contains("line 2, column 1: file: there is no such key"), "{error}");
    }
}
