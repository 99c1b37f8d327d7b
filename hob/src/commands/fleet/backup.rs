//! A boss's backup: its store, its keys, and what its providers have written down, in a
//! directory. A boss that is made of it is the same to its machines, whatever the computer.

use std::fs::{DirBuilder, DirEntry, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::machines::consented;
use crate::cli::fleet::Common;
use crate::cli::groups::{Consent, NodeChoice};
use crate::commands::state::{Form, save};
use crate::exit::{BadUsage, Exit, Failure};
use crate::output::{self, json};
use crate::state::StateDir;

const STORE: &str = "store.redb";

/// Where providers keep their files, and what of that is in a backup.
const PROVIDERS: &str = "providers";

/// More than any provider writes down of one machine, in bytes.
const MAX_RECORD: u64 = 64 * 1024;

/// What a key file is called, as far as there is one.
const KEYS: [&str; 2] = ["identity.pem", "websocket-key"];

pub(super) async fn backup(to: &Path, common: &Common) -> anyhow::Result<()> {
    let state = StateDir::named(common.boss.state.clone())?;
    if !state.store().exists() {
        let what = format!("there is no store in {}", state.path().display());
        return Err(Failure::new(Exit::NoSuchObject, what).next("name its --state").into());
    }
    let named = || to.display().to_string();
    let made = DirBuilder::new().mode(0o700).create(to);
    made.with_context(named)?;
    let node =
        NodeChoice { state: Some(state.path().to_owned()), timeout: common.boss.patience.timeout };
    let filled = async {
        save(&to.join(STORE), Form::Copy, &node).await?;
        copy_keys(&state.keys(), to)?;
        // Last, as each of the store's machines is written down before it is made.
        copy_records(&state.path().join(PROVIDERS), &to.join(PROVIDERS))
    };
    if let Err(error) = filled.await {
        // It is no backup, and in the way of the next try.
        let _left = std::fs::remove_dir_all(to);
        return Err(error);
    }
    if common.form.json {
        return json::print(json!({"backup": to.to_string_lossy()}));
    }
    output::line(&format!("wrote {}: whoever has it can be this boss", to.display()))
}

pub(super) fn restore(from: &Path, consent: Consent, common: &Common) -> anyhow::Result<()> {
    let store = from.join(STORE);
    if !store.is_file() {
        return Err(BadUsage(format!("{} is no backup of a boss", from.display())).into());
    }
    // Held until all is in place, so that no boss starts with a part of it.
    let state = StateDir::named(common.boss.state.clone())?.lock()?;
    let there = files(&state).into_iter().filter(|path| path.exists());
    let there: Vec<PathBuf> = there.collect();
    if !there.is_empty() {
        consented(consent, &format!("replace what is in {}", state.path().display()))?;
        for path in there {
            std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    copy_keys(from, state.path())?;
    copy_records(&from.join(PROVIDERS), &state.path().join(PROVIDERS))?;
    // Last: a directory with a store is one that a boss goes on from.
    copy(&store, &state.store())?;
    if common.form.json {
        return json::print(json!({"state": state.path().to_string_lossy()}));
    }
    let state = state.path().display();
    output::line(&format!("restored {state}; start it with: hob boss --state {state}"))
}

fn files(state: &StateDir) -> Vec<PathBuf> {
    let keys = KEYS.iter().map(|name| state.path().join(name));
    keys.chain([state.store()]).collect()
}

fn copy_keys(from: &Path, to: &Path) -> anyhow::Result<()> {
    for name in KEYS {
        let path = from.join(name);
        if path.exists() {
            copy(&path, &to.join(name))?;
        }
    }
    Ok(())
}

/// Copies what providers have written down of machines elsewhere, such as which host is
/// taken; what is there already stays. Not what is in the directories of machines on this
/// host: that is theirs, and nothing without them.
fn copy_records(from: &Path, to: &Path) -> anyhow::Result<()> {
    for provider in entries(from)? {
        if !provider.file_type()?.is_dir() {
            continue;
        }
        let to = to.join(provider.file_name());
        for entry in entries(&provider.path())? {
            let (path, copied) = (entry.path(), to.join(entry.file_name()));
            let is_record = path.extension().is_some_and(|extension| extension == "json");
            // Its machine may just have gone.
            let Ok(about) = entry.metadata() else { continue };
            if is_record && about.is_file() && about.len() <= MAX_RECORD && !copied.exists() {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(&to);
                made.with_context(|| to.display().to_string())?;
                copy(&path, &copied)?;
            }
        }
    }
    Ok(())
}

/// What is in a directory: nothing if there is none.
fn entries(directory: &Path) -> anyhow::Result<Vec<DirEntry>> {
    let read: std::io::Result<Vec<DirEntry>> = match directory.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.and_then(Iterator::collect),
    };
    read.with_context(|| directory.display().to_string())
}

/// Copies a file to a new one that only its owner may read, for good.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = || {
        let mut source = std::fs::File::open(from)?;
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(to)?;
        std::io::copy(&mut source, &mut file)?;
        file.flush()?;
        file.sync_all()
    };
    copied().with_context(|| format!("{} to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_copied_and_machines_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let write = |name: &str, bytes: usize| {
            std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            std::fs::write(path(name), "x".repeat(bytes)).unwrap();
        };
        write("from/far/1.json", 1);
        write("from/far/2.json", 2);
        write("from/far/large.json", MAX_RECORD as usize + 1);
        write("from/far/disk.img", 1);
        write("from/local/3/machine.json", 1);
        write("from/4.json", 1);
        write("to/far/2.json", 5);
        std::os::unix::fs::symlink(path("from/4.json"), path("from/far/5.json")).unwrap();
        copy_records(&path("from"), &path("to")).unwrap();
        let list = |name: &str| {
            let all = entries(&path(name)).unwrap().into_iter();
            let mut all: Vec<_> = all.map(|entry| entry.file_name()).collect();
            all.sort();
            all
        };
        assert_eq!(list("to"), ["far"]);
        assert_eq!(list("to/far"), ["1.json", "2.json"]);
        assert_eq!(std::fs::metadata(path("to/far/2.json")).unwrap().len(), 5);
        copy_records(&path("nothing"), &path("to")).unwrap();
    }
}
