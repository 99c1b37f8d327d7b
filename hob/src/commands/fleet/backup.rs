//! A boss's backup: its store and its keys, in a directory. A boss that is made of it is
//! the same to its machines, whatever the computer.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
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
        copy_keys(&state.keys(), to)
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
