//! `hob state`: looks at, copies and moves what a node keeps. A running node does it by
//! its admin object; without one, the store is opened here.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use ocapn::persist::{
    Backend as _, Memory, Redb, Store, StoreOptions, View, copy, export_text, import_text,
};
use ocapn::{Ref, Value};

use crate::cli::{NodeChoice, StateCommand};
use crate::client::{Client, within};
use crate::exit::{BadUsage, NoNode};
use crate::output;
use crate::state::StateDir;

pub(crate) async fn state(command: &StateCommand) -> anyhow::Result<()> {
    match command {
        StateCommand::Doctor { node } => {
            let report = match ask(node, vec![Value::symbol("doctor")]).await? {
                Asked::Running(Value::String(report)) => report.to_string(),
                Asked::Running(_) => bail!("the node's admin object gave no report"),
                Asked::Idle(state) => open(&state)?.doctor()?.to_string(),
            };
            output::line(report.trim_end())
        }
        StateCommand::Backup { file, node } => save(file, Form::Copy, node).await,
        StateCommand::Export { file, node } => save(file, Form::Text, node).await,
        StateCommand::Import { file, node } => {
            let state = StateDir::named(node.state.clone())?.lock()?;
            let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
            let read = import_text(&text).map_err(|error| BadUsage(error.to_string()))?;
            restore(&read, &state.store())
        }
    }
}

/// How a store is written to a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As a store.
    Copy,
    /// As text.
    Text,
}

impl Form {
    const fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Text => "text",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Copy, Self::Text].into_iter().find(|form| form.name() == name)
    }
}

pub(super) async fn save(file: &Path, form: Form, node: &NodeChoice) -> anyhow::Result<()> {
    // The node may be elsewhere in the file system.
    let path = std::path::absolute(file)?;
    let name = path.to_str().ok_or_else(|| BadUsage("the path is not text".to_owned()))?;
    let args = vec![Value::symbol("save"), Value::symbol(form.name()), name.into()];
    match ask(node, args).await? {
        Asked::Running(_) => Ok(()),
        Asked::Idle(state) => write(&*open(&state)?.view()?, form, &path),
    }
}

enum Asked {
    Running(Value),
    /// No node runs in this directory.
    Idle(crate::state::LockedState),
}

async fn ask(choice: &NodeChoice, args: Vec<Value>) -> anyhow::Result<Asked> {
    let state = StateDir::named(choice.state.clone())?;
    let asked = within(choice.timeout, async {
        let (client, admin): (Client, Ref) = Client::of_node(&state).await?;
        let answer = client.call(&admin, args).await;
        client.end().await;
        answer
    });
    match asked.await {
        Ok(answer) => Ok(Asked::Running(answer)),
        Err(error) if error.is::<NoNode>() => Ok(Asked::Idle(state.lock()?)),
        Err(error) => Err(error),
    }
}

fn open(state: &StateDir) -> anyhow::Result<Store> {
    let path = state.store();
    let opened = || {
        // Not made by looking at it.
        File::open(&path)?;
        let options = StoreOptions::default().by_hand().keep_garbage();
        Ok::<_, anyhow::Error>(Store::open_with(Redb::open(&path)?, options)?)
    };
    opened().with_context(|| format!("the store {}", path.display()))
}

/// Writes what is in a store to a new file that only its owner may read.
pub(crate) fn write(view: &dyn View, form: Form, path: &Path) -> anyhow::Result<()> {
    let name = || path.display().to_string();
    if path.exists() {
        bail!("{}: it is there already", path.display());
    }
    let written = match form {
        Form::Text => write_text(view, path),
        Form::Copy => Redb::open(path).and_then(|to| copy(view, &to)),
    };
    if written.is_err() {
        // It is no copy, and in the way of the next try.
        let _left = std::fs::remove_file(path);
    }
    written.with_context(name)
}

fn write_text(view: &dyn View, path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(path)?;
    let mut out = BufWriter::new(&file);
    export_text(view, &mut out)?;
    out.flush()?;
    drop(out);
    file.sync_all()
}

fn restore(from: &Memory, path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        let why = format!("{} is there already: move it away first", path.display());
        return Err(BadUsage(why).into());
    }
    write(&*from.view()?, Form::Copy, path)
}
